"""Numbered cases of the project's list of faults that have no better place: damage to a sealed archive, entry by entry, and
the search for secrets where they must not be."""

import contextlib
import glob
import os
import random
import re
import signal
import subprocess

import pytest

from harness import DTR, clean_env, dtr, run
from oci import Image, Registry
from steps import is_untouched, restore
from test_disasters import key_of, small_disk


class Archive:
    """A tar taken apart into its entries, each with its header and padding."""

    def __init__(self, data):
        self.data, self.entries, at = data, [], 0
        while data[at:at + 512] != bytes(512):
            length = 512 + int(data[at + 124:at + 135], 8)
            length += -length % 512
            if data[at + 156:at + 157] == b"x":  # belongs to what follows
                length += 512 + (int(data[at + length + 124:at + length + 135], 8) + 511) // 512 * 512
            self.entries.append((self.name(data[at:at + length]), data[at:at + length]))
            at += length
        self.end = data[at:]

    @staticmethod
    def name(entry):
        """Without the prefix directory."""
        if entry[156:157] == b"x":
            path = re.search(rb" path=([^\n]*)\n", entry[512:1024]).group(1)
        else:
            prefix, name = (entry[at:at + n].rstrip(b"\0") for at, n in ((345, 155), (0, 100)))
            path = prefix + b"/" + name if prefix else name
        return path.split(b"/", 1)[1].decode()

    def with_entries(self, entries):
        return b"".join(data for _, data in entries) + self.end

    def index(self, name):
        return [n for n, _ in self.entries].index(name)

    def offset(self, name):
        return sum(len(data) for _, data in self.entries[:self.index(name)])


@pytest.fixture(scope="module")
def two(module_space):
    """Two archives of one registry, with an image pushed between them; and the recovery key."""
    server = module_space.server("a").start()
    archives = []
    for number in range(2):
        Registry(server, f"admin/x{number}").push(Image(label=f"image {number}"), f"tag{number}")
        server.backup(module_space.file(f"{number}.tar"))
        with open(module_space.file(f"{number}.tar"), "rb") as file:
            archives.append(Archive(file.read()))
    server.stop()
    return archives[0], archives[1], key_of(server)


def refused(space, key, data, label, restored=True):
    """5 from verify and restore, and nothing is live. What verify said."""
    with open(space.file("bad.tar"), "wb") as file:
        file.write(data)
    done = dtr("verify", "--identity", key, space.file("bad.tar"))
    assert done.code == 5, f"{label}\n{done}"
    if restored:
        again = restore(space.file("b"), space.file("bad.tar"), "--identity", key, check=None)
        assert again.code == 5, f"{label}\n{again}"
        assert is_untouched(space.file("b")), label
    return done.err


def test_case_04_cut_at_every_entry_and_elsewhere(two, space):
    """5 at every edge of an entry, of its header and of its content; after the first checkpoint it is named."""
    archive, _, key = two
    at = 0
    for name, entry in archive.entries:
        for cut in {at, at + 1, at + 512, at + len(entry) - 1}:
            said = refused(space, key, archive.data[:cut], f"cut at {cut}, in {name}", restored=cut == at + 512)
            if cut > archive.offset("SHA256SUMS"):
                assert "sums/" in said, said
        at += len(entry)
    for cut in (at, at + 512, at + 1023):
        refused(space, key, archive.data[:cut], f"cut at {cut}, in the end")


def test_case_05_any_flipped_bit(two, space):
    """Each refused, and the entry named; DTR_TEST_LONG tries every byte. (test/sweep does so inside the process.)"""
    _, archive, key = two
    dice = random.Random(5)
    step = 1 if os.environ.get("DTR_TEST_LONG") else 211
    for at in range(dice.randrange(step), len(archive.data), step):
        bad = bytearray(archive.data)
        bad[at] ^= 1 << dice.randrange(8)
        with open(space.file("bad.tar"), "wb") as file:
            file.write(bad)
        done = dtr("verify", "--level", "1", space.file("bad.tar"))
        # In HEADER.json it may seem to be of another signer or a newer format, before its signature is read; the last
        # signature may seem to be of another key.
        early, late = at < archive.offset("config/0.ndjson.zst"), at >= archive.offset("SEAL.json.minisig")
        assert done.code == 5 or (done.code in (6, 7) and early) or (done.code == 6 and late), f"byte {at}\n{done}"
    number = archive.data.index(b'"format":', archive.offset("SEAL.json")) + len('"format":')
    refused(space, key, archive.data[:number] + b"9" + archive.data[number + 1:], "a seal of a newer format", restored=False)
    blobs = [name for name, entry in archive.entries if name.startswith("blobs/") and len(entry) > 600]
    for name in blobs:
        bad = bytearray(archive.data)
        bad[archive.offset(name) + 512 + 40] ^= 1
        said = refused(space, key, bytes(bad), name, restored=False)
        assert name.rsplit("/", 1)[1][:12] in said, said


def test_case_06_entries_swapped_dropped_doubled_or_foreign(two, space):
    archive, other, key = two
    entries = archive.entries
    for i, (name, entry) in enumerate(entries):
        refused(space, key, archive.with_entries(entries[:i] + entries[i + 1:]), f"without {name}", restored=i % 5 == 0)
        refused(space, key, archive.with_entries(entries[:i + 1] + entries[i:]), f"{name} twice", restored=False)
        if i + 1 < len(entries):
            swapped = entries[:i] + [entries[i + 1], entries[i]] + entries[i + 2:]
            refused(space, key, archive.with_entries(swapped), f"{name} and the next one swapped", restored=False)
        foreign = dict(other.entries).get(name)
        if foreign and foreign[512:] != entry[512:]:
            for taken in (foreign, entry[:100] + foreign[100:]):  # under its own prefix directory, and under this one
                bad = entries[:i] + [(name, taken)] + entries[i + 1:]
                refused(space, key, archive.with_entries(bad), f"{name} of the other archive", restored=False)


def test_case_07_seal_removed_or_replaced(two, space):
    archive, other, key = two
    seal = archive.index("SEAL.json")
    assert [name for name, _ in archive.entries[seal:]] == ["SEAL.json", "SEAL.json.minisig"]
    foreign = other.entries[other.index("SEAL.json"):]
    renamed = [(name, archive.entries[0][1][:37] + entry[37:]) for name, entry in foreign]
    for label, tail in {"no seal": [], "no signature": archive.entries[seal:-1], "no SEAL.json": archive.entries[-1:],
                        "foreign seal": foreign, "foreign seal, this directory": renamed,
                        "foreign signature": [archive.entries[seal], renamed[1]],
                        "foreign SEAL.json": [renamed[0], archive.entries[-1]]}.items():
        refused(space, key, archive.with_entries(archive.entries[:seal] + tail), label)


def test_case_08_bytes_after_the_end(two, space):
    archive, other, key = two
    for label, tail in {"one byte": b"\0", "a block of zeros": bytes(512), "garbage": b"x" * 512, "text": b"and this\n",
                        "another archive, not chained": other.data, "itself": archive.data,
                        "its own header": archive.data[:512]}.items():
        refused(space, key, archive.data + tail, label)


def test_case_12_no_space_for_a_config_change(space):
    """Accounts on a full disk: 507 or an exit code of 8, the old password stays good, and room makes it work again."""
    with small_disk(space, "small", "160m") as small:
        server = space.server("small").start()
        dtr("user", "create", "alice", "--password-file", "/dev/stdin", *server.cli_auth(), stdin=b"first password\n", check=0)
        with open(os.path.join(small, "filler"), "wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        done = dtr("user", "create", "bob", "--password-file", "/dev/stdin", *server.cli_auth(), stdin=b"second password\n")
        assert done.code in (0, 8), done
        assert server.session(auth=("alice", "first password")).get(server.url + "/v2/", timeout=10).status_code == 200
        os.remove(os.path.join(small, "filler"))
        dtr("user", "create", "carol", "--password-file", "/dev/stdin", *server.cli_auth(), stdin=b"third password\n", check=0)
        server.stop()


def test_case_13_no_space_for_the_spool(space):
    """The rows of a backup are spooled beside the metadata: no room there means 8 and no seal, and the next one works."""
    with small_disk(space, "small", "160m") as small:
        server = space.server("small").start()
        Registry(server, "admin/x").push(Image(), "1")
        filler = os.path.join(small, "filler")
        with contextlib.suppress(OSError), open(filler, "wb") as file:
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError), open(filler, "ab") as file:
            while True:
                file.write(b"x" * 512)
                file.flush()
        server.backup(space.file("full.tar"), check=8)
        assert dtr("verify", space.file("full.tar")).code == 5
        os.remove(filler)
        server.backup(space.file("next.tar"))
        dtr("verify", space.file("next.tar"), check=0)
        server.stop()


# -- secrets

def secrets_of(server, alice):
    """What must not be found: as text, and as the bytes that a key file holds."""
    found = {"admin password": server.password.encode(), "alice's password": alice}
    with open(key_of(server), "rb") as file:
        found["recovery identity"] = re.search(rb"AGE-SECRET-KEY-1[0-9A-Z]+", file.read()).group()
    for path in glob.glob(os.path.join(server.data_dir, "ca", "*", "*.key*")):
        with open(path, "rb") as file:
            text = file.read()
        body = re.search(rb"-----BEGIN[^\n]*\n(.*?)\n-----END", text, re.S)
        found[os.path.basename(path)] = (body.group(1) if body else text).strip().split(b"\n")[0]
    assert len(found) >= 6 and all(len(secret) >= 12 for secret in found.values()), found
    return found


def search(where, data, secrets):
    for label, secret in secrets.items():
        assert secret not in data, f"{label} is in {where}"


def search_folder(folder, secrets):
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                search(os.path.join(parent, name), file.read(), secrets)


def test_case_41_no_secret_in_archives_logs_argv_cores_or_temporary_files(space):
    temporary, here = space.dir("tmp"), space.dir("cwd")
    env = {"TMPDIR": temporary}
    server = space.server("a", env=env).start()
    alice = b"alice-canary-0123456789"
    with open(space.file("alice"), "wb") as file:
        file.write(alice + b"\n")
    flags = server.cli_auth()[:-2] + ["--ucp-password-file", os.path.join(server.data_dir, "admin-password")]
    said = [dtr("user", "create", "alice", "--password-file", space.file("alice"), *flags, env=env, cwd=here, check=0)]
    secrets = secrets_of(server, alice)
    Registry(server, "admin/x").push(Image(), "1")
    server.session(auth=("alice", alice.decode())).get(server.url + "/v2/", timeout=10)
    for broken in (server.password[:-1] + "#", server.password + "\n"):  # wrong ones are no less secret: nearly right
        server.session(auth=("admin", broken)).get(server.url + "/v2/", timeout=10)
    said.append(dtr("backup", *flags, "--output", space.file("b.tar"), env=env, cwd=here, check=0))
    said.append(dtr("verify", "--identity", key_of(server), space.file("b.tar"), env=env, cwd=here, check=0))
    with open(space.file("b.tar"), "rb") as file:
        archive = Archive(file.read())
    search("the archive", archive.data, secrets)
    for name, entry in archive.entries:
        if name.endswith(".zst"):
            size = int(entry[124:135], 8)
            search(name, run(["zstd", "-dc"], stdin=entry[512:512 + size], check=0).out, secrets)
    with open(space.file("b.tar"), "rb") as stdin:
        said.append(dtr("restore", "--data-dir", space.file("back"), "--identity", key_of(server), stdin=stdin, env=env, cwd=here, check=0))
    for file in ("cmdline", "environ"):
        with open(f"/proc/{server.process.pid}/{file}", "rb") as shown:
            search(f"the server's {file}", shown.read(), secrets)
    with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as limits:
        assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M), "core files are possible"
    server.process.send_signal(signal.SIGABRT)
    server.process.wait()
    for done in said:
        search("standard output", done.out, secrets)
        search("standard error", done.err.encode(), secrets)
    search("the log", server.log().encode(), secrets)
    search_folder(temporary, secrets)
    search_folder(here, secrets)
    assert not glob.glob(os.path.join(server.data_dir, "**", "core*"), recursive=True)
    # and outside of where they belong in the data directory
    search_folder(os.path.join(server.data_dir, "registry"), secrets)
    search_folder(os.path.join(server.data_dir, "metadata"), secrets)


def test_case_41_a_killed_restore_leaves_no_readable_secret(space):
    """What it staged belongs to nobody else: no file that others may read."""
    server = space.server("a").start()
    Registry(server, "admin/x").push(Image(layers=[{"big": os.urandom(3 << 20)}]), "1")
    server.backup(space.file("b.tar"))
    with open(space.file("b.tar"), "rb") as file:
        data = file.read()
    child = subprocess.Popen([DTR, "restore", "--data-dir", space.file("b"), "--identity", key_of(server)], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=clean_env(), preexec_fn=lambda: os.umask(0))
    child.stdin.write(data[:2 << 20])
    child.stdin.flush()
    child.kill()
    child.wait()
    child.stdin.close()
    for parent, folders, names in os.walk(space.file("b")):
        for name in folders + names:
            mode = os.stat(os.path.join(parent, name)).st_mode & 0o777
            assert mode & 0o077 == 0 or name in folders and os.stat(parent).st_mode & 0o077 == 0, f"{parent}/{name}: {mode:o}"
