"""Backups that are encrypted as a whole: by entries, as a stream, to keys and to a passphrase; opened by us and by age."""

import glob
import os
import pty
import shutil
import subprocess

import pytest

from harness import clean_env, dtr, run, tool
from oci import Image, Registry, layout_digest
from steps import is_untouched, restore

PASSPHRASE = "a passphrase that is not a password"


class Source:
    def __init__(self, space):
        self.space = space
        self.server = space.server("a").start()
        self.image = Image()
        Registry(self.server, "admin/team/app").push(self.image, "1.0")
        self.key = space.file("recovery-key")
        shutil.copy(os.path.join(self.server.data_dir, "recovery-key"), self.key)
        self.passphrase = space.file("passphrase")
        with open(self.passphrase, "w", encoding="ascii") as file:
            file.write(PASSPHRASE + "\n")
        with open(self.key, encoding="ascii") as file:
            self.signer = file.read().split("# dtr-signer: ")[1].split()[0]

    def backup(self, name, *args, check=0):
        target = self.space.file(name)
        return target, self.server.backup(target, *args, check=check)

    def logs(self):
        return self.space.logs()


@pytest.fixture(scope="module")
def source(module_space):
    return Source(module_space)


def pulls(space, directory, source):
    server = space.server(os.path.basename(directory), password=source.server.password).start()
    pulled = Registry(server, "admin/team/app").pull("1.0")
    server.stop()
    return source.image.digest in pulled


def age_with_passphrase(archive, plain):
    """age asks for a passphrase on its terminal only."""
    pid, leader = pty.fork()
    if pid == 0:
        os.execvpe("age", ["age", "-d", "-o", plain, archive], clean_env())
    seen = b""
    while b"assphrase" not in seen:
        seen += os.read(leader, 1000)
    os.write(leader, PASSPHRASE.encode() + b"\n")
    try:
        while os.read(leader, 1000):
            pass
    except OSError:
        pass
    os.close(leader)
    assert os.waitpid(pid, 0)[1] == 0, seen


@pytest.mark.parametrize("mode", ["entries", "stream"])
def test_encrypted_and_back(source, space, mode):
    archive, done = source.backup(f"{mode}.tar", "--encrypt", mode)
    assert "sealed" in done.err and len(done.err.split("seal ")[-1].split()[0]) == 64
    with open(archive, "rb") as file:
        data = file.read()
    assert b"admin/team/app" not in data and source.image.layers[0][:64] not in data
    dtr("verify", "--level", "3", "--identity", source.key, archive, check=0)
    closed = dtr("verify", "--level", "2", archive, check=6)
    assert ("age1" if mode == "entries" else "age stream") in closed.err
    assert "--identity" in closed.err and "--passphrase-file" in closed.err
    plain = dtr("verify", archive, check=0 if mode == "entries" else 6)
    assert "intact" in plain.text or "age stream" in plain.err
    restore(space.file("b"), archive, check=6)
    assert is_untouched(space.file("b"))
    restore(space.file("b"), archive, "--identity", source.key)
    assert pulls(space, space.file("b"), source)


def test_case_17_wrong_key_names_the_recipients(source, space):
    for name in ("friend", "stranger"):
        tool("age-keygen", "-o", space.file(name))
    friend = tool("age-keygen", "-y", space.file("friend")).text.strip()
    archive, _ = source.backup("friends.tar", "--encrypt", "entries", "--recipient", friend)
    trust = dtr("verify", archive, check=0).text.split("signer ")[-1].split()[0].rstrip(",")
    done = restore(space.file("b"), archive, "--identity", space.file("stranger"), "--trust", trust, check=6)
    assert friend in done.err and done.err.count("age1") >= 2
    assert is_untouched(space.file("b"))
    restore(space.file("b"), archive, "--identity", space.file("friend"), "--trust", trust)
    assert pulls(space, space.file("b"), source)


@pytest.mark.parametrize("mode", ["none", "entries", "stream"])
def test_case_17_passphrase(source, space, mode):
    archive, done = source.backup(f"p-{mode}", "--encrypt", mode, "--passphrase-file", source.passphrase)
    assert ("only with that passphrase" in done.err) == (mode == "stream")
    with open(space.file("other"), "w", encoding="ascii") as file:
        file.write("not it\n")
    trust = dtr("verify", "--passphrase-file", source.passphrase, archive, check=0).text.split("signer ")[-1].split()[0]
    trust = trust.rstrip(",")
    for flags in (["--passphrase-file", space.file("other")], []):
        done = restore(space.file("b"), archive, *flags, "--trust", trust, check=6)
        assert "passphrase" in done.err
    assert is_untouched(space.file("b"))
    restore(space.file("b"), archive, "--passphrase-file", source.passphrase, "--trust", trust)
    assert pulls(space, space.file("b"), source)
    done = dtr("verify", "--level", "3", "--identity", source.key, archive)
    assert done.code == (6 if mode == "stream" else 0), done
    assert PASSPHRASE not in source.server.log()


def test_offline(source, space):
    copy = space.file("copy")
    source.server.stop()
    try:
        shutil.copytree(source.server.data_dir, copy, symlinks=True)
    finally:
        source.server.start()
    for mode in ("entries", "stream"):
        archive = space.file(mode)
        dtr("backup", "--offline", "--data-dir", copy, "--encrypt", mode, "--output", archive, check=0)
        dtr("verify", "--level", "3", "--identity", source.key, archive, check=0)


def test_contradictions_are_usage_errors(source, space):
    for flags in (["--encrypt", "all"], ["--encrypt", "entries", "--secrets", "plaintext"],
                  ["--secrets", "omit", "--passphrase-file", source.passphrase], ["--passphrase-file", os.devnull]):
        assert dtr("backup", *source.server.cli_auth(), *flags, "--output", space.file("x")).code == 2, flags
    assert not os.path.exists(space.file("x"))


def test_case_04_a_stream_that_was_cut(source, space):
    archive, _ = source.backup("cut", "--encrypt", "stream")
    size = os.path.getsize(archive)
    for length in (size - 1, size // 2, 300):
        with open(archive, "r+b") as file:
            file.truncate(length)
        dtr("verify", "--identity", source.key, archive, check=5)
        restore(space.file("b"), archive, "--identity", source.key, check=5)
    assert is_untouched(space.file("b"))


# --- with stock tools alone (case 45) ---

def recover(space, source, script):
    home = space.dir("home")
    done = run(["bash", "-c", "set -eu -o pipefail\n" + script], cwd=home)
    assert done.code == 0, done
    assert layout_digest(os.path.join(home, "image"), "1.0") == source.image.digest
    with open(os.path.join(home, "accounts"), encoding="utf-8") as file:
        assert "admin" in file.read().split()


REST = """
skopeo copy -q oci:.:admin/team/app:1.0 oci:../image:1.0
zstd -dcq accounts/accounts/*.copy.zst | cut -f2 > ../accounts
"""


def test_case_45_stream_by_hand(source, space):
    archive, _ = source.backup("hand.age", "--encrypt", "stream")
    assert "SEAL.json" in run(["bash", "-c", f"set -o pipefail; age -d -i {source.key} {archive} | tar -t"], check=0).text
    recover(space, source, f"age -d -i {source.key} {archive} | tar -x\ncd dtr-backup-*/\n"
            "sha256sum --quiet --strict -c SHA256SUMS\n"
            'for n in sums/*; do sha256sum --quiet --strict -c "$n"; done\n'
            f"minisign -Vq -P {source.signer} -m SEAL.json\n" + REST)


def test_case_45_stream_to_a_passphrase_by_hand(source, space):
    archive, _ = source.backup("phrase.age", "--encrypt", "stream", "--passphrase-file", source.passphrase)
    age_with_passphrase(archive, space.file("plain.tar"))
    recover(space, source, f"tar -xf {space.file('plain.tar')}\ncd dtr-backup-*/\n"
            "sha256sum --quiet --strict -c SHA256SUMS\n" + REST)


def commands(text):
    programs = ("tar ", "cd ", "sha256sum ", "for ", "minisign ", "age ", "skopeo ", "zstd ", "grep ", "sed ")
    return [line.strip() for line in text.splitlines() if line.startswith("     ") and line.strip().startswith(programs)]


@pytest.mark.parametrize("phrase", [False, True])
def test_case_45_restore_txt_of_encrypted_entries(source, space, phrase):
    """What RESTORE.txt says, typed as it stands."""
    flags = ["--passphrase-file", source.passphrase] if phrase else []
    archive, _ = source.backup(f"entries-{phrase}.tar", "--encrypt", "entries", *flags)
    home = space.dir("home")
    shutil.copy(archive, os.path.join(home, "backup.tar"))
    text = tool("bash", "-c", "tar -xOf backup.tar --wildcards '*/RESTORE.txt'", cwd=home).text
    assert text.isascii() and max(map(len, text.splitlines())) <= 120
    lines = commands(text)
    key = source.key
    if phrase:
        unlock = [line for line in lines if line.startswith(("sed", "age -d -o PASSPHRASE-KEY"))]
        assert len(unlock) == 2, text
        tool("tar", "-xf", "backup.tar", cwd=home)
        (root,) = glob.glob(home + "/dtr-backup-*")
        tool("bash", "-c", "set -e -o pipefail\n" + unlock[0], cwd=root)
        key = os.path.join(root, "PASSPHRASE-KEY")
        age_with_passphrase(os.path.join(root, "sealed-key"), key)
        lines = [line for line in lines if line not in unlock]
    script = "set -e -o pipefail\n" + "\n".join(lines) + "\n"
    tar = subprocess.run(["tar", "-tf", os.path.join(home, "backup.tar")], stdout=subprocess.PIPE, check=True).stdout.decode()
    secret = sorted(line.split("/")[-1] for line in tar.splitlines() if "/secrets/" in line)[0]
    for placeholder, value in (("NAMESPACE/REPOSITORY:TAG", "admin/team/app:1.0"), ("RECOVERY-KEY", key), ("FILE.age", secret)):
        assert placeholder in script, text
        script = script.replace(placeholder, value)
    done = run(["bash", "-c", script], cwd=home)
    assert done.code == 0, f"{script}\n{done}"
    assert "admin" in done.text
    assert glob.glob(os.path.join(home, "dtr-backup-*", "image.tar"))
