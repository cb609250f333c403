"""Blobs that are gone or damaged, through a backup, its verification, a restore, a pull and a push."""

import glob
import json
import os
import shutil

import pytest

from harness import dtr
from oci import Image, Registry, digest
from steps import is_untouched, restore


class Damaged:
    """Two images; one of them has lost a layer."""

    def __init__(self, space):
        self.space = space
        self.server = space.server("a").start()
        self.bad, self.good = Image(), Image()
        registry = Registry(self.server, "admin/team/app")
        registry.push(self.bad, "bad")
        registry.push(self.bad, "also-bad")
        registry.push(self.good, "good")
        self.lost = self.bad.layers[0]
        self.digest = digest(self.lost)
        (victim,) = [f for f in glob.glob(self.server.data_dir + "/registry/blobs/**", recursive=True)
                     if self.digest.split(":")[1] in f and os.path.isfile(f)]
        os.remove(victim)
        self.key = space.file("recovery-key")
        shutil.copy(os.path.join(self.server.data_dir, "recovery-key"), self.key)

    def logs(self):
        return self.space.logs()


@pytest.fixture(scope="module")
def damaged(module_space):
    return Damaged(module_space)


TAGS = ["admin/team/app:also-bad", "admin/team/app:bad"]


def test_case_15_it_stops_and_names_the_tags(damaged, space):
    done = damaged.server.backup(space.file("x.tar"), check=5)
    for word in [damaged.digest, *TAGS, "--allow-missing"]:
        assert word in done.err, done
    assert "app:good" not in done.err
    done = dtr("backup", *damaged.server.cli_auth(), "--output", space.file("y.tar"), check=5)
    assert not os.path.exists(space.file("y.tar"))


@pytest.mark.parametrize("mode", ["none", "entries", "stream"])
def test_case_21_left_out_and_healed(damaged, space, mode):
    archive = space.file("b.tar")
    done = damaged.server.backup(archive, "--allow-missing", "--encrypt", mode, "--json", check=4)
    assert json.loads([line for line in done.err.splitlines() if line.startswith("{")][0])["missingBlobs"] == 1
    for word in [damaged.digest, *TAGS]:
        assert word in done.err
    level1 = dtr("verify", "--level", "1", "--identity", damaged.key, archive, check=0)
    assert "1 blobs were missing" in level1.text
    done = dtr("verify", "--level", "3", "--identity", damaged.key, archive, check=4)
    assert damaged.digest in done.err
    assert [line.split()[-1] for line in done.err.splitlines() if "admin/team/app" in line] == TAGS
    done = restore(space.file("b"), archive, "--identity", damaged.key, check=5)
    assert "--allow-missing" in done.err and is_untouched(space.file("b"))
    done = restore(space.file("b"), archive, "--identity", damaged.key, "--allow-missing", "--json", check=4)
    assert done.json["missing"] == [damaged.digest] and done.json["sufferers"] == TAGS

    server = space.server("b", password=damaged.server.password).start()
    registry = Registry(server, "admin/team/app")
    assert damaged.good.digest in registry.pull("good")
    assert registry.get("bad").status_code == 200
    for answer in (registry.get_blob(damaged.digest), registry.do("HEAD", f"blobs/{damaged.digest}")):
        assert answer.status_code == 404
    assert registry.get_blob(damaged.digest).json()["errors"][0]["code"] == "BLOB_UNKNOWN"
    server.backup(space.file("again.tar"), check=5)
    assert registry.push_blob(damaged.lost) == damaged.digest
    assert damaged.bad.digest in registry.pull("bad")
    server.backup(space.file("whole.tar"), check=0)


def test_offline(damaged, space):
    copy = space.file("copy")
    damaged.server.stop()
    try:
        shutil.copytree(damaged.server.data_dir, copy, symlinks=True)
    finally:
        damaged.server.start()
    flags = ["--offline", "--data-dir", copy, "--output", space.file("b.tar")]
    done = dtr("backup", *flags, check=5)
    assert TAGS[0] in done.err
    done = dtr("backup", *flags, "--allow-missing", check=4)
    assert damaged.digest in done.err and TAGS[1] in done.err
    dtr("verify", "--level", "3", "--identity", damaged.key, space.file("b.tar"), check=4)
