"""Sign-in through a real OpenID Connect provider: accounts, teams and administrators by claims, tokens for docker."""

import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from harness import dtr, run
from oci import Image, Registry, layout_digest
from oidc_provider import Browser, Provider, codes
from steps import skopeo_pull

SYNC = "/enzi/v0/accounts/acme/teams/{}/memberSyncConfig"


def configure(server, provider, *flags, check=0):
    with open(provider.space.file("client-secret"), "w", encoding="ascii") as file:
        file.write(provider.secret + "\n")
    return dtr("oidc", "set", "--issuer", provider.issuer, "--client-id", "dtr", "--client-secret-file",
               provider.space.file("client-secret"), "--scopes", "openid profile groups", "--groups-claim", "groups",
               "--ca-file", provider.ca_file, *flags, *server.cli_auth(), check=check)


@pytest.fixture(name="provider")
def _provider(space, server):
    with Provider(space, [server.https_url + "/enzi/v0/oidc/callback"]) as provider:
        configure(server, provider)
        yield provider


@pytest.fixture(name="server")
def _server(space):
    return space.server("a").start()


def ask(server, method, path, body=None, auth=True, status=200):
    with server.session(auth) as session:
        answer = session.request(method, server.url + path, json=body, timeout=20)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def make_team(server, name, claim):
    ask(server, "POST", "/enzi/v0/accounts/acme/teams", {"name": name}, status=201)
    ask(server, "PUT", SYNC.format(name), {"enableSync": True, "claimValue": claim})


def members(server, team):
    listed = ask(server, "GET", f"/enzi/v0/accounts/acme/teams/{team}/members")
    return sorted(one["member"]["name"] for one in listed["members"])


def signed_in(server, provider, login):
    """The name and the access token that the page shows."""
    answer = Browser(provider).sign_in(server, login)
    assert answer.status_code == 200, answer.text
    token, line = codes(answer)
    host = server.https_url.removeprefix("https://")
    assert re.fullmatch(r"dtr_[0-9A-Za-z]{40}", token)
    name = re.fullmatch(f"docker login --username (\\S+) {re.escape(host)}", line).group(1)
    return name, token


def test_sign_in_then_docker(server, provider, space):
    provider.set("alice", preferred_username="Alice", name="Alice A.", groups=["devs"])
    name, token = signed_in(server, provider, "alice")
    assert name == "alice"
    registry = Registry(server, "alice/tool", auth=(name, token))
    image = Image()
    registry.push(image, "1")
    asked = server.session((name, token)).get(server.url + "/auth/token", timeout=10, params={
        "service": "dtr-registry", "scope": "repository:alice/tool:pull,push"})
    assert asked.status_code == 200
    with server.session(False) as session:
        session.headers["Authorization"] = "Bearer " + asked.json()["token"]
        assert session.get(server.url + "/v2/alice/tool/manifests/1", timeout=10).status_code == 200
    skopeo_pull(server, "alice/tool:1", space.file("pulled"), creds=f"{name}:{token}")
    assert layout_digest(space.file("pulled")) == image.digest
    assert Registry(server, "admin/tool", auth=(name, token)).do("POST", "blobs/uploads/").status_code in (401, 403)
    account = ask(server, "GET", "/enzi/v0/accounts/alice")
    assert (account["fullName"], account["isAdmin"], account["isActive"]) == ("Alice A.", False, True)

    # Again: the same account, another token; the first one still opens.
    again = signed_in(server, provider, "alice")
    assert again[0] == name and again[1] != token
    assert len(ask(server, "GET", "/api/v0/api_tokens?account=alice")) == 2
    registry.push(image, "2")
    # No password opens it, not even an empty one.
    for password in ("", "any", "alice"):
        with server.session(("alice", password)) as session:
            assert session.get(server.url + "/enzi/v0/accounts/alice", timeout=10).status_code == 401


def test_the_page_is_safe_to_look_at(server, provider):
    provider.set("eve", preferred_username="eve", name="<script>alert(1)</script>", groups=[])
    browser = Browser(provider)
    answer = browser.sign_in(server, "eve")
    assert answer.status_code == 200 and "<script" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    begun = browser.get(server.https_url + "/enzi/v0/oidc/login")
    cookie = begun.headers["Set-Cookie"]
    assert cookie.startswith("__Host-dtr-oidc=")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert f"; {part}" in cookie
    refused = browser.get(server.https_url + "/enzi/v0/oidc/callback?" + urlencode({"error": "<b>", "state": "<i>"}))
    assert refused.status_code == 400 and "<b>" not in refused.text and "<i>" not in refused.text
    plain = browser.get(server.url + "/enzi/v0/oidc/login")
    assert plain.status_code == 400 and "Set-Cookie" not in plain.headers


def test_replays_and_strangers_are_refused(server, provider):
    provider.set("alice", preferred_username="alice")
    browser = Browser(provider)
    login = server.https_url + "/enzi/v0/oidc/login"
    callback = browser.to_callback(login, "alice")
    kept = browser.session.cookies.get("__Host-dtr-oidc")

    # Another browser, which was lured to this address, and one that has begun a sign-in of its own.
    stranger = Browser(provider)
    assert stranger.get(callback).status_code == 400
    stranger.get(login)
    assert stranger.get(callback).status_code == 400

    def altered(**changes):
        parts = urlsplit(callback)
        query = {**dict(parse_qsl(parts.query)), **changes}
        return parts._replace(query=urlencode(query)).geturl()

    def put_back(cookie):
        browser.session.cookies.set("__Host-dtr-oidc", cookie, domain="127.0.0.1", path="/", secure=True)

    for change in ({"state": "x" * 43}, {"state": ""}, {"iss": "https://evil.example"}):
        answer = browser.get(altered(**change))
        assert answer.status_code == 400 and "docker login" not in answer.text
        put_back(kept)
    assert ask(server, "GET", "/enzi/v0/accounts/alice", status=404)

    # A good one, and the same again with its cookie put back.
    browser = Browser(provider)
    callback = browser.to_callback(login, "alice")
    kept = browser.session.cookies.get("__Host-dtr-oidc")
    assert browser.get(callback).status_code == 200
    assert browser.get(callback).status_code == 400
    put_back(kept)
    answer = browser.get(callback)
    assert answer.status_code == 400 and "already been completed" in answer.text
    # Nor does a restarted replica, which forgot the state, get anything for that code.
    server.restart()
    put_back(kept)
    answer = browser.get(callback)
    assert answer.status_code == 400 and "does not accept this sign-in" in answer.text
    assert len(ask(server, "GET", "/api/v0/api_tokens?account=alice")) == 1


def test_groups_fill_teams_and_leave_them(server, provider):
    ask(server, "POST", "/enzi/v0/accounts", {"name": "acme", "isOrg": True}, status=201)
    make_team(server, "builders", "devs")
    make_team(server, "keepers", "ops")
    ask(server, "POST", "/enzi/v0/accounts/acme/teams", {"name": "by-hand"}, status=201)
    provider.set("alice", preferred_username="alice", groups=["devs", "staff"])
    assert signed_in(server, provider, "alice")[0] == "alice"
    assert (members(server, "builders"), members(server, "keepers")) == (["alice"], [])
    ask(server, "PUT", "/enzi/v0/accounts/acme/teams/by-hand/members/alice", {}, status=204)

    provider.set("alice", preferred_username="alice", groups=["ops"])
    answer = Browser(provider).sign_in(server, "alice")
    assert "acme/keepers" in answer.text and "acme/builders" not in answer.text
    assert (members(server, "builders"), members(server, "keepers")) == ([], ["alice"])
    provider.set("alice", preferred_username="alice")  # the claim is gone altogether
    signed_in(server, provider, "alice")
    assert (members(server, "builders"), members(server, "keepers")) == ([], [])
    assert members(server, "by-hand") == ["alice"]
    assert ask(server, "GET", SYNC.format("builders"))["claimValue"] == "devs"


def test_administrators_only_by_the_named_group(server, provider):
    provider.set("alice", preferred_username="alice", groups=["root"])
    signed_in(server, provider, "alice")
    assert not ask(server, "GET", "/enzi/v0/accounts/alice")["isAdmin"]
    configure(server, provider, "--admin-group", "root")
    token = signed_in(server, provider, "alice")[1]
    assert ask(server, "GET", "/enzi/v0/accounts/alice")["isAdmin"]
    ask(server, "GET", "/api/v0/meta/cluster_status", auth=("alice", token))
    provider.set("alice", preferred_username="alice", groups=["staff"])
    signed_in(server, provider, "alice")
    assert not ask(server, "GET", "/enzi/v0/accounts/alice")["isAdmin"]
    ask(server, "GET", "/api/v0/meta/cluster_status", auth=("alice", token), status=403)


def test_names_are_not_taken_over(server, provider, space):
    with open(space.file("password"), "w", encoding="ascii") as file:
        file.write("bob has a long password\n")
    dtr("user", "create", "bob", "--password-file", space.file("password"), *server.cli_auth(), check=0)
    for name in ("admin", "bob"):
        provider.set("mallory", preferred_username=name, groups=["root"])
        answer = Browser(provider).sign_in(server, "mallory")
        assert answer.status_code == 403 and f"an account named &#39;{name}&#39; exists" in answer.text
        assert "docker login" not in answer.text
        assert ask(server, "GET", f"/api/v0/api_tokens?account={name}") == []
    # Who was here keeps his account when the provider gives his name to somebody else, and when his own name changes.
    provider.set("alice", preferred_username="alice")
    signed_in(server, provider, "alice")
    provider.set("second-alice", preferred_username="alice")
    assert Browser(provider).sign_in(server, "second-alice").status_code == 403
    provider.set("alice", preferred_username="alice-smith", name="Alice Smith")
    assert signed_in(server, provider, "alice")[0] == "alice"
    assert ask(server, "GET", "/enzi/v0/accounts/alice")["fullName"] == "Alice Smith"


def test_a_thin_id_token_is_filled_from_userinfo(server, space):
    with Provider(space, [server.https_url + "/enzi/v0/oidc/callback"], conform=True) as provider:
        configure(server, provider)
        provider.set("carol", preferred_username="carol", name="Carol", groups=["devs"])
        assert signed_in(server, provider, "carol")[0] == "carol"
        assert ask(server, "GET", "/enzi/v0/accounts/carol")["fullName"] == "Carol"


@pytest.mark.parametrize("client", [
    {"token_endpoint_auth_method": "client_secret_post"},
    {"token_endpoint_auth_method": "none", "client_secret": None},
    {"id_token_signed_response_alg": "ES256"},
])
def test_other_kinds_of_clients(server, space, client):
    redirect = [server.https_url + "/enzi/v0/oidc/callback"]
    entry = {"client_id": "dtr", "client_secret": "canary-of-the-client-secret", "redirect_uris": redirect, **client}
    entry = {key: value for key, value in entry.items() if value is not None}
    methods = [client["token_endpoint_auth_method"]] if "token_endpoint_auth_method" in client else None
    with Provider(space, redirect, clients=[entry], methods=methods) as provider:
        configure(server, provider, *(["--no-client-secret"] if "client_secret" not in entry else []))
        provider.set("dave", preferred_username="dave")
        assert signed_in(server, provider, "dave")[0] == "dave"


def test_hmac_signed_tokens_are_refused(server, space):
    redirect = [server.https_url + "/enzi/v0/oidc/callback"]
    entry = {"client_id": "dtr", "client_secret": "canary-of-the-client-secret" * 2, "redirect_uris": redirect,
             "id_token_signed_response_alg": "HS256"}
    with Provider(space, redirect, clients=[entry]) as provider:
        provider.secret = entry["client_secret"]
        configure(server, provider)
        provider.set("dave", preferred_username="dave")
        answer = Browser(provider).sign_in(server, "dave")
        assert answer.status_code == 400 and "HS256" in answer.text


def test_the_users_no(server, provider):
    provider.set("alice", preferred_username="alice")
    browser = Browser(provider)
    answer = browser.get(server.https_url + "/enzi/v0/oidc/login")
    page = browser.get(answer.headers["Location"])
    assert page.status_code in (302, 303)
    form = browser.get(provider.issuer + page.headers["Location"] if page.headers["Location"].startswith("/")
                       else page.headers["Location"])
    abort = re.search(r'href="([^"]*abort[^"]*)"', form.text).group(1)
    address = browser.get(abort).headers["Location"]
    while "/enzi/v0/oidc/callback" not in address.split("?")[0]:
        address = browser.get(address).headers["Location"]
    answer = browser.get(address)
    assert answer.status_code == 403 and "access_denied" in answer.text


def test_settings(server, provider, space):
    shown = dtr("oidc", "show", *server.cli_auth(), check=0).text
    assert provider.issuer in shown and "hasClientSecret\ttrue" in shown and provider.secret not in shown
    settings = ask(server, "GET", "/enzi/v0/config/auth/oidc")
    assert "clientSecret" not in settings and settings["groupsClaim"] == "groups"
    ask(server, "PUT", "/enzi/v0/config/auth/oidc", {**settings, "adminGroup": "root"})  # the secret stays
    provider.set("alice", preferred_username="alice")
    name, token = signed_in(server, provider, "alice")
    for method in ("GET", "PUT"):
        ask(server, method, "/enzi/v0/config/auth/oidc", settings, auth=(name, token), status=403)
        ask(server, method, "/enzi/v0/config/auth/oidc", settings, auth=None, status=401)
    for bad in ({"issuer": "http://id.example"}, {"surprise": 1}, {"scopes": ["profile"]}):
        ask(server, "PUT", "/enzi/v0/config/auth/oidc", {**settings, **bad}, status=400)
    done = dtr("oidc", "set", "--issuer", "http://id.example", *server.cli_auth())
    assert done.code != 0 and "not encrypted" in done.err
    assert "issuer\t" + provider.issuer in dtr("oidc", "show", *server.cli_auth(), check=0).text

    dtr("oidc", "set", "--disable", *server.cli_auth(), check=0)
    answer = Browser(provider).get(server.https_url + "/enzi/v0/oidc/login")
    assert answer.status_code == 404 and "not set up" in answer.text
    dtr("oidc", "set", "--enable", *server.cli_auth(), check=0)
    signed_in(server, provider, "alice")

    # The secret is nowhere in clear, and comes back with a restore.
    password = server.password
    server.backup(space.file("b.tar"))
    for path in (space.file("b.tar"), server.log_path):
        with open(path, "rb") as file:
            assert provider.secret.encode() not in file.read()
    server.stop()
    run(["rm", "-rf", server.data_dir + "-old"], check=0)
    key = space.file("recovery-key")
    with open(key, "w", encoding="ascii") as file:
        file.write(server.read("recovery-key"))
    run(["mv", server.data_dir, server.data_dir + "-old"], check=0)
    dtr("restore", "--data-dir", server.data_dir, "--identity", key, space.file("b.tar"), check=0)
    server.known_password = password
    server.start()
    assert signed_in(server, provider, "alice")[0] == "alice"


def test_a_provider_that_is_not_there_or_not_itself(server, provider, space):
    provider.stop()
    answer = Browser(provider).get(server.https_url + "/enzi/v0/oidc/login")
    assert answer.status_code == 503 and "OIDC provider" in answer.text
    provider.start()
    with open(space.file("other-ca.pem"), "w", encoding="ascii") as file:
        file.write(server.ca())
    dtr("oidc", "set", "--ca-file", space.file("other-ca.pem"), *server.cli_auth(), check=0)
    answer = Browser(provider).get(server.https_url + "/enzi/v0/oidc/login")
    assert answer.status_code == 503 and "caPEM" in answer.text
    dtr("oidc", "set", "--ca-file", provider.ca_file, "--issuer", provider.issuer + "/", *server.cli_auth(), check=0)
    answer = Browser(provider).get(server.https_url + "/enzi/v0/oidc/login")
    assert answer.status_code == 503 and "its issuer is" in answer.text


def test_the_secret_is_not_given_to_another_provider(server, provider):
    settings = ask(server, "GET", "/enzi/v0/config/auth/oidc")
    assert settings["hasClientSecret"]
    ask(server, "PUT", "/enzi/v0/config/auth/oidc", {**settings, "issuer": "https://elsewhere.example"}, status=400)
    ask(server, "PUT", "/enzi/v0/config/auth/oidc", {**settings, "clientID": "another"}, status=400)
    ask(server, "PUT", "/enzi/v0/config/auth/oidc", settings)
    provider.set("alice", preferred_username="alice")
    signed_in(server, provider, "alice")
    moved = dtr("oidc", "set", "--issuer", "https://elsewhere.example", *server.cli_auth(), check=0)
    assert "secret belongs to another" in moved.err
    assert not ask(server, "GET", "/enzi/v0/config/auth/oidc")["hasClientSecret"]


def test_inactive_accounts_stay_out(server, provider):
    provider.set("alice", preferred_username="alice")
    token = signed_in(server, provider, "alice")[1]
    ask(server, "PATCH", "/enzi/v0/accounts/alice", {"isActive": False})
    answer = Browser(provider).sign_in(server, "alice")
    assert answer.status_code == 403 and "inactive" in answer.text
    ask(server, "GET", "/enzi/v0/accounts/alice", auth=("alice", token), status=401)
    assert len(json.dumps(ask(server, "GET", "/api/v0/api_tokens?account=alice"))) > 2
