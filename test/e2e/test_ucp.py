"""UCP as a process of its own: the predecessor's session, rights, what happens while it is away, and its own backup."""

import json
import os
import shutil
import subprocess
import tarfile
import time

import pytest
import requests

from harness import dtr, tool, ucp
from oci import Image, Registry

PASSWORD = "a long password"


def flags(identity, name="admin", password=None):
    return ["--ucp-url", identity.host, "--ucp-ca", identity.ca(), "--ucp-username", name,
            "--ucp-password", password or identity.password]


def eventually(check, seconds=15):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


class Pair:
    """A UCP and a registry that relies on it, from two empty directories."""

    def __init__(self, space, name, *serve_args):
        self.space = space
        self.identity = space.ucp("ucp-" + name).start()
        self.registry = space.server("dtr-" + name, *serve_args)
        self.install(self.registry)
        self.registry.known_password = self.identity.password
        self.registry.start()
        self.wait()

    def install(self, registry, *args, check=0):
        return dtr("install", *flags(self.identity), "--data-dir", registry.data_dir, "--replica-id", "0123456789ab",
                   "--dtr-external-url", registry.host, "--replica-https-port", str(registry.https_port), *args, check=check)

    def wait(self):
        eventually(lambda: self.status() == 200)

    def status(self, name="admin", password=None, path="/v2/_catalog"):
        auth = (name, password or self.identity.password)
        return requests.get(self.registry.url + path, auth=auth, timeout=30).status_code

    def ucp(self, *args, check=0, **options):
        return ucp(*args, *flags(self.identity), check=check, **options)

    def user(self, name, *more):
        self.ucp("user", "create", name, "--password-file", self.password_file(), *more)

    def password_file(self):
        path = self.space.file("password")
        with open(path, "w", encoding="utf-8") as file:
            file.write(PASSWORD + "\n")
        return path

    def staff(self):
        """An organisation with two teams, three users; readers may pull from all of it, builders push to one repository."""
        for name in ("olga", "rita", "bert"):
            self.user(name)
        self.ucp("org", "create", "acme", "--owner", "olga")
        for team, member in (("readers", "rita"), ("builders", "bert")):
            self.ucp("team", "create", f"acme/{team}")
            self.ucp("team", "add-member", f"acme/{team}", member)
        builders = self.registry.url + "/enzi/v0/accounts/acme/teams/builders/members"
        eventually(lambda: "bert" in requests.get(builders, auth=self.registry.auth, timeout=30).text)
        image = Registry(self.registry, "acme/app").push(Image(label="first"), "v1")
        dtr("grant", "set", "acme/readers", "read-only", "--namespace", "acme", *flags(self.identity), check=0)
        self.ucp("grant", "set", "acme/builders", "read-write", "--repository", "acme/app")
        return image

    def rights(self):
        """{(who, what): whether it is allowed}, through skopeo."""
        creds = {who: ["--creds", f"{who}:{PASSWORD}"] for who in ("olga", "rita", "bert")}
        layout = self.space.dir("layout")
        tool("skopeo", "copy", "--src-tls-verify=false", "--src-creds", f"admin:{self.identity.password}",
             f"docker://{self.registry.plain_host}/acme/app:v1", f"oci:{layout}:v1")

        def goes(*args):
            done = subprocess.run(["skopeo", *args], capture_output=True, timeout=60, check=False)
            return done.returncode == 0

        found = {}
        for who, given in creds.items():
            found[who, "pull"] = goes("inspect", "--tls-verify=false", *given,
                                      f"docker://{self.registry.plain_host}/acme/app:v1")
            found[who, "push"] = goes("copy", "--dest-tls-verify=false", "--dest-creds", given[1], f"oci:{layout}:v1",
                                      f"docker://{self.registry.plain_host}/acme/app:{who}")
            found[who, "create"] = goes("copy", "--dest-tls-verify=false", "--dest-creds", given[1], f"oci:{layout}:v1",
                                        f"docker://{self.registry.plain_host}/acme/new-{who}:v1")
        return found


RIGHTS = {("olga", "pull"): True, ("olga", "push"): True, ("olga", "create"): True,
          ("rita", "pull"): True, ("rita", "push"): False, ("rita", "create"): False,
          ("bert", "pull"): True, ("bert", "push"): True, ("bert", "create"): False}


@pytest.fixture
def pair(space):
    return Pair(space, "a")


def test_the_predecessors_session_word_for_word(pair, space):
    pair.staff()
    assert pair.rights() == RIGHTS
    ca_file, archive = space.file("ucp-ca.pem"), space.file("backup.tar")
    with open(ca_file, "wb") as out:
        tool("curl", "-sk", pair.identity.https_url + "/ca", stdout=out)
    with open(ca_file, encoding="utf-8") as file:
        ca = file.read()
    given = ["--ucp-url", pair.identity.host, "--ucp-ca", ca, "--ucp-username", "admin", "--ucp-password",
             pair.identity.password]
    with open(archive, "wb") as out:
        dtr("backup", *given[:4], "--existing-replica-id", "0123456789ab", *given[4:], stdout=out, check=0)
    names = tool("tar", "-tf", archive).text
    assert "SEAL.json" in names and "accounts/teams" in names
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member).read() if member.isfile() else b""
            assert b"PRIVATE KEY" not in content, f"{member.name} holds a key in clear"

    pair.registry.stop()
    shutil.rmtree(pair.registry.data_dir)
    with open(archive, "rb") as file:
        restored = dtr("restore", *given, "--data-dir", pair.registry.data_dir, "--dtr-external-url", pair.registry.host,
                       stdin=file, check=0)
    assert "accounts are those of UCP" in restored.err
    pair.registry.start()
    pair.wait()
    assert pair.rights() == RIGHTS
    tool("skopeo", "inspect", "--tls-verify=false", "--creds", f"rita:{PASSWORD}",
         f"docker://{pair.registry.plain_host}/acme/app:v1")
    events = pair.ucp("audit").text
    assert "key.release" in events and "service.register" in events


def test_what_is_refused_before_anything_is_sent_or_made(pair, space):
    other = space.ucp("other").start()
    pair.user("alice")
    sink = space.file("none.tar")

    def backup(*args):
        with open(sink, "wb") as out:
            return dtr("backup", *args, stdout=out)

    denied = backup(*flags(pair.identity, "alice", PASSWORD))
    assert denied.code == 6 and "administrator" in denied.err
    wrong = flags(pair.identity)
    wrong[3] = other.ca()
    assert backup(*wrong).code == 6
    unknown = backup(*flags(pair.identity), "--existing-replica-id", "ffffffffffff")
    assert unknown.code == 10 and "ffffffffffff" in unknown.err
    assert os.path.getsize(sink) == 0
    fresh = space.server("fresh")
    bad = dtr("install", *flags(pair.identity, "admin", "not the password"), "--data-dir", fresh.data_dir)
    assert bad.code == 6
    assert not os.path.exists(fresh.data_dir) or not os.listdir(fresh.data_dir)


def test_accounts_are_managed_at_ucp_and_rights_follow_within_seconds(pair):
    pair.user("alice")
    eventually(lambda: pair.status("alice", PASSWORD) == 200)
    refused = requests.post(pair.registry.url + "/enzi/v0/accounts", json={"name": "bob", "password": PASSWORD},
                            auth=pair.registry.auth, timeout=30)
    assert refused.status_code == 405 and "UCP" in refused.text
    token = requests.get(pair.registry.url + "/auth/token", params={"scope": "repository:alice/x:pull,push"},
                         auth=("alice", PASSWORD), timeout=30).json()["token"]
    upload = {"headers": {"Authorization": "Bearer " + token}, "timeout": 30}
    assert requests.post(pair.registry.url + "/v2/alice/x/blobs/uploads/", **upload).status_code == 202
    pair.ucp("user", "deactivate", "alice")
    eventually(lambda: pair.status("alice", PASSWORD) == 401)
    eventually(lambda: requests.post(pair.registry.url + "/v2/alice/x/blobs/uploads/", **upload).status_code == 401)


def test_while_ucp_is_away_what_is_public_can_be_pulled_and_the_rest_fails_closed(space):
    pair = Pair(space, "b", "--set", "ucp.max-age=3s")
    Registry(pair.registry, "admin/open").push(Image(label="open"), "v1")
    dtr("repo", "publish", "admin/open", *flags(pair.identity), check=0)
    pair.identity.kill9()
    eventually(lambda: pair.status() == 503)
    answer = requests.get(pair.registry.url + "/v2/_catalog", auth=pair.registry.auth, timeout=30)
    assert pair.identity.host in answer.text, "the message names UCP"
    tool("skopeo", "inspect", "--tls-verify=false", "--no-creds", f"docker://{pair.registry.plain_host}/admin/open:v1")
    unreachable = dtr("backup", "--ucp-url", pair.identity.host, "--ucp-insecure-tls", "--ucp-username", "admin",
                      "--ucp-password", "x", stdout=subprocess.DEVNULL)
    assert unreachable.code == 3
    pair.identity.start()
    eventually(lambda: pair.status() == 200)


def test_a_token_for_backups_reads_backups_and_nothing_else(pair, space):
    made = pair.ucp("token", "create", "--label", "cron", "--scope", "backup").text
    token = next(word for word in made.split() if word.startswith("dtr_"))
    given = flags(pair.identity, "admin", token)
    archive = space.file("operator.tar")
    with open(archive, "wb") as out:
        dtr("backup", *given, stdout=out, check=0)
    dtr("verify", archive, "--identity", os.path.join(pair.registry.data_dir, "recovery-key"), check=0)
    for command in (["gc"], ["repo", "list"], ["user", "list"], ["backup", "--secrets", "plaintext"]):
        refused = dtr(*command, *given, stdout=subprocess.DEVNULL)
        assert refused.code == 6, f"{command}: {refused}"
    # With the password all of it can be had through UCP, and what is for passwords alone as well.
    for command in (["backup", "--secrets", "plaintext"], ["dumpcerts"]):
        dtr(*command, *flags(pair.identity), "--output", space.file(command[0] + "-in-clear"), check=0)
    label = dtr("token", "create", "--label", "by dtr", *flags(pair.identity))
    assert label.code == 0 and pair.status("admin", label.text.strip()) == 200, label
    released = requests.post(pair.identity.https_url + "/enzi/v0/escrow/release", verify=False, timeout=30,
                             json={"recipient": "age1x"}, auth=("admin", token))
    assert released.status_code == 403


def test_keys_leave_escrow_to_a_password_and_five_times_an_hour(pair):
    with open(os.path.join(pair.registry.data_dir, "recovery-key"), encoding="utf-8") as file:
        identity = file.read()
    recipient = next(line.split()[-1] for line in identity.splitlines() if "age1" in line)
    ask = {"verify": False, "timeout": 30, "json": {"recipient": recipient}}
    url = pair.identity.https_url + "/enzi/v0/escrow/release"
    assert requests.post(url, **ask).status_code == 401
    pair.user("alice")
    assert requests.post(url, auth=("alice", PASSWORD), **ask).status_code == 403
    for _ in range(5):
        answer = requests.post(url, auth=pair.identity.auth, **ask)
        assert answer.status_code == 200 and answer.json()["identity"] == identity
    assert requests.post(url, auth=pair.identity.auth, **ask).status_code == 429
    unknown = {**ask, "json": {"recipient": "age1" + "q" * 58}}
    assert requests.post(url, auth=pair.identity.auth, **unknown).status_code == 404


def test_ucp_comes_back_from_its_own_backup(pair, space):
    pair.staff()
    archive = space.file("ucp.tar")
    with open(archive, "wb") as out:
        pair.ucp("backup", stdout=out)
    crossed = dtr("restore", "--data-dir", space.file("crossed"), "--identity",
                  os.path.join(pair.identity.data_dir, "recovery-key"), archive)
    assert crossed.code == 10 and "UCP" in crossed.err
    key = space.file("ucp-key")
    shutil.copy(os.path.join(pair.identity.data_dir, "recovery-key"), key)
    password = pair.identity.password
    pair.user("ghost")  # after the backup: gone with the restore, also at the registry
    eventually(lambda: pair.status("ghost", PASSWORD) == 200)
    pair.identity.stop()
    shutil.rmtree(pair.identity.data_dir)
    ucp("restore", "--data-dir", pair.identity.data_dir, "--identity", key, archive, check=0)
    pair.identity.known_password = password
    wrong = dtr("serve", "--data-dir", pair.identity.data_dir, "--listen", "127.0.0.1:0")
    assert wrong.code == 10 and "ucp serve" in wrong.err
    pair.identity.start()
    pair.wait()  # same authority, same service, same accounts: nothing is to be done at the registry
    assert pair.rights() == RIGHTS
    pair.user("later")
    eventually(lambda: pair.status("later", PASSWORD) == 200)
    known = requests.get(pair.registry.url + "/enzi/v0/accounts", auth=pair.registry.auth, timeout=30).json()["accounts"]
    assert {"later", "olga"} <= {a["name"] for a in known} and "ghost" not in {a["name"] for a in known}


def test_a_backup_of_ucp_opens_with_the_passphrase_of_the_environment(space):
    identity = space.ucp("ucp").start()
    phrase = {"UCP_PASSPHRASE": "a passphrase of the operators"}
    archive = space.file("ucp.tar")
    with open(archive, "wb") as out:
        ucp("backup", *flags(identity), stdout=out, env=phrase, check=0)
    identity.stop()
    signer = ucp("verify", archive, env=phrase, check=0).text.split("signer ")[-1].split(",")[0]
    for env in ({}, {"UCP_PASSPHRASE": "another one"}):
        refused = ucp("restore", "--data-dir", space.file("b"), "--trust", signer, archive, env=env)
        assert refused.code == 6, refused
    restored = ucp("restore", "--data-dir", space.file("b"), "--trust", signer, archive, env=phrase, check=0)
    assert all(line.startswith("ucp: ") for line in restored.err.splitlines()), restored.err
    again = space.ucp("b").start()
    again.known_password = identity.password
    assert ucp("user", "list", *flags(again), check=0).text.startswith("admin")


def test_a_backup_without_accounts_takes_them_from_ucp(pair, space):
    pair.staff()
    archive, full = space.file("slim.tar"), space.file("full.tar")
    for file, more in ((full, []), (archive, ["--accounts", "exclude"])):
        with open(file, "wb") as out:
            dtr("backup", *flags(pair.identity), *more, stdout=out, check=0)
    rows = [name.split("/")[1] for name in tool("tar", "-tf", full).text.split() if "/accounts/" in name]
    assert rows, "they are there if nothing is said"
    with tarfile.open(archive) as tar:
        assert not [m.name for m in tar if "/accounts/" in m.name or "access_token" in m.name or "account_secrets" in m.name]
        assert b"Accounts are not in it" in tar.extractfile(next(m for m in tar if m.name.endswith("RESTORE.txt"))).read()
    dtr("verify", "--identity", os.path.join(pair.registry.data_dir, "recovery-key"), archive, check=0)
    pair.registry.stop()
    shutil.rmtree(pair.registry.data_dir)
    dtr("restore", *flags(pair.identity), "--data-dir", pair.registry.data_dir, "--dtr-external-url", pair.registry.host, archive,
        check=0)
    pair.registry.start()
    pair.wait()
    assert pair.rights() == RIGHTS
    with open(os.devnull, "wb") as out:  # UCP's own have nowhere else to be
        refused = ucp("backup", "--accounts", "exclude", *flags(pair.identity), stdout=out)
    assert refused.code == 2


def test_a_refused_restore_uses_up_no_key(pair, space):
    """Five releases an hour: none of them for what could be refused without one."""
    archive, whole = space.file("c.tar"), space.file("a.tar")
    dtr("backup", *flags(pair.identity), "--output", whole, check=0)
    dtr("backup", *flags(pair.identity), "--config-only", "--output", archive, check=0)
    occupied = space.dir("occupied")
    with open(os.path.join(occupied, "notes"), "w", encoding="ascii"):
        pass
    for _ in range(3):
        refused = dtr("restore", *flags(pair.identity), "--data-dir", occupied, whole, check=10)
        assert "notes" in refused.err
        dtr("restore", *flags(pair.identity), "--data-dir", pair.registry.data_dir, whole, check=10)
        dtr("restore", *flags(pair.identity), "--data-dir", space.file("b"), archive, check=2)
    assert "key.release" not in pair.ucp("audit").text
    restored = dtr("restore", *flags(pair.identity), "--data-dir", space.file("b"), whole)
    assert restored.code == 0, restored
    for _ in range(4):
        dtr("restore", *flags(pair.identity), "--rewind", "--data-dir", space.file("b"), whole, check=0)
    limited = dtr("restore", *flags(pair.identity), "--rewind", "--data-dir", space.file("b"), whole, check=3)
    assert "try again in" in limited.err and "--identity" in limited.err, limited


def test_without_secrets_a_registry_registers_anew(pair, space):
    pair.staff()
    whole = space.file("a.tar")
    dtr("backup", *flags(pair.identity), "--output", whole, check=0)
    signer = dtr("verify", "--json", whole, check=0).json["signer"]
    pair.registry.stop()
    shutil.rmtree(pair.registry.data_dir)
    given = ["--without-secrets", "--trust", signer, "--data-dir", pair.registry.data_dir, "--dtr-external-url", pair.registry.host, whole]
    refused = dtr("restore", *given, check=10)
    assert "--ucp-url" in refused.err
    dtr("restore", *flags(pair.identity), *given, check=0)
    pair.registry.start()
    pair.wait()
    assert pair.rights() == RIGHTS


def test_a_wrong_password_is_no_missing_replica(pair):
    refused = dtr("gc", *flags(pair.identity, "admin", "not the password"), check=6)
    assert "password is wrong" in refused.err and "cannot reach" not in refused.err, refused


def test_accounts_are_mapped_onto_another_ucp(pair, space):
    pair.staff()
    archive = space.file("move.tar")
    with open(archive, "wb") as out:
        dtr("backup", *flags(pair.identity), stdout=out, check=0)
    key = os.path.join(pair.registry.data_dir, "recovery-key")

    second = Pair.__new__(Pair)
    second.space, second.identity = space, space.ucp("ucp-second").start()
    second.registry = space.server("dtr-second")
    for name in ("olga", "rita", "robert"):  # who was bert is robert here
        second.user(name)
    second.ucp("org", "create", "acme", "--owner", "olga")
    second.ucp("team", "create", "acme/readers")
    second.ucp("team", "add-member", "acme/readers", "rita")
    second.ucp("team", "create", "acme/builders")
    second.ucp("team", "add-member", "acme/builders", "robert")

    def restore(*args):
        return dtr("restore", *flags(second.identity), "--identity", key, "--data-dir", second.registry.data_dir,
                   "--dtr-external-url", second.registry.host, *args, archive)

    refused = restore()
    assert refused.code == 10 and "bert" in refused.err and "rita" not in refused.err
    assert not os.path.exists(os.path.join(second.registry.data_dir, "config", "CURRENT"))
    users = space.file("users")
    with open(users, "w", encoding="utf-8") as file:
        file.write("# old new\nbert robert\n")
    done = restore("--map-users", users)
    assert done.code == 0, done
    second.registry.known_password = second.identity.password
    second.registry.start()
    second.wait()
    for who, rights in (("rita", {"pull": 200, "push": 401}), ("robert", {"pull": 200, "push": 202})):
        for scope, expected in rights.items():
            token = requests.get(second.registry.url + "/auth/token", auth=(who, PASSWORD), timeout=30,
                                 params={"scope": "repository:acme/app:pull,push"}).json()["token"]
            method, path = ("GET", "/v2/acme/app/manifests/v1") if scope == "pull" else ("POST",
                                                                                        "/v2/acme/app/blobs/uploads/")
            answer = requests.request(method, second.registry.url + path, timeout=30,
                                      headers={"Authorization": "Bearer " + token})
            assert answer.status_code == expected, f"{who} {scope}: {answer.text}"
    # And UCP opens what the moved registry backs up from now on.
    moved = space.file("moved.tar")
    with open(moved, "wb") as out:
        dtr("backup", *flags(second.identity), stdout=out, check=0)
    dtr("restore", *flags(second.identity), "--data-dir", space.file("third"), moved, check=0)


def test_registering_twice_and_forgetting_a_service(pair):
    url = pair.identity.https_url + "/enzi/v0/services"
    listed = requests.get(url, verify=False, auth=pair.identity.auth, timeout=30).json()["services"]
    assert len(listed) == 1
    replicas = requests.get(pair.identity.https_url + "/enzi/v0/replicas", verify=False, auth=pair.identity.auth,
                            timeout=30).json()["replicas"]
    assert [r["id"] for r in replicas] == ["0123456789ab"] and replicas[0]["address"] == pair.registry.host
    # Without the certificate nothing of it is answered.
    for path, body in (("/enzi/v0/feed", None), ("/enzi/v0/service/login", {"username": "admin", "password": "x"})):
        method = "GET" if body is None else "POST"
        assert requests.request(method, pair.identity.https_url + path, json=body, verify=False,
                                timeout=30).status_code == 401
    assert requests.delete(f"{url}/{listed[0]['id']}", verify=False, auth=pair.identity.auth, timeout=30).status_code == 204
    eventually(lambda: "not registered" in pair.registry.log())
    gone = dtr("status", *flags(pair.identity))
    assert gone.code != 0
    assert json.loads(requests.get(pair.registry.url + "/_ping", timeout=30).text)["Healthy"] is not None


def test_registries_follow_when_ucp_changes_its_authority(pair):
    before = pair.identity.ca()
    ask = ["--ucp-url", pair.identity.host, "--ucp-insecure-tls", "--ucp-username", "admin", "--ucp-password",
           pair.identity.password]
    certificate = os.path.join(pair.registry.data_dir, "ca")

    def client_certificates():
        return {path: open(path, "rb").read() for root, _, names in os.walk(certificate) for path in
                (os.path.join(root, name) for name in names) if "client" in path}

    first = client_certificates()
    ucp("reconfigure", "--rotate-ca", *ask, check=0)
    eventually(lambda: "another authority from UCP" in pair.registry.log(), 30)
    ucp("reconfigure", "--rotate-ca", "--switch", *ask, check=0)
    eventually(lambda: "a new certificate from UCP" in pair.registry.log(), 30)
    assert client_certificates() != first
    ucp("reconfigure", "--rotate-ca", "--finish", *ask, check=0)
    assert pair.identity.ca() != before
    pair.user("later")
    eventually(lambda: pair.status("later", PASSWORD) == 200, 30)
    pair.registry.restart()  # from what it has kept
    pair.wait()
