// An OpenID Connect provider for the end-to-end tests: oidc-provider with its own sign-in forms, where any password will do.
// Settings as JSON in the first argument: {port, certificate, key, signing: {rsa, ec}, accounts, clients, conform, methods}.
// `accounts` is a file, read again for each claim, of {login: {claim: value}}.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createPrivateKey } from 'node:crypto';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const issuer = `https://localhost:${settings.port}`;

// Keys are made by openssl: generateKeyPairSync of Node 20 may wait for itself, if garbage is collected during the export.
const jwk = (kind, extra) => ({
  ...createPrivateKey(readFileSync(settings.signing[kind])).export({ format: 'jwk' }), use: 'sig', kid: kind, ...extra,
});

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: {
    keys: [
      jwk('rsa', { alg: 'RS256' }),
      jwk('ec', { alg: 'ES256' }),
    ],
  },
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  // false: claims of scopes stand in the ID token; true: only in userinfo, as the specification would have it.
  conformIdTokenClaims: settings.conform,
  ...(settings.methods ? { clientAuthMethods: settings.methods } : {}),
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'HS256'] },
  features: { devInteractions: { enabled: true } },
  async findAccount(ctx, login) {
    const accounts = JSON.parse(readFileSync(settings.accounts, 'utf8'));
    if (!(login in accounts)) return undefined;
    return { accountId: login, claims: async () => ({ sub: login, ...accounts[login] }) };
  },
});

const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
createServer(tls, provider.callback()).listen(settings.port, '127.0.0.1', () => console.log('provider: ready'));
