"""Limits of the process: on the size of files (SIGXFSZ) and on descriptors."""

import os
import re
import resource
import subprocess

from harness import DTR, clean_env, dtr
from oci import Image, Registry, describe, digest
from steps import is_untouched
from test_disasters import key_of

LIMIT = 20 << 20


def limited(*args):
    """A command that may not write larger files."""
    done = subprocess.run([DTR, *args], capture_output=True, env=clean_env(), check=False, timeout=120,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)))
    return done.returncode, done.stderr.decode()


def test_a_server_survives_a_limit_on_file_sizes(space):
    server = space.server("a").start()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    registry = Registry(server, "admin/x")
    for _ in range(2):
        large = os.urandom(LIMIT + (1 << 20))
        answer = registry.do("POST", "blobs/uploads/", params={"digest": digest(large)}, data=large)
        assert answer.status_code == 507 and "limit on file sizes" in answer.text, describe(answer)
    registry.push(Image(), "1")
    registry.pull("1")
    server.stop()


def test_commands_end_with_no_space(space):
    server = space.server("a").start()
    Registry(server, "admin/x").push(Image(layers=[{"big": os.urandom(LIMIT + (4 << 20))}]), "1")
    server.backup(space.file("whole.tar"))
    for args in (["backup", *server.cli_auth()], ["backup", "--offline", "--data-dir", server.data_dir]):
        if "--offline" in args:
            server.stop()
        code, err = limited(*args, "--output", space.file("out.tar"))
        assert code == 8 and "limit on file sizes" in err and "no backup was made" in err, err
        assert not [name for name in os.listdir(space.path) if name.startswith((".dtr-", "out"))]
    code, err = limited("restore", "--data-dir", space.file("b"), "--identity", key_of(server), space.file("whole.tar"))
    assert code == 8 and "limit on file sizes" in err and "no live data was changed" in err, err
    assert is_untouched(space.file("b"))
    dtr("restore", "--data-dir", space.file("b"), "--identity", key_of(server), space.file("whole.tar"), check=0)


def test_all_descriptors_are_used(space):
    server = space.server("a").start()
    with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as file:
        soft, hard = re.search(r"^Max open files +([0-9]+) +([0-9]+) ", file.read(), re.M).groups()
    assert int(soft) >= min(int(hard), 65536)
