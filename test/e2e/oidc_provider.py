"""A real OpenID Connect provider (test/e2e/node, npm's oidc-provider) and a browser of a few lines for its forms."""

import html
import json
import os
import re
import subprocess
import time
from urllib.parse import urljoin

import requests

from harness import ROOT, clean_env, free_port, tool

NODE = os.path.join(ROOT, "test", "e2e", "node")


class Provider:
    """Its people are a dict of claims by login, and may be changed while it runs."""

    def __init__(self, space, redirect_uris, conform=False, clients=None, methods=None):
        self.port = free_port()
        self.issuer = f"https://localhost:{self.port}"
        self.space = space
        self.secret = "canary-of-the-client-secret"
        self.accounts_file = space.file("oidc-accounts.json")
        self.ca_file = space.file("oidc-ca.pem")
        self.log_path = space.file("oidc-provider.log")
        self.process = None
        self.people = {}
        client = {"client_id": "dtr", "client_secret": self.secret, "redirect_uris": redirect_uris}
        self.settings = {"port": self.port, "certificate": self.ca_file, "key": space.file("oidc-key.pem"),
                         "accounts": self.accounts_file, "conform": conform, "methods": methods,
                         "signing": {kind: space.file(f"oidc-signing-{kind}.pem") for kind in ("rsa", "ec")},
                         "clients": clients or [client]}

    def set(self, login, **claims):
        self.people[login] = claims
        with open(self.accounts_file, "w", encoding="utf-8") as file:
            json.dump(self.people, file)

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def __enter__(self):
        tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", self.settings["key"],
             "-out", self.ca_file)
        self.start()
        return self

    def start(self):
        """With new signing keys."""
        tool("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.settings["signing"]["rsa"])
        tool("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.settings["signing"]["ec"])
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(["node", "provider.mjs", json.dumps(self.settings)], cwd=NODE, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=clean_env({"NODE_ENV": "test"}))
        deadline = time.monotonic() + 30
        while "provider: ready" not in self.log():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.stop()


class Browser:
    """Follows redirects one by one, keeps cookies as browsers do, fills in the provider's forms."""

    def __init__(self, provider):
        self.provider = provider
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = False

    def get(self, url):
        return self.session.get(url, allow_redirects=False, timeout=20)

    def to_callback(self, url, login):
        """From our login address through the provider's pages, until it sends us back: answers that address."""
        answer = self.get(url)
        assert answer.status_code == 303, answer.text
        address = answer.headers["Location"]
        for _ in range(12):
            if "/enzi/v0/oidc/callback" in address.split("?")[0]:
                return address
            answer = self.get(address)
            if answer.status_code == 200:
                action = html.unescape(re.search(r'<form[^>]*action="([^"]+)"', answer.text).group(1))
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text).group(1)
                fields = {"prompt": prompt, "login": login, "password": "any"}
                answer = self.session.post(urljoin(address, action), data=fields, allow_redirects=False, timeout=20)
            assert answer.status_code in (302, 303), answer.text
            address = urljoin(address, answer.headers["Location"])
        raise AssertionError("the provider goes in circles")

    def sign_in(self, server, login):
        return self.get(self.to_callback(server.https_url + "/enzi/v0/oidc/login", login))


def codes(answer):
    """What a page shows between <pre> and </pre>."""
    return [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", answer.text, re.S)]
