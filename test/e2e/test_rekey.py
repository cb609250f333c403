"""A new recovery key for a running registry and for one that is stopped."""

import os
import shutil
import stat

from harness import DTR, dtr, run, tool
from oci import Image, Registry
from steps import restore
from test_ucp import Pair, flags


def recipient(key):
    return tool("age-keygen", "-y", key).text.strip()


def test_rekey(space):
    server = space.server("a").start()
    Registry(server, "admin/app").push(Image(), "1")
    old, new = space.file("old"), space.file("new")
    shutil.copy(os.path.join(server.data_dir, "recovery-key"), old)
    server.backup(space.file("before.tar"))

    done = dtr("rekey", *server.cli_auth(), "--output", new, check=0)
    assert done.out == b"" and recipient(new) in done.err
    assert stat.S_IMODE(os.stat(new).st_mode) == 0o600
    with open(new, encoding="ascii") as file:
        text = file.read()
    assert "# dtr-signer: RW" in text and "AGE-SECRET-KEY-1" in text and "AGE-SECRET-KEY" not in done.err
    assert recipient(new) != recipient(old)
    assert recipient(new) in server.log() and "AGE-SECRET-KEY" not in server.log()
    server.backup(space.file("after.tar"))
    # Each opens with its own key, and with no other.
    for archive, good, bad in (("before.tar", old, new), ("after.tar", new, old)):
        dtr("verify", "--identity", good, space.file(archive), check=0)
        done = dtr("verify", "--identity", bad, space.file(archive), check=6)
        assert recipient(good) in done.err
    # A file is never overwritten, and the key in force does not change for that.
    done = dtr("rekey", *server.cli_auth(), "--output", new, check=10)
    assert "in the way" in done.err
    done = dtr("rekey", *server.cli_auth(), "--output", old, check=10)
    assert dtr("rekey", *server.cli_auth()).code == 2
    done = dtr("rekey", *server.cli_auth(), "--output", "-", check=2)  # nor is it printed, where it cannot be kept
    assert done.out == b"" and not os.path.exists("-")
    restore(space.file("b"), space.file("after.tar"), "--identity", new)
    restored = space.server("b", password=server.password).start()
    restored.backup(space.file("restored.tar"))
    dtr("verify", "--identity", new, space.file("restored.tar"), check=0)


def test_rekey_needs_an_administrator(space):
    server = space.server("a").start()
    with open(space.file("password"), "w", encoding="ascii") as file:
        file.write("alice has a long password\n")
    dtr("user", "create", *server.cli_auth(), "--password-file", space.file("password"), "alice", check=0)
    flags = server.cli_auth()[:4] + ["--ucp-username", "alice", "--ucp-password-file", space.file("password")]
    assert dtr("rekey", *flags, "--output", space.file("key")).code == 6
    assert not os.path.exists(space.file("key"))
    answer = server.session(auth=False).get(server.url + "/api/v0/recovery-key", timeout=10)
    assert answer.status_code == 401


def test_rekey_goes_on_with_an_interrupted_one(space):
    server = space.server("a").start()
    key = space.file("key")
    done = run([DTR, "rekey", *server.cli_auth(), "--output", key], env={"DTR_FAULT": "die:rekey.written"})
    assert done.code == 137
    first = recipient(key)
    server.backup(space.file("a.tar"))
    dtr("verify", "--identity", key, space.file("a.tar"), check=6)
    dtr("rekey", *server.cli_auth(), "--output", key, check=0)
    assert recipient(key) == first
    server.backup(space.file("b.tar"))
    dtr("verify", "--identity", key, space.file("b.tar"), check=0)


def test_rekey_offline(space):
    server = space.server("a").start()
    done = dtr("rekey", "--offline", "--data-dir", server.data_dir, check=10)
    assert "using" in done.err  # a replica runs on it
    server.stop()
    done = dtr("rekey", "--offline", "--data-dir", server.data_dir, check=10)
    assert "move it to a safe place" in done.err
    old = space.file("old")
    shutil.move(os.path.join(server.data_dir, "recovery-key"), old)
    dtr("rekey", "--offline", "--data-dir", server.data_dir, check=0)
    new = os.path.join(server.data_dir, "recovery-key")
    assert recipient(new) != recipient(old)
    server.start()
    server.backup(space.file("b.tar"))
    dtr("verify", "--identity", new, space.file("b.tar"), check=0)
    dtr("verify", "--identity", old, space.file("b.tar"), check=6)


def test_ucp_gets_the_new_key(space):
    """Where UCP keeps the key in escrow it has the new one before backups are sealed to it, and gives it to a restore."""
    pair = Pair(space, "a")
    Registry(pair.registry, "admin/app").push(Image(), "1")
    new = space.file("new")
    done = dtr("rekey", *flags(pair.identity), "--output", new, check=0)
    assert "UCP keeps it in escrow as well" in done.err
    archive = space.file("b.tar")
    dtr("backup", *flags(pair.identity), "--output", archive, check=0)
    with open(archive, "rb") as file:
        dtr("restore", *flags(pair.identity), "--data-dir", space.file("b"), stdin=file, check=0)
    pair.registry.stop()
    refused = dtr("rekey", "--offline", "--data-dir", pair.registry.data_dir, check=10)
    assert "keeps the recovery key in escrow" in refused.err and "dtr rekey --ucp-url" in refused.err
