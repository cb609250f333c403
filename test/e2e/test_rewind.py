"""Restores over live data and the way back, on real processes; the number in a name is that of the case in the project's list
of faults."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness import DTR, clean_env, dtr
from oci import Image, Registry
from steps import restore


@pytest.fixture
def rewindable(space):
    """A stopped registry, its backup, and what was pushed after that."""
    server = space.server("a").start()
    Registry(server, "admin/kept").push(Image(layers=[{"big": os.urandom(3 << 20)}]), "1")
    server.backup(space.file("b.tar"))
    Registry(server, "admin/later").push(Image(), "1")
    server.key = os.path.join(server.data_dir, "recovery-key")
    server.stop()
    return server


def status(server):
    return dtr("status", *server.cli_auth(), check=0).json


def current(server):
    return json.loads(server.read("config/CURRENT"))


def has(server, name):
    answer = server.session().get(f"{server.url}/v2/{name}/manifests/1", timeout=10)
    assert answer.status_code in (200, 404), answer.text
    return answer.status_code == 200


def test_case_31_rewind_and_back(rewindable, space):
    server, archive = rewindable, space.file("b.tar")
    refused = restore(server.data_dir, archive, "--identity", server.key, check=10)
    assert "--rewind" in refused.err
    done = restore(server.data_dir, archive, "--identity", server.key, "--rewind")
    assert "dtr restore --undo" in done.err and "push again what was pushed" in done.err
    server.start()
    Registry(server, "admin/kept").pull("1")
    assert not has(server, "admin/later")
    assert status(server)["epoch"] == 2
    server.stop()
    undone = dtr("restore", "--undo", "--data-dir", server.data_dir, "--json", check=0)
    assert undone.json["epoch"] == 3
    server.start()
    assert has(server, "admin/later") and has(server, "admin/kept")
    Registry(server, "admin/new").push(Image(), "1")
    server.stop()
    lossy = dtr("restore", "--undo", "--data-dir", server.data_dir, check=10)
    assert "repositories or accounts were changed" in lossy.err
    dtr("restore", "--undo", "--rewind", "--data-dir", server.data_dir, check=0)
    server.start()
    assert not has(server, "admin/later") and not has(server, "admin/new")
    assert current(server)["epoch"] == 4
    server.stop()
    assert "was removed" in dtr("restore", "--forget-undo", "--data-dir", server.data_dir, check=0).err
    assert dtr("restore", "--undo", "--data-dir", server.data_dir).code == 10
    server.start()
    Registry(server, "admin/kept").pull("1")


def test_case_26_a_running_registry_is_not_gone_over(rewindable, space):
    server = rewindable.start()
    for args in (["--identity", server.key, "--rewind"], ["--identity", server.key, "--rewind", "--dry-run"]):
        assert restore(server.data_dir, space.file("b.tar"), *args, check=None).code == 10
    assert dtr("restore", "--undo", "--data-dir", server.data_dir).code == 10
    assert has(server, "admin/later")


def test_case_26_backup_during_a_restore(rewindable, space):
    server = rewindable
    with open(space.file("b.tar"), "rb") as file:
        data = file.read()
    child = subprocess.Popen([DTR, "restore", "--rewind", "--data-dir", server.data_dir, "--identity", server.key],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    child.stdin.write(data[:1 << 20])
    child.stdin.flush()
    deadline = time.monotonic() + 10
    while not os.path.exists(os.path.join(server.data_dir, "config", "STAGING")) and time.monotonic() < deadline:
        time.sleep(0.02)
    for args in (["backup", "--offline", "--output", space.file("c.tar")], ["restore", "--undo"]):
        assert dtr(*args, "--data-dir", server.data_dir).code == 10
    child.stdin.write(data[1 << 20:])
    child.stdin.close()
    err = child.stderr.read().decode()
    assert child.wait(timeout=60) == 0, err
    assert not os.path.exists(space.file("c.tar"))


def test_case_02_killed_rewind_leaves_the_old_serving(rewindable, space):
    server = rewindable
    with open(space.file("b.tar"), "rb") as file:
        data = file.read()
    child = subprocess.Popen([DTR, "restore", "--rewind", "--data-dir", server.data_dir, "--identity", server.key],
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_env())
    child.stdin.write(data[:-3000])
    child.stdin.flush()
    time.sleep(0.5)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    server.start()
    assert "is staged in" in server.log() and "not live" in server.log()
    assert status(server)["staged_restore"].endswith("staged, not live")
    assert has(server, "admin/later")
    Registry(server, "admin/meanwhile").push(Image(), "1")
    server.stop()
    done = restore(server.data_dir, space.file("b.tar"), "--identity", server.key, "--rewind", "--json")
    assert done.json["blobsReused"] > 0 and done.json["undoKept"] and done.json["leftBehind"] >= 2
    server.start()
    assert status(server)["staged_restore"] is None
    assert has(server, "admin/kept") and not has(server, "admin/meanwhile")
    server.stop()
    dtr("restore", "--undo", "--data-dir", server.data_dir, check=0)
    server.start()
    assert has(server, "admin/meanwhile")


@pytest.mark.parametrize("step", ["restore.before_flip", "restore.flipped", "restore.retired"])
def test_case_03_death_around_the_flip(rewindable, space, step):
    """Whatever is live knows who it is, holds its collector, and honours no token of before."""
    server, archive = rewindable, space.file("b.tar")
    restore(server.data_dir, archive, "--identity", server.key, "--rewind")  # so that there is something to retire
    before = current(server)
    died = restore(server.data_dir, archive, "--identity", server.key, "--rewind", check=None,
                   env={"DTR_FAULT": f"die:{step}"})
    assert died.code == 137, died
    server.start()
    now = current(server)
    assert (now["generation"] == before["generation"]) == (step == "restore.before_flip")
    assert status(server)["epoch"] == now["epoch"]
    with open(os.path.join(server.data_dir, "config", now["generation"], "store.json"), encoding="utf-8") as file:
        assert "collector/held" in json.load(file)["entries"]
    Registry(server, "admin/kept").pull("1")
    assert os.path.exists(os.path.join(server.data_dir, "config", "STAGING")) == (step == "restore.before_flip")


def test_dry_run_says_what_would_change(rewindable, space):
    server, archive = rewindable, space.file("b.tar")
    told = restore(server.data_dir, archive, "--identity", server.key, "--rewind", "--dry-run")
    assert "- admin/later:1" in told.text and "tags: 1 same, 0 added, 1 removed, 0 changed" in told.text
    told = restore(server.data_dir, archive, "--identity", server.key, "--rewind", "--dry-run", "--json").json
    assert told["overLive"] and told["repositories"]["named"] == ["- admin/later"]
    assert restore(server.data_dir, archive, "--identity", server.key, "--dry-run", check=None).code == 10
    told = restore(space.file("nowhere"), archive, "--identity", server.key, "--dry-run")
    assert "into an empty directory" in told.text and not os.path.exists(space.file("nowhere"))
    with open(archive, "rb") as file:
        data = file.read()
    cut = dtr("restore", "--dry-run", "--data-dir", space.file("nowhere"), "--identity", server.key, stdin=data[:-2000])
    assert cut.code == 5, cut
    server.start()
    assert has(server, "admin/later")


def test_flags_that_do_not_go_together(space):
    for args in (["--undo", "x.tar"], ["--undo", "--dry-run"], ["--forget-undo", "--undo"],
                 ["--discard-staged", "--rewind"], ["--forget-undo", "x.tar"]):
        assert dtr("restore", "--data-dir", space.file("d"), *args).code == 2, args
    assert not os.path.exists(space.file("d"))
