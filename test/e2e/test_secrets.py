"""Canaries: every secret of a UCP and its registry, sought in logs, arguments, core files, archives and temporary files."""

import base64
import os
import re
import signal
import stat
import subprocess
import tarfile
import urllib.parse

import pytest
import requests

from harness import DTR, UcpServer, clean_env, dtr, tool, ucp
from oci import Image, Registry
from test_ucp import eventually

PASSPHRASE, PASSWORD, CLIENT_SECRET = "canary-passphrase-7Qx", "canary-password-4Kz", "canary-client-secret-9Wv"


def spellings(secret):
    """As it may stand somewhere: as it is, in a URL, or within base64, wherever it begins there."""
    found = {secret, urllib.parse.quote(secret, safe="")}
    for before in range(3):
        whole = base64.b64encode(b"x" * before + secret.encode()).decode().rstrip("=")
        # Characters that only the secret decides.
        found.add(whole[(0, 2, 3)[before]:len(whole) - ((before + len(secret)) % 3 != 0)])
    return found


class World:
    """Both systems with people, keys and tokens, and all that their commands said."""

    def __init__(self, space):
        self.space = space
        self.said = []
        self.temp = space.dir("temp")
        self.env = {"TMPDIR": self.temp}
        self.identity = UcpServer(space.file("ucp"), ["--debug"], self.env)
        self.registry = space.server("dtr", "--debug", env=self.env)
        space.servers.append(self.identity)
        self.identity.start()
        self.auth = ["--ucp-url", self.identity.host, "--ucp-ca", self.identity.ca(), "--ucp-username", "admin"]
        self.command(dtr, "install", *self.auth, "--data-dir", self.registry.data_dir, "--dtr-external-url", self.registry.host)
        self.registry.known_password = self.identity.password
        self.registry.start()
        self.command(ucp, "user", "create", "alice", *self.auth, "--password-file", self.file("password", PASSWORD))
        self.command(ucp, "oidc", "set", *self.auth, "--issuer", "https://127.0.0.1:9", "--client-id", "dtr",
                     "--client-secret-file", self.file("client-secret", CLIENT_SECRET))
        eventually(lambda: self.ask(PASSWORD) == 200)
        made = ucp("token", "create", "--label", "cron", *self.auth, env=self.with_password(), check=0)
        self.token = made.text.strip()
        self.said.append(made.err)
        self.bearer = requests.get(self.registry.url + "/auth/token", auth=("alice", PASSWORD), timeout=30,
                                   params={"scope": "repository:alice/app:pull,push"}).json()["token"]
        self.recovery = re.search("AGE-SECRET-KEY-1[0-9A-Z]+", self.registry.read("recovery-key"))[0]
        self.secrets = {"administrator's password": self.identity.password, "password": PASSWORD, "passphrase": PASSPHRASE,
                        "client secret": CLIENT_SECRET, "access token": self.token, "recovery key": self.recovery,
                        "registry token": self.bearer, "private key": "PRIVATE KEY-----"}
        self.needles = {word.encode(): what for what, secret in self.secrets.items() for word in spellings(secret)}

    def with_password(self, more=None):
        return {**self.env, "UCP_PASSWORD": self.identity.password, **(more or {})}

    def file(self, name, text):
        path = self.space.file("given-" + name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text + "\n")
        return path

    def command(self, program, *args, env=None, check=0):
        done = program(*args, env=self.with_password(env), check=check)
        self.said += [done.text, done.err]
        return done

    def ask(self, password, name="alice", path="/v2/_catalog"):
        return requests.get(self.registry.url + path, auth=(name, password), timeout=30).status_code

    def found_in(self, content):
        return {what for needle, what in self.needles.items() if needle in content}

    def live(self):
        """What people do in a day, and get wrong."""
        Registry(self.registry, "alice/app", auth=("alice", PASSWORD)).push(Image(), "1")
        requests.get(self.registry.url + "/v2/alice/app/tags/list", headers={"Authorization": "Bearer " + self.bearer}, timeout=30)
        requests.get(self.registry.url + "/v2/alice/app/tags/list", headers={"Authorization": "Bearer " + self.bearer + "x"},
                     timeout=30)
        assert self.ask(self.token, "admin") == 200 and self.ask(PASSWORD + "x") == 401 and self.ask(PASSWORD, "nobody") == 401
        for method, path, body in [("POST", "/enzi/v0/accounts/alice/changePassword", {"oldPassword": "x", "newPassword": PASSWORD}),
                                   ("POST", "/enzi/v0/escrow", {"identity": self.recovery}), ("PUT", "/enzi/v0/escrow", {}),
                                   ("POST", "/enzi/v0/accounts", {"name": "bad name", "password": PASSWORD})]:
            for server in (self.identity, self.registry):
                requests.request(method, server.url + path, json=body, auth=("alice", PASSWORD), timeout=30)
        self.command(dtr, "repo", "list", *self.auth[:-1], "nobody", check=6)
        self.command(dtr, "dumpcerts", *self.auth, "--output", self.space.file("given-certs.tar"))


@pytest.fixture
def world(space):
    return World(space)


def test_no_secret_is_told_to_logs_or_terminals(world):
    world.live()
    archive = world.space.file("b.tar")
    world.command(dtr, "backup", *world.auth, "--output", archive)
    world.command(ucp, "backup", *world.auth, "--output", world.space.file("u.tar"), env={"UCP_PASSPHRASE": PASSPHRASE})
    world.registry.stop()
    os.rename(world.registry.data_dir, world.space.file("old"))
    world.command(dtr, "restore", *world.auth, "--debug", "--data-dir", world.registry.data_dir, archive)
    world.registry.start()
    for server in (world.identity, world.registry):
        assert "debug" in server.log() or "GET" in server.log(), "it says much"
        assert not world.found_in(server.log().encode())
    assert not world.found_in("".join(world.said).encode())
    assert "key.release" in ucp("audit", *world.auth, env=world.with_password(), check=0).text
    assert not world.found_in(ucp("audit", *world.auth, env=world.with_password(), check=0).out)


def test_no_secret_lies_in_an_archive_in_clear(world):
    world.live()
    for program, name in ((dtr, "b.tar"), (ucp, "u.tar")):
        path = world.space.file(name)
        world.command(program, "backup", *world.auth, "--output", path, env={"UCP_PASSPHRASE": PASSPHRASE})
        with open(path, "rb") as file:
            assert not world.found_in(file.read())
        with tarfile.open(path) as archive:
            packed = [m for m in archive if m.name.endswith(".zst")]
            assert packed
            for member in packed:
                plain = subprocess.run(["zstd", "-dcq"], input=archive.extractfile(member).read(), capture_output=True, check=True)
                assert not world.found_in(plain.stdout), member.name


def files_below(path):
    files = (os.path.join(root, name) for root, _, names in os.walk(path) for name in names)
    return [file for file in files if not os.path.islink(file)]


def test_secrets_on_the_disk_are_keys_and_what_was_handed_out(world):
    """Passwords, passphrases and tokens lie nowhere; keys where only their owner reads them."""
    world.live()
    world.command(dtr, "backup", *world.auth, "--output", world.space.file("given-b.tar"))
    nowhere = {"password", "passphrase", "access token", "registry token"}
    kept = {}
    for server in (world.identity, world.registry):
        for path in files_below(server.data_dir):
            with open(path, "rb") as file:
                found = world.found_in(file.read())
            assert not found & nowhere, f"{path}: {found}"
            if found:
                kept[path] = found
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    assert {one for found in kept.values() for one in found} == set(world.secrets) - nowhere
    for path, found in kept.items():
        inside = os.path.relpath(path, world.space.path).split(os.sep)[1]
        assert inside in ("ca", "config", "recovery-key", "admin-password"), f"{path}: {found}"
    for path in files_below(world.temp):
        with open(path, "rb") as file:
            assert not world.found_in(file.read()), path


def test_what_runs_shows_no_secret_and_leaves_no_core(world):
    """While a backup is held up: its arguments, and what the server has spooled; then both die."""
    Registry(world.registry, "alice/app", auth=("alice", PASSWORD)).push(Image(layers=[{"big": os.urandom(8 << 20)}]), "1")
    with subprocess.Popen([DTR, "backup", *world.auth, "--ucp-password", world.identity.password], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=clean_env(world.env), cwd=world.temp) as command:
        assert command.stdout.read(1 << 20)
        with open(f"/proc/{command.pid}/cmdline", "rb") as file:
            arguments = file.read()
        assert b"--ucp-password" in arguments and not world.found_in(arguments)
        for pid in (world.registry.process.pid, world.identity.process.pid, command.pid):
            for number in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{number}"
                target = os.readlink(path)
                if "(deleted)" in target and os.path.isfile(path):  # spooled, for nobody to find
                    with open(path, "rb") as file:
                        assert not world.found_in(file.read()), target
            with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                assert re.search(r"Max core file size +0 +0 ", file.read())
        command.send_signal(signal.SIGABRT)
    world.registry.process.send_signal(signal.SIGABRT)
    world.registry.process.wait(30)
    assert not [path for path in files_below(world.temp) if "core" in os.path.basename(path)]
    tool("sh", "-c", f"! ls {world.space.path}/core* 2>/dev/null")
