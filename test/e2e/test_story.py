"""The promise of this project, as an operator lives it: serve, push, back up, lose the machine, restore, pull."""

import base64
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import threading
import time

import pytest

from harness import DTR, clean_env, dtr, run, tool
from oci import Artifact, Image, Index, Registry, describe, digest, layout_digest, write_layout
from steps import entries, is_untouched, restore, skopeo_pull


class Backup:
    """A registry with something of everything, stopped, and its sealed backup. Made once for this file."""

    def __init__(self, space):
        self.space = space
        self.server = space.server("a").start()
        self.password, self.ca = self.server.password, self.server.ca()
        hello = Registry(self.server, "admin/hello")
        self.image, self.index = Image(), Index()
        hello.push(self.image, "1")
        hello.push(self.index, "multi")
        self.wide = Image(algorithm="sha512")
        hello.push(self.wide)
        hello.push(Artifact(subject=self.image.descriptor()), "sbom")
        self.archive, self.key = space.file("full.tar"), space.file("recovery-key")
        self.run = self.server.backup(self.archive)
        shutil.copy(os.path.join(self.server.data_dir, "recovery-key"), self.key)
        self.server.stop()

    def logs(self):
        return self.space.logs()

    @property
    def key_id(self):
        """The signer's key id, as minisign shows it: from the comment in the recovery key."""
        with open(self.key, encoding="ascii") as file:
            line = next(line for line in file if line.startswith("# dtr-signer: "))
        return base64.b64decode(line.split()[2])[2:10][::-1].hex().upper()

    def bytes(self):
        with open(self.archive, "rb") as file:
            return file.read()


@pytest.fixture(scope="module")
def backup(module_space):
    return Backup(module_space)


# -- the story, word for word

def test_lose_and_get_back(space):
    layout = write_layout(space.dir("image"), Image())
    server = space.server("a").start()
    tool("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", f"admin:{server.password}", f"oci:{layout}",
         f"docker://{server.host}/admin/hello:1")
    ca = tool("curl", "-ks", f"https://{server.host}/ca").text
    assert "BEGIN CERTIFICATE" in ca
    archive, key, password = space.file("b.tar"), space.file("recovery-key"), server.password
    with open(archive, "wb") as out:
        dtr("backup", "--ucp-url", server.host, "--ucp-ca", ca, "--ucp-username", "admin", "--ucp-password", password,
            stdout=out, check=0)
    shutil.copy(os.path.join(server.data_dir, "recovery-key"), key)
    assert "SEAL.json" in entries(archive)
    dtr("verify", "--level", "3", "--identity", key, archive, check=0)

    server.stop()
    shutil.rmtree(server.data_dir)
    restore(space.file("b"), archive, "--identity", key)

    again = space.server("b", password=password)
    again.https_port = server.https_port
    again.start()
    skopeo_pull(again, "admin/hello:1", space.file("back"))
    assert layout_digest(space.file("back")) == layout_digest(layout)


def test_everything_comes_back(backup, space):
    """Index, sha512, artifact, referrers, certificates, the old password; and the registry goes on working."""
    restore(space.file("b"), backup.archive, "--identity", backup.key)
    server = space.server("b", password=backup.password).start()
    hello = Registry(server, "admin/hello")
    assert hello.tags() == ["1", "multi", "sbom"]
    for reference in ("1", "multi", "sbom", backup.wide.digest):
        hello.pull(reference)
    assert hello.get("1").headers["Docker-Content-Digest"] == backup.image.digest
    assert hello.get("multi").headers["Docker-Content-Digest"] == backup.index.digest
    assert len(hello.referrers(backup.image.digest)) == 1
    assert server.ca() == backup.ca
    hello.push(Image(), "new")
    for blob in backup.image.blobs:  # known again, not only on disk
        assert hello.has_blob(digest(blob))
    # and can be backed up itself, with the recovery key it handed out
    second = space.file("second.tar")
    server.backup(second)
    dtr("verify", "--level", "3", "--identity", backup.key, second, check=0)


def test_case_27_backup_during_a_push_storm(space):
    """Writes never stop, the cut is consistent: every restored tag pulls whole, none from before the backup is missing."""
    server = space.server("a").start()
    before, failures, stop = [f"before-{i}" for i in range(12)], [], threading.Event()
    for tag in before:
        Registry(server, "admin/storm").push(Image(), tag)

    def push(worker):
        repository, count = Registry(server, f"admin/storm{worker % 2 or ''}"), 0
        while not stop.is_set():
            try:
                repository.push(Image(), f"w{worker}-{count % 7}")
                count += 1
            except Exception as error:  # pylint: disable=broad-except
                failures.append(repr(error))
                return

    workers = [threading.Thread(target=push, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    try:
        archives = [space.file(f"storm{i}.tar") for i in range(3)]
        for archive in archives:
            server.backup(archive)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failures
    key = os.path.join(server.data_dir, "recovery-key")
    for archive in archives:
        dtr("verify", "--level", "3", "--identity", key, archive, check=0)
    server.stop()
    restore(space.file("b"), archives[1], "--identity", key)
    back = space.server("b", password=server.password).start()
    for name in ("admin/storm", "admin/storm1"):
        repository = Registry(back, name)
        tags = repository.tags()
        for tag in tags:
            repository.pull(tag)
        if name == "admin/storm":
            assert set(before) <= set(tags)


# -- other ways to back up

def test_offline(space):
    server = space.server("a").start()
    image = Image()
    Registry(server, "admin/hello").push(image, "1")
    refused = dtr("backup", "--offline", "--data-dir", server.data_dir, "--output", space.file("no.tar"))
    assert refused.code == 10, refused  # its lock is held
    assert not os.path.exists(space.file("no.tar"))
    server.stop()
    archive, key = space.file("off.tar"), os.path.join(server.data_dir, "recovery-key")
    dtr("backup", "--offline", "--data-dir", server.data_dir, "--output", archive, check=0)
    dtr("verify", "--level", "3", "--identity", key, archive, check=0)
    restore(space.file("b"), archive, "--identity", key)
    back = space.server("b", password=server.password).start()
    assert Registry(back, "admin/hello").get("1").content == image.manifest


def test_config_only(space):
    server = space.server("a").start()
    Registry(server, "admin/hello").push(Image(), "1")
    archive, key = space.file("c.tar"), os.path.join(server.data_dir, "recovery-key")
    server.backup(archive, "--config-only")
    names = entries(archive)
    assert "SEAL.json" in names and any(n.startswith("config/") for n in names)
    assert not any(n.startswith(("blobs/", "db/repositories", "db/manifests", "db/tags")) for n in names)
    dtr("verify", "--identity", key, archive, check=0)
    ca = server.ca()
    server.stop()
    restore(space.file("b"), archive, "--config-only", "--identity", key)
    assert space.server("b").start().ca() == ca


def test_output_file(space):
    server = space.server("a").start()
    target = space.file("out.tar")
    done = dtr("backup", *server.cli_auth(), "--output", target, check=0)
    assert done.out == b""
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600
    assert not os.path.exists(target + ".part")
    dtr("verify", target, check=0)


def test_failed_output_leaves_nothing(space):
    server = space.server("a").start()
    target = space.file("out.tar")
    flags = server.cli_auth()
    flags[-1] = "wrong"
    assert dtr("backup", *flags, "--output", target).code == 6
    assert not os.path.exists(target)


def test_environment_instead_of_flags(space):
    server = space.server("a").start()
    env = {"UCP_URL": server.host, "UCP_CA": server.ca(), "UCP_USERNAME": "admin", "UCP_PASSWORD": server.password}
    dtr("backup", "--output", space.file("env.tar"), env=env, check=0)
    password_file = space.file("password")
    with open(password_file, "w", encoding="ascii") as file:
        file.write(server.password + "\n")
    dtr("backup", *server.cli_auth()[:-2], "--ucp-password-file", password_file, "--output", space.file("file.tar"), check=0)


def test_existing_replica_id_is_checked(space):
    server = space.server("a").start()
    with open(os.path.join(server.data_dir, "config", "CURRENT"), encoding="utf-8") as file:
        replica = re.search(r"\b[0-9a-f]{12}\b", file.read()).group()
    dtr("backup", *server.cli_auth(), "--existing-replica-id", replica, "--output", space.file("ok.tar"), check=0)
    wrong = dtr("backup", *server.cli_auth(), "--existing-replica-id", "000000000000", "--output", space.file("no.tar"))
    assert wrong.code not in (0, 1), wrong
    assert not os.path.exists(space.file("no.tar"))


@pytest.mark.parametrize("policy", ["plaintext", "omit"])
def test_secrets_otherwise(space, policy):
    server = space.server("a").start()
    Registry(server, "admin/hello").push(Image(), "1")
    archive = space.file("s.tar")
    server.backup(archive, "--secrets", policy)
    secrets = [n for n in entries(archive) if n.startswith("secrets/")]
    assert not any(n.endswith(".age") for n in secrets)
    assert bool(secrets) == (policy == "plaintext")
    dtr("verify", archive, check=0)


# -- what must be refused

def test_case_11_a_terminal_is_refused(space):
    """Exit 10 before any byte."""
    server = space.server("a").start()
    leader, follower = pty.openpty()
    try:
        done = run([DTR, "backup", *server.cli_auth()], stdout=follower)
        assert done.code == 10, done
        assert "terminal" in done.err
        os.close(follower)
        try:
            assert os.read(leader, 100) == b""
        except OSError:
            pass  # nothing was written, and the other end is gone
    finally:
        os.close(leader)


def test_wrong_credentials_and_addresses(space):
    server = space.server("a").start()
    flags = server.cli_auth()
    target = ("--output", space.file("x.tar"))
    assert dtr("backup", *flags[:-1], "wrong", *target).code == 6
    other_ca = space.server("other").start().ca()
    assert dtr("backup", flags[0], flags[1], "--ucp-ca", other_ca, *flags[4:], *target).code in (3, 6)
    assert dtr("backup", "--ucp-url", "127.0.0.1:1", *flags[2:], *target).code == 3
    assert dtr("backup", "--no-such-flag").code == 2
    assert dtr("no-such-command").code == 2
    assert not os.path.exists(space.file("x.tar"))


def test_case_17_wrong_identity(backup, space):
    tool("age-keygen", "-o", space.file("stranger"))
    with open(backup.key, encoding="ascii") as file:
        signer = [line for line in file if line.startswith("# dtr-signer")]
    with open(space.file("stranger"), "a", encoding="ascii") as file:
        file.writelines(signer)
    for done in (restore(space.file("b"), backup.archive, "--identity", space.file("stranger"), check=6),
                 dtr("verify", "--level", "3", "--identity", space.file("stranger"), backup.archive, check=6)):
        assert "age1" in done.err  # which key would have done
    assert is_untouched(space.file("b"))


def test_case_18_unknown_signer(backup, space):
    with open(backup.key, encoding="ascii") as file, open(space.file("bare"), "w", encoding="ascii") as bare:
        bare.writelines(line for line in file if not line.startswith("# dtr-signer"))
    restore(space.file("b"), backup.archive, "--identity", space.file("bare"), check=6)
    restore(space.file("b"), backup.archive, "--identity", space.file("bare"), "--trust", "0123456789ABCDEF", check=6)
    assert is_untouched(space.file("b"))
    restore(space.file("b"), backup.archive, "--identity", space.file("bare"), "--trust", backup.key_id)


def test_verify_without_a_key(backup):
    done = dtr("verify", backup.archive, check=0)
    assert "intact, signer unverified" in done.err + done.text
    done = dtr("verify", "--level", "1", backup.archive, check=0)
    assert "intact, signer unverified" in done.err + done.text
    dtr("verify", "-", stdin=backup.bytes(), check=0)


def damaged(name, data):
    if name == "flipped":
        at = len(data) // 2
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    if name == "flipped in the header":
        return data[:700] + bytes([data[700] ^ 0x20]) + data[701:]
    if name == "cut":
        return data[:len(data) // 3]
    if name == "cut before the seal":
        return data[:data.rindex(b"SEAL.json\0") // 512 * 512]
    if name == "cut at the end":
        return data[:-512]
    if name == "appended":
        return data + b"x" * 512
    if name == "twice":
        return data + data
    if name == "empty":
        return b""
    return b"not a backup at all\n" * 100


@pytest.mark.parametrize("name", ["flipped", "flipped in the header", "cut", "cut before the seal", "cut at the end", "appended",
                                  "twice", "empty", "garbage"])
def test_case_04_05_08_damage_is_recognised(backup, space, name):
    bad = space.file("bad.tar")
    with open(bad, "wb") as file:
        file.write(damaged(name, backup.bytes()))
    for level in ("1", "2", "3"):
        done = dtr("verify", "--level", level, "--identity", backup.key, bad)
        assert done.code == 5 or name == "flipped in the header" and done.code in (5, 6), done
    done = restore(space.file("b"), bad, "--identity", backup.key, check=None)
    assert done.code == 5 or name == "flipped in the header" and done.code in (5, 6), done
    assert is_untouched(space.file("b"))
    # the directory is still good for the real one
    restore(space.file("b"), backup.archive, "--identity", backup.key)


def test_restore_over_something(backup, space):
    server = space.server("a").start()
    image = Image()
    Registry(server, "admin/mine").push(image, "1")
    restore(server.data_dir, backup.archive, "--identity", backup.key, check=10)  # running
    server.stop()
    restore(server.data_dir, backup.archive, "--identity", backup.key, check=10)  # not empty
    server.start()
    assert Registry(server, "admin/mine").get("1").content == image.manifest


def test_without_secrets(backup, space):
    """No recovery key, all the same: the data comes back, keys and the administrator's password are new."""
    restore(space.file("b"), backup.archive, "--without-secrets", check=6)
    assert is_untouched(space.file("b"))
    restore(space.file("b"), backup.archive, "--without-secrets", "--trust", backup.key_id)
    server = space.server("b").start()
    assert server.password != backup.password
    hello = Registry(server, "admin/hello")
    hello.pull("1")
    hello.pull("multi")
    assert server.ca() != backup.ca
    old = Registry(server, "admin/hello", auth=("admin", backup.password)).get("1")
    assert old.status_code == 401, describe(old)


# -- one process, one directory

def test_second_serve(space):
    server = space.server("a").start()
    second = space.server("a")
    done = run(second.command(), timeout=30)
    assert done.code == 10, done
    assert server.session().get(server.url + "/v2/", timeout=5).status_code == 200


def test_a_forgotten_mount_is_no_fresh_start(space):
    server = space.server("a").start()
    server.stop()
    for folder in ("metadata", "registry", "ca", "config"):
        aside = space.file("aside")
        shutil.move(os.path.join(server.data_dir, folder), aside)
        os.mkdir(os.path.join(server.data_dir, folder))
        done = run(server.command(), timeout=30)
        assert done.code == 10, done
        assert folder in done.err
        shutil.rmtree(os.path.join(server.data_dir, folder))
        shutil.move(aside, os.path.join(server.data_dir, folder))
    server.start()


def test_no_install(space):
    server = space.server("a", "--no-install")
    done = run(server.command(), timeout=30)
    assert done.code == 10, done


# -- interruptions

def test_kill_during_an_upload(space):
    """What was acknowledged is there after kill -9, and a chunked upload goes on where it stood."""
    server = space.server("a").start()
    registry = Registry(server, "admin/resume")
    image = Image()
    registry.push(image, "kept")
    data = os.urandom(900_000)
    url = registry.patch(registry.start(), data[:300_000], 0)
    server.kill9()
    server.start()
    registry = Registry(server, "admin/resume")
    registry.pull("kept")
    status = registry.do("GET", url)
    assert status.status_code == 204, describe(status)
    assert status.headers["Range"] == "0-299999"
    url = registry.patch(registry.url_of(status), data[300_000:600_000], 300_000)
    server.kill9()
    server.start()
    answer = registry.do_close(url, digest(data), data[600_000:], 600_000)
    assert answer.status_code == 201, describe(answer)
    assert registry.get_blob(digest(data)).content == data


def test_case_02_killed_restore_runs_again(backup, space):
    target, data = space.file("b"), backup.bytes()
    for fed in (2000, len(data) // 2, len(data) - 100):
        child = subprocess.Popen([DTR, "restore", "--data-dir", target, "--identity", backup.key], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_env())
        try:
            child.stdin.write(data[:fed])
            child.stdin.flush()
        except BrokenPipeError:
            pass
        time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
        child.wait()
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
        assert is_untouched(target)
    restore(target, backup.archive, "--identity", backup.key)
    Registry(space.server("b", password=backup.password).start(), "admin/hello").pull("multi")


def test_case_10_reader_goes_away(space):
    """A closed pipe ends the backup at once, and the next one works."""
    server = space.server("a").start()
    Registry(server, "admin/big").push(Image(layers=[{"big": os.urandom(8 << 20)}]), "1")
    child = subprocess.Popen([DTR, "backup", *server.cli_auth()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    child.stdout.read(1000)
    child.stdout.close()
    err = child.stderr.read().decode()
    assert child.wait(timeout=20) not in (0, -11), err
    server.backup(space.file("next.tar"))
    dtr("verify", space.file("next.tar"), check=0)


def test_case_41_password_leaves_the_command_line(space):
    """What comes in argv is overwritten at start, with a warning."""
    server = space.server("a").start()
    Registry(server, "admin/big").push(Image(layers=[{"big": os.urandom(4 << 20)}]), "1")
    child = subprocess.Popen([DTR, "backup", *server.cli_auth()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    child.stdout.read(1)  # under way, and stuck in the pipe
    with open(f"/proc/{child.pid}/cmdline", "rb") as file:
        seen = file.read()
    child.stdout.read()
    err = child.stderr.read().decode()
    assert child.wait() == 0, err
    assert server.password.encode() not in seen
    assert "--ucp-password" in err and server.password not in err
