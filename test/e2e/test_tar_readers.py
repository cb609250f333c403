"""Cases 34 to 37: tars that mean different things to different readers. What GNU tar or Python's tarfile lists differently
from us, we refuse; what we take, they read the same. And crafted entries in a real archive are refused by the program,
within bounds, before anything is written.

`tar_list`, built beside the program, shows what our reader makes of a container. DTR_TAR_SEED=n replays one run.
"""

import hashlib
import io
import os
import random
import resource
import struct
import subprocess
import tarfile

import pytest

from harness import DTR, clean_env, dtr, run
from oci import Image, Registry
from steps import is_untouched, restore

LIST = os.path.join(os.path.dirname(DTR), "tar_list")
TOP = "dtr-backup-20261122T082441Z-0123abcd/"
MTIME = 1795335881
GOOD_NAMES = ["HEADER.json", "RESTORE.txt", "config/0.ndjson.zst", "db/schema.sql", "db/tags/0.copy.zst", "index.json",
              "secrets/ca.root.key.age", "blobs/sha256/" + "ab" * 32, "blobs/sha512/" + "cd" * 64, "SHA256SUMS", "sums/0"]
# Offset and length of the fields of a header.
FIELDS = {"name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12),
          "type": (156, 1), "link": (157, 100), "magic": (257, 8), "uname": (265, 32), "gname": (297, 32),
          "major": (329, 8), "minor": (337, 8), "prefix": (345, 155), "rest": (500, 12)}


def summed(header):
    """The same header with its sum made right."""
    header = bytearray(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def header(name, size=0, kind=b"0", **fields):
    block = bytearray(512)
    values = {"name": name if isinstance(name, bytes) else name.encode(), "mode": b"0000600", "uid": b"0000000",
              "gid": b"0000000", "size": b"%011o" % size, "mtime": b"%011o" % MTIME, "type": kind, "magic": b"ustar\x0000",
              "major": b"0000000", "minor": b"0000000", **fields}
    for field, value in values.items():
        at, length = FIELDS[field]
        block[at:at + len(value[:length])] = value[:length]
    return summed(block)


def padded(content):
    return content + bytes(-len(content) % 512)


def entry(name, content=b"", kind=b"0", **fields):
    return header(name, len(content), kind, **fields) + padded(content)


def pax(records, kind=b"x"):
    text = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        text += str(length).encode() + body
    return entry(TOP + "PaxHeaders/entry", text, kind)


def ours(name, content):
    """As this program writes it: with a PAX entry where the last component does not fit."""
    path = (TOP + name).encode()
    folder, last = path.rsplit(b"/", 1)
    if len(path) <= 100:
        return entry(path, content)
    if len(last) <= 100:
        return entry(last, content, prefix=folder)
    return pax([(b"path", path)]) + entry(last, content, prefix=folder)


def crafted():
    """Entries that no reader of ours may take; each with the number of its case."""
    name = TOP + "index.json"
    yield 34, "dot dot", entry("../index.json", b"x")
    yield 34, "dot dot inside", entry(TOP + "blobs/../../x", b"x")
    yield 34, "absolute", entry("/etc/passwd", b"x")
    yield 34, "empty", entry("", b"x")
    yield 34, "NUL inside", entry(TOP.encode() + b"index\0.json", b"x")
    yield 34, "NUL in a PAX path", pax([(b"path", TOP.encode() + b"index.json\0x")]) + entry(name, b"x")
    yield 34, "overlong", pax([(b"path", TOP.encode() + b"n" * 300)]) + entry(TOP + "n" * 50, b"x")
    yield 34, "not UTF-8", entry(TOP.encode() + b"db/\xff\xfe/0.copy.zst", b"x")
    yield 34, "other case", entry(TOP + "INDEX.JSON", b"x")
    yield 34, "trailing slash", entry(TOP + "index.json/", b"")
    yield 34, "double slash", entry(TOP + "/index.json", b"x")
    yield 34, "dot", entry("./" + name, b"x")
    yield 34, "backslash", entry(TOP + "db\\schema.sql", b"x")
    for kind, label in ((b"1", "hard link"), (b"2", "symbolic link"), (b"3", "character device"), (b"4", "block device"),
                        (b"5", "directory"), (b"6", "fifo"), (b"7", "contiguous"), (b"S", "GNU sparse"), (b"D", "GNU dump directory"),
                        (b"M", "GNU volume"), (b"V", "GNU label"), (b"N", "old GNU name"), (b"X", "Solaris extended"),
                        (b"Z", "unknown"), (b"\0", "old regular")):
        yield 35, label, entry(name, b"", kind, link=b"/etc/passwd")
    yield 35, "GNU long name", entry("././@LongLink", (TOP + "x" * 120).encode() + b"\0", b"L") + entry(name, b"x")
    yield 35, "GNU long link", entry("././@LongLink", b"/etc/passwd\0", b"K") + entry(name, b"", b"2")
    yield 35, "PAX sparse 1.0", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name.encode()),
                                     (b"GNU.sparse.realsize", b"1000000")]) + entry(TOP + "GNUSparseFile.0/index.json", padded(b"0\n"))
    yield 35, "PAX sparse 0.1", pax([(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"5")]) + entry(name, b"x")
    yield 35, "PAX link", pax([(b"linkpath", b"/etc/passwd")]) + entry(name, b"x")
    yield 35, "global PAX", pax([(b"path", b"other")], b"g") + entry(name, b"x")
    yield 35, "GNU magic", entry(name, b"x", magic=b"ustar  \0")
    yield 35, "no magic", entry(name, b"x", magic=b"\0" * 8)
    yield 36, "huge size", header(name, (1 << 33) - 1)
    yield 36, "huge PAX size", pax([(b"size", b"9" * 15)]) + header(name)
    yield 36, "PAX size beyond numbers", pax([(b"size", b"9" * 40)]) + header(name)
    yield 36, "negative base-256", header(name, size=0) and summed(bytearray(header(name)[:124]) + b"\xff" * 12 + header(name)[136:])
    yield 36, "large base-256", summed(header(name)[:124] + b"\x80" + b"\x7f" * 11 + header(name)[136:])
    yield 36, "octal junk", summed(header(name)[:124] + b"0000000009x\0" + header(name)[136:])
    yield 36, "size with spaces", summed(header(name)[:124] + b"        100\0" + header(name)[136:]) + padded(b"x" * 64)
    yield 36, "size without end", summed(header(name)[:124] + b"000000000100" + header(name)[136:]) + padded(b"x" * 64)
    yield 36, "PAX size is another", pax([(b"size", b"600")]) + entry(name, b"x" * 5)
    yield 36, "wrong sum", (lambda block: block[:148] + b"000001\0 " + block[156:])(header(name))
    yield 36, "PAX bomb", entry(TOP + "PaxHeaders/entry", b"30 path=" + b"x" * 2_000_000, b"x") + entry(name, b"x")
    yield 36, "PAX that claims a gigabyte", header(TOP + "PaxHeaders/entry", 1 << 30, b"x") + entry(name, b"x")
    yield 36, "PAX twice", pax([(b"path", b"a")]) + pax([(b"path", name.encode())]) + entry(name, b"x")
    yield 36, "PAX record cut", entry(TOP + "PaxHeaders/entry", b"999 path=x\n", b"x") + entry(name, b"x")
    yield 36, "PAX size negative", pax([(b"size", b"-1")]) + entry(name, b"x")
    yield 36, "a lone zero block", bytes(512)
    yield 37, "end blocks", bytes(1024)


# -- the container, against two others

class Ours:
    def __init__(self):
        self.process = subprocess.Popen([LIST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env())

    def read(self, tar):
        """[(name, size, sha256)], or a text: why it is refused."""
        self.process.stdin.write(struct.pack(">I", len(tar)) + tar)
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        assert line, f"tar_list died: {self.process.wait()}"
        if line.startswith("refused "):
            return line[8:].strip()
        listed = [word.split(":") for word in line.split()[1:]]
        return [(bytes.fromhex(name).decode(), int(size), sum_) for name, size, sum_ in listed]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


def python_reads(tar):
    """The same by tarfile, and all contents together; None if it does not like the tar."""
    listed, contents = [], b""
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member).read() if member.isreg() else None
                listed.append((member.name, member.size, content and hashlib.sha256(content).hexdigest() or
                               hashlib.sha256(b"").hexdigest() if content is not None else member.type))
                contents += content or b""
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        return None, b""
    return listed, contents


def gnu_reads(tar):
    """[(name, size)] and all contents together by GNU tar; None if it complains."""
    shown = run(["tar", "-tvf", "-", "--numeric-owner", "--full-time", "--quoting-style=escape"], stdin=tar)
    unpacked = run(["tar", "-xOf", "-"], stdin=tar)
    if shown.code != 0 or shown.err or unpacked.code != 0 or unpacked.err:
        return None, b""
    rows = [line.split(None, 5) for line in shown.text.splitlines()]
    assert all(row[0].startswith("-rw-------") for row in rows), shown
    return [(row[5], int(row[2])) for row in rows], unpacked.out


class Mutator:
    """Tars beside the good ones: headers with a field changed and the sum made right, blocks moved, records respelled."""

    VALUES = [b"", b"\0", b" ", b"/", b"..", b"0", b"1", b"7", b"x", b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\x05", b"00000000010",
              b"0000000001 ", b"      1 \0", b"77777777777\0", b"000000000011", b"ustar  \0", b"ustar\x0001", b"0000644", b"root",
              TOP.encode(), TOP.encode() + b"index.json", b"index.json", b"5\0", b"00000000000\0", b"00000000144\0"]

    def __init__(self, seed, extra):
        self.dice, self.extra = random.Random(seed), extra

    def base(self):
        names = sorted(self.dice.sample(GOOD_NAMES, self.dice.randint(1, 4)))
        return [ours(name, self.dice.randbytes(self.dice.choice([0, 1, 100, 511, 512, 513, 1500]))) for name in names]

    def tar(self):
        parts = self.base()
        if self.dice.random() < 0.1:
            parts.insert(self.dice.randrange(len(parts) + 1), self.dice.choice(self.extra))
        data = bytearray(b"".join(parts) + bytes(1024))
        for _ in range(self.dice.choice([0, 1, 1, 1, 2, 3])):
            self.edit(data)
        return bytes(data)

    def headers(self, data):
        return [at for at in range(0, len(data) - 511, 512) if data[at + 257:at + 262] == b"ustar"]

    def edit(self, data):
        dice, heads = self.dice, self.headers(data)
        way = dice.randrange(10)
        block = 512 * dice.randrange(max(1, len(data) // 512))
        if way < 4 and heads:
            head = dice.choice(heads)
            at, length = FIELDS[dice.choice(list(FIELDS))]
            value = dice.choice(self.VALUES)[:length]
            if dice.random() < 0.5:
                value = value.ljust(length, b"\0")
            data[head + at:head + at + len(value)] = value
            if dice.random() < 0.9:
                data[head:head + 512] = summed(data[head:head + 512])
        elif way == 4 and heads:
            head = dice.choice(heads)
            data[head + dice.randrange(512)] = dice.randrange(256)
            data[head:head + 512] = summed(data[head:head + 512])
        elif way == 5 and data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        elif way == 6:
            del data[block:block + 512 * dice.randint(1, 3)]
        elif way == 7:
            other = 512 * dice.randrange(max(1, len(data) // 512))
            data[other:other] = data[block:block + 512 * dice.randint(1, 3)]
        elif way == 8:
            data[block:block] = bytes(512 * dice.randint(1, 2))
        else:
            del data[dice.randrange(len(data) + 1):]


def compare(reader, tar):
    """True if we take it."""
    mine = reader.read(tar)
    if isinstance(mine, str):
        return False
    by_python, python_contents = python_reads(tar)
    by_gnu, gnu_contents = gnu_reads(tar)
    if not mine and by_python is None:
        by_python = []  # tarfile does not take an empty tar of just end blocks for one
    assert by_python == mine, f"tarfile: {by_python}\nwe: {mine}"
    assert by_gnu == [(name, size) for name, size, _ in mine], f"GNU tar: {by_gnu}\nwe: {mine}"
    assert gnu_contents == python_contents
    return True


@pytest.fixture(scope="module")
def reader():
    if not os.access(LIST, os.X_OK):
        pytest.fail(f"{LIST} is not there: build the target tar_list")
    ours_ = Ours()
    yield ours_
    ours_.close()


def test_three_readers_agree(reader, tmp_path, figure):
    seed = int(os.environ.get("DTR_TAR_SEED", "1"))
    tries = 200_000 if os.environ.get("DTR_TEST_LONG") else 6_000
    mutator = Mutator(seed, [data for _, _, data in crafted() if len(data) < 100_000])
    taken = 0
    for number in range(tries):
        tar = mutator.tar()
        try:
            taken += compare(reader, tar)
        except AssertionError as error:
            kept = tmp_path / f"{seed}-{number}.tar"
            kept.write_bytes(tar)
            raise AssertionError(f"seed {seed}, input {number}, kept as {kept}\n{error}") from None
    figure(f"tar readers, seed {seed}: {tries} tried, {taken} taken and read the same by GNU tar and tarfile, the others refused")
    assert taken > tries // 50, "the mutations are too rough: nothing is compared"


@pytest.mark.parametrize("case,label,data", [pytest.param(*c, id=f"case_{c[0]}-{c[1].replace(' ', '-')}") for c in crafted()])
def test_crafted_headers_are_refused(reader, case, label, data):
    assert isinstance(reader.read(ours("index.json", b"{}") + data + ours("sums/0", b"") + bytes(1024)), str), (case, label)


# -- the program, on a real archive

@pytest.fixture(scope="module")
def real(module_space):
    server = module_space.server("a").start()
    Registry(server, "admin/x").push(Image(), "1")
    server.backup(module_space.file("good.tar"))
    server.stop()
    with open(module_space.file("good.tar"), "rb") as file:
        data = file.read()
    return data, os.path.join(server.data_dir, "recovery-key")


def verify_within_bounds(path):
    """With 10 s of work and 128 MiB of memory, thread stacks included."""
    def bounds():
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        resource.setrlimit(resource.RLIMIT_DATA, (128 << 20, 128 << 20))

    done = subprocess.run([DTR, "verify", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env(), preexec_fn=bounds,
                          check=False, timeout=60)
    return done.returncode, done.stderr.decode()


def positions(data):
    """Before everything, after HEADER.json and its signature, before the seal, at the very end."""
    starts, at = [], 0
    while data[at:at + 512] != bytes(512):
        starts.append(at)
        size = int(data[at + 124:at + 135], 8)
        at += 512 + size + -size % 512
    return [starts[0], starts[2], starts[-2], at]


@pytest.mark.parametrize("case", [34, 35, 36, 37])
def test_case_34_35_36_37_in_a_real_archive(real, space, case):
    data, key = real
    top = data[:100].split(b"/")[0] + b"/"
    placed = positions(data)
    count = 0
    with open(space.file("good.tar"), "wb") as file:
        file.write(data)
    assert verify_within_bounds(space.file("good.tar"))[0] == 0
    for number, label, bad in [c for c in crafted() if c[0] == case]:
        bad = bad.replace(TOP.encode(), top)
        bad = b"".join(summed(bad[at:at + 512]) if bad[at + 257:at + 262] == b"ustar" and label != "wrong sum" else bad[at:at + 512]
                       for at in range(0, len(bad), 512))
        at = placed[count % len(placed)]
        with open(space.file("bad.tar"), "wb") as file:
            file.write(data[:at] + bad + data[at:])
        code, err = verify_within_bounds(space.file("bad.tar"))
        assert code == 5 and len(err) < 4000, f"{number} {label} at {at}: exit {code}\n{err}"
        done = restore(space.file("b"), space.file("bad.tar"), "--identity", key, check=None)
        assert done.code == 5, done
        assert is_untouched(space.file("b"))
        count += 1
    assert count


def test_case_37_duplicates_second_header_and_what_follows_the_seal(real, space):
    data, key = real
    placed = positions(data)
    head = data[:placed[1]]
    second = data[placed[1]:placed[1] + 512 + (int(data[placed[1] + 124:placed[1] + 135], 8) + 511) // 512 * 512]
    seal = data[placed[2]:placed[3]]
    for label, bad in {"entry twice": data[:placed[1]] + second + data[placed[1]:],
                       "second HEADER": data[:placed[2]] + head + data[placed[2]:],
                       "HEADER again at once": head + data,
                       "entry after the seal": data[:placed[3]] + second + data[placed[3]:],
                       "seal twice": data[:placed[3]] + seal + data[placed[3]:],
                       "HEADER after the seal": data[:placed[3]] + head + data[placed[3]:]}.items():
        with open(space.file("bad.tar"), "wb") as file:
            file.write(bad)
        done = dtr("verify", space.file("bad.tar"))
        assert done.code == 5, f"{label}\n{done}"
        done = restore(space.file("b"), space.file("bad.tar"), "--identity", key, check=None)
        assert done.code == 5, f"{label}\n{done}"
        assert is_untouched(space.file("b"))
