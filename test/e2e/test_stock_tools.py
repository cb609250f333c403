"""Case 45: all hosts are lost; there is the archive, the recovery key, and a bare Debian. Nothing of ours is used here to
look into a backup, only to make it."""

import base64
import glob
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import clean_env, dtr, run, tool
from oci import Image, Index, Registry, digest, layout_digest, write_layout


class Opened:
    """A backup, unpacked with tar."""

    def __init__(self, space):
        self.space = space
        server = space.server("a").start()
        self.password = server.password
        self.image, self.index = Image(), Index()
        self.wide = Image(algorithm="sha512")
        repository = Registry(server, "admin/team/app")
        repository.push(self.image, "1.0")
        repository.push(self.index, "multi")
        repository.push(self.wide)
        with open(space.file("password"), "w", encoding="ascii") as file:
            file.write("alice's long password\n")
        dtr("user", "create", *server.cli_auth(), "--password-file", space.file("password"), "alice", check=0)
        self.archive, self.key = space.file("b.tar"), space.file("recovery-key")
        server.backup(self.archive)
        shutil.copy(os.path.join(server.data_dir, "recovery-key"), self.key)
        self.data_dir = server.data_dir
        server.stop()
        self.tar = tool("tar", "-C", space.dir("x"), "-xf", self.archive)
        (self.root,) = glob.glob(space.file("x") + "/*")

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def logs(self):
        return self.space.logs()

    @property
    def signer(self):
        with open(self.key, encoding="ascii") as file:
            return re.search(r"^# dtr-signer: (RW\S+)", file.read(), re.M).group(1)


@pytest.fixture(scope="module")
def opened(module_space):
    return Opened(module_space)


def test_tar_lists_and_unpacks_without_a_word(opened):
    assert opened.tar.err == "" and opened.tar.out == b""
    listed = tool("tar", "-tvf", opened.archive)
    assert listed.err == ""
    lines = listed.text.splitlines()
    assert re.fullmatch(r"dtr-backup-\d{8}T\d{6}Z-[0-9a-f]{8}", os.path.basename(opened.root))
    for line in lines:
        assert line.startswith("-rw------- 0/0"), line
    names = [line.split("/", 2)[2] for line in lines]
    assert names[:3] == ["HEADER.json", "HEADER.json.minisig", "RESTORE.txt"]
    assert names[-3:] == ["SHA256SUMS", "SEAL.json", "SEAL.json.minisig"]
    assert len({line.split()[3] + line.split()[4] for line in lines}) == 1  # one time: that of the cut


def test_other_tar_readers_agree(opened):
    listed = set(tool("tar", "-tf", opened.archive).text.split())
    code = "import sys,tarfile; print('\\n'.join(tarfile.open(sys.argv[1]).getnames()))"
    assert set(tool("/usr/bin/python3", "-c", code, opened.archive).text.split()) == listed


def test_sums_at_both_levels(opened):
    done = tool("sha256sum", "--strict", "-c", "SHA256SUMS", cwd=opened.root)
    assert done.err == ""
    sums = sorted(os.listdir(opened.path("sums")), key=int)
    assert sums == [str(i) for i in range(len(sums))] and sums
    covered = {line.split(": ")[0] for line in done.text.splitlines()}
    for name in sums:
        assert f"sums/{name}" in covered
        done = tool("sha256sum", "--strict", "-c", f"sums/{name}", cwd=opened.root)
        assert done.err == ""
        covered |= {line.split(": ")[0] for line in done.text.splitlines()}
    there = {os.path.relpath(os.path.join(f, n), opened.root) for f, _, names in os.walk(opened.root) for n in names}
    assert there - covered <= {"SHA256SUMS", "SEAL.json", "SEAL.json.minisig"}
    # every entry of the tar is a file of its own, nothing overwrote anything
    assert len(tool("tar", "-tf", opened.archive).text.split()) == len(there)


def test_a_changed_byte_is_seen_by_sha256sum(opened, space):
    copy = space.file("copy")
    shutil.copytree(opened.root, copy)
    (victim,) = glob.glob(copy + "/blobs/sha256/" + opened.image.digest.split(":")[1])
    with open(victim, "r+b") as file:
        file.seek(5)
        file.write(b"!")
    assert any(run(["sha256sum", "--strict", "-c", f"sums/{n}"], cwd=copy).code != 0 for n in os.listdir(copy + "/sums"))


def test_seal_names_the_sums(opened):
    with open(opened.path("SEAL.json"), encoding="utf-8") as file:
        seal = file.read()
    json.loads(seal)
    assert tool("sha256sum", opened.path("SHA256SUMS")).text.split()[0] in seal


def test_minisign(opened):
    for name in ("HEADER.json", "SEAL.json"):
        done = tool("minisign", "-V", "-P", opened.signer, "-m", opened.path(name))
        assert "verified" in (done.text + done.err)
    stranger = base64.b64encode(b"Ed" + os.urandom(40)).decode()
    assert run(["minisign", "-V", "-P", stranger, "-m", opened.path("SEAL.json")]).code != 0


def test_age(opened, space):
    secrets = glob.glob(opened.path("secrets", "*"))
    assert secrets and all(name.endswith(".age") for name in secrets)
    plain = {os.path.basename(n): tool("age", "-d", "-i", opened.key, n).out for n in secrets}
    assert any(b"PRIVATE KEY" in text for text in plain.values())
    assert any(b"argon2id" in text for text in plain.values())
    tool("age-keygen", "-o", space.file("stranger"))
    assert run(["age", "-d", "-i", space.file("stranger"), secrets[0]]).code != 0


def test_case_41_secrets_are_nowhere_else(opened):
    """Canaries: nothing that is inside secrets/ occurs in any other entry, packed or unpacked."""
    canaries = [opened.password.encode(), b"alice's long password"]
    for name in glob.glob(opened.path("secrets", "*.age")):
        text = tool("age", "-d", "-i", opened.key, name).out
        canaries += re.findall(rb"\$argon2id\$[^\s\"]+", text)
        for pem in re.findall(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text, re.S):
            canaries += [part for part in re.split(rb"\s|\\n", pem) if len(part) > 30]
    with open(opened.key, "rb") as file:
        canaries += re.findall(rb"AGE-SECRET-KEY-\S+", file.read())
    assert len(canaries) > 3
    places = [opened.archive]
    for folder, _, names in os.walk(opened.root):
        places += [os.path.join(folder, n) for n in names if n.endswith(".zst")]
    for place in places:
        with open(place, "rb") as file:
            data = file.read()
        if place.endswith(".zst"):
            data = tool("zstd", "-dc", place).out
        for canary in canaries:
            assert canary not in data, f"{canary[:12]}... in {place}"


def test_skopeo_reads_the_layout(opened, space):
    for tag, item, flags in (("1.0", opened.image, []), ("multi", opened.index, ["--all"])):
        out = space.file(tag)
        tool("skopeo", "copy", *flags, f"oci:{opened.root}:admin/team/app:{tag}", f"oci:{out}")
        assert layout_digest(out) == item.digest
    with open(opened.path("oci-layout"), encoding="ascii") as file:
        assert json.load(file)["imageLayoutVersion"] == "1.0.0"
    for blob in opened.wide.blobs:
        assert os.path.exists(opened.path("blobs", *digest(blob, "sha512").split(":")))


def rows(opened, pattern):
    """COPY rows of the tables that match, as lists of columns."""
    parts = sorted(glob.glob(opened.path(pattern)))
    assert parts, pattern
    text = b"".join(tool("zstd", "-dc", part).out for part in parts)
    return [line.split("\t") for line in text.decode().splitlines()]


def test_rows_are_readable(opened):
    accounts = rows(opened, "accounts/accounts/*.copy.zst")
    assert any("admin" in row for row in accounts) and any("alice" in row for row in accounts)
    repositories = rows(opened, "db/repositories/*.copy.zst")
    assert any("admin/team/app" in row for row in repositories)
    tags = rows(opened, "db/tags/*.copy.zst")
    assert {"1.0", "multi"} <= {column for row in tags for column in row}
    assert any(opened.image.digest in row for row in tags)
    with open(opened.path("db", "schema.sql"), encoding="utf-8") as file:
        assert "CREATE TABLE repositories" in file.read()
    config = b"".join(tool("zstd", "-dc", part).out for part in glob.glob(opened.path("config", "*.ndjson.zst")))
    assert [json.loads(line) for line in config.splitlines()]
    inventory = b"".join(tool("zstd", "-dc", part).out for part in glob.glob(opened.path("inventory", "*.zst")))
    assert opened.image.digest.encode() in inventory


def commands(text):
    """The indented command lines of RESTORE.txt."""
    programs = "tar|cd|sha256sum|for|minisign|age|skopeo|zstd|grep|cat|mkdir|sqlite3|jq"
    return [line.strip() for line in text.splitlines() if re.match(rf"\s{{2,}}({programs})\b", line)]


def test_case_45_restore_txt_works_as_written(opened, space):
    """A person who has only RESTORE.txt, the tar and the recovery key types what it says, and holds images and accounts."""
    with open(opened.path("RESTORE.txt"), encoding="utf-8") as file:
        text = file.read()
    assert text.isascii() and max(map(len, text.splitlines())) <= 120
    script = "set -e -o pipefail\n" + "\n".join(commands(text)) + "\n"
    for program in ("tar", "sha256sum", "minisign", "age", "skopeo", "zstd"):
        assert re.search(rf"\b{program}\b", script), f"RESTORE.txt does not say how to use {program}\n{text}"
    # what a reader fills in
    secret = os.path.basename(sorted(glob.glob(opened.path("secrets", "*.age")))[0])
    for placeholder, value in (("NAMESPACE/REPOSITORY:TAG", "admin/team/app:1.0"), ("RECOVERY-KEY", opened.key),
                               ("FILE.age", secret)):
        assert placeholder in script, f"{placeholder} is not in RESTORE.txt\n{text}"
        script = script.replace(placeholder, value)
    home = space.dir("home")
    shutil.copy(opened.archive, os.path.join(home, "backup.tar"))
    done = subprocess.run(["bash", "-c", script], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=clean_env(), timeout=60, check=False)
    assert done.returncode == 0, f"{script}\n--- stdout\n{done.stdout.decode()[-3000:]}\n--- stderr\n{done.stderr.decode()}"
    assert b"admin" in done.stdout  # the account list
    assert glob.glob(os.path.join(home, "dtr-backup-*", "image.tar"))


def test_case_45_recovery_by_hand(opened, space):
    """Stock tools alone: from the archive to an image in a layout, and to the list of accounts."""
    script = f"""
set -eu -o pipefail
mkdir {space.file('bare')}
cd {space.file('bare')}
tar -xf {opened.archive}
cd dtr-backup-*
sha256sum --quiet --strict -c SHA256SUMS
for n in sums/*; do sha256sum --quiet --strict -c "$n"; done
minisign -Vq -P "$(sed -n 's/^# dtr-signer: //p' {opened.key})" -m SEAL.json
skopeo copy -q oci:.:admin/team/app:1.0 oci:../image:1.0
zstd -dcq accounts/accounts/*.copy.zst | cut -f2 > ../accounts
for f in secrets/*.age; do age -d -i {opened.key} "$f" > /dev/null; done
"""
    tool("bash", "-c", script)
    assert layout_digest(space.file("bare/image"), "1.0") == opened.image.digest
    with open(space.file("bare/accounts"), encoding="utf-8") as file:
        assert {"admin", "alice"} <= set(file.read().split())


def test_layout_of_one_repository(opened, space):
    """dtr layout: one repository of an extracted backup, for clients that want a layout of its own."""
    root = space.file("copy")
    shutil.copytree(opened.root, root)
    path = dtr("layout", root, "admin/team/app", check=0).text.strip()
    assert path == os.path.join(root, "layouts", "admin+team+app")
    assert set(tool("umoci", "ls", "--layout", path).text.split()) == {"1.0", "multi"}
    for tag, item, flags in (("1.0", opened.image, []), ("multi", opened.index, ["--all"])):
        out = space.file(tag)
        tool("skopeo", "copy", *flags, f"oci:{path}:{tag}", f"oci:{out}")
        assert layout_digest(out) == item.digest
    # What was extracted is as it was; a second run is good; other names are refused.
    for name in ["SHA256SUMS", *(f"sums/{n}" for n in os.listdir(root + "/sums"))]:
        tool("sha256sum", "--strict", "--quiet", "-c", name, cwd=root)
    dtr("layout", root, "admin/team/app", check=0)
    assert "no tags of admin/other" in dtr("layout", root, "admin/other", check=2).err
    for directory, repository in ((root, "../x"), (root, ""), (space.file("nowhere"), "admin/team/app"), ("/", "admin/a")):
        assert dtr("layout", directory, repository).code == 2


def test_layout_of_ours_is_what_stock_tools_make(space):
    """Guards the helper of these tests itself."""
    layout = write_layout(space.dir("image"), Image())
    tool("skopeo", "inspect", f"oci:{layout}")
