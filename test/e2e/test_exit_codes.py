"""Every command, held against the table of exit codes in docs/operating/command-line.md."""

import os
import re
import subprocess

import pytest

from harness import DTR, ROOT, UCP, clean_env, dtr, free_port, run, ucp

# What a command needs besides a server. PW: a file with a password.
ONLINE = {
    "backup": [["--output", "OUT"]],
    "dumpcerts": [["--output", "OUT"]],
    "rekey": [["--output", "OUT"]],
    "gc": [[], ["--dry-run"]],
    "scrub": [[]],
    "status": [[]],
    "reconfigure": [[], ["--set", "gc.lease=2h"], ["--no-dtr-cert"], ["--rotate-ca"]],
    "audit": [[]],
    "user": [["list"], ["create", "bob", "--password-file", "PW"], ["remove", "bob"], ["passwd", "bob", "--password-file", "PW"],
             ["activate", "bob"], ["deactivate", "bob"], ["admin", "bob", "on"]],
    "org": [["list"], ["create", "acme"], ["remove", "acme"], ["members", "acme"], ["add-member", "acme", "bob"],
            ["remove-member", "acme", "bob"]],
    "team": [["list", "acme"], ["create", "acme/t"], ["remove", "acme/t"], ["members", "acme/t"], ["add-member", "acme/t", "bob"],
             ["remove-member", "acme/t", "bob"]],
    "grant": [["list", "acme/t"], ["set", "acme/t", "read-only", "--namespace", "acme"], ["remove", "acme/t", "--namespace", "acme"]],
    "repo": [["list"], ["create", "admin/x"], ["show", "admin/x"], ["describe", "admin/x", "--short", "x"], ["publish", "admin/x"],
             ["hide", "admin/x"], ["immutable", "admin/x", "on"], ["remove", "admin/x"]],
    "token": [["list"], ["create", "--label", "x"], ["revoke", "x"], ["activate", "x"], ["deactivate", "x"]],
    "ldap": [["show"], ["off"], ["sync"], ["test"], ["set", "JSON"], ["team", "acme/t"]],
    "oidc": [["show"], ["set", "--disable"]],
}
LOCAL = {"serve", "install", "restore", "verify", "layout", "images", "version", "health"}
CALLS = [(command, args) for command, many in ONLINE.items() for args in many]


@pytest.fixture(scope="module")
def server(module_space):
    return module_space.server("a").start()


@pytest.fixture
def filled(space):
    with open(space.file("pw"), "w", encoding="ascii") as file:
        file.write("a password of bob\n")
    with open(space.file("json"), "w", encoding="ascii") as file:
        file.write('{"serverURL":"ldap://127.0.0.1:1"}')
    places = {"OUT": space.file("out"), "PW": space.file("pw"), "JSON": space.file("json")}
    return lambda args: [places.get(arg, arg) for arg in args]


def flags(url, password="not the password"):
    return ["--ucp-url", url, "--ucp-insecure-tls", "--ucp-username", "admin", "--ucp-password", password]


def commands_of(program):
    listed = run([program, "--help"], check=0).text.split("Subcommands:")[1]
    return set(re.findall(r"^  (\S+) ", listed, re.M))


def test_no_command_is_forgotten_here():
    assert commands_of(DTR) == ONLINE.keys() | LOCAL
    assert commands_of(UCP) <= ONLINE.keys() | LOCAL


def test_the_table_has_the_codes_that_there_are():
    with open(os.path.join(ROOT, "docs", "operating", "command-line.md"), encoding="utf-8") as file:
        table = file.read().split("## Exit codes")[1].split("##")[0]
    with open(os.path.join(ROOT, "src", "cli", "exit_code.h"), encoding="utf-8") as file:
        codes = {int(code) for code in re.findall(r"^    k\w+ = (\d+)", file.read(), re.M)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == codes


@pytest.mark.parametrize("command,args", CALLS, ids=lambda value: value if isinstance(value, str) else "-".join(value[:1]))
def test_online_commands(server, space, filled, command, args):
    """2 for what does not exist, 3 where nobody answers, 6 for a wrong password; and nothing is written."""
    given = [command, *filled(args)]
    unknown = dtr(*given, "--no-such-option", check=2)
    assert "--no-such-option" in unknown.err
    before = sorted(os.listdir(space.path))
    nobody = dtr(*given, *flags(f"127.0.0.1:{free_port()}"), check=3)
    assert "Couldn't connect" in nobody.err, nobody
    # A name of its own each time: failures are counted by account.
    wrong = flags(server.host)
    wrong[4] = f"nobody-{os.urandom(4).hex()}"
    refused = dtr(*given, *wrong, check=6)
    assert "password is wrong" in refused.err, refused
    assert sorted(os.listdir(space.path)) == before


def test_local_commands(space):
    def text(name, content):
        with open(space.file(name), "w", encoding="utf-8") as file:
            file.write(content)
        return space.file(name)

    no_archive = text("notes.txt", "not an archive\n" * 100)
    for args, code in (([], 2), (["no-such-command"], 2), (["verify", space.file("none")], 2), (["verify", space.path], 2),
                       (["verify", no_archive], 5), (["verify", "--level", "4", no_archive], 2),
                       (["verify", "--identity", no_archive, no_archive], 6), (["verify", "--identity", space.file("none"), no_archive], 2),
                       (["verify", "--trust", "xyz", no_archive], 2),
                       (["restore", "--data-dir", space.file("b"), "--trust", "0" * 16, no_archive], 5),
                       (["restore", "--data-dir", space.file("none"), "--undo"], 2),
                       (["backup", "--offline", "--data-dir", space.file("none"), "--output", space.file("out")], 2),
                       (["serve", "--data-dir", space.file("c"), "--no-install"], 10),
                       (["serve", "--data-dir", space.file("c"), "--set", "no.such=1"], 2),
                       (["serve", "--data-dir", space.file("c"), "--log-level", "loud"], 2),
                       (["layout", space.file("none"), "a/b"], 2), (["images"], 0), (["version"], 0), (["--version"], 0),
                       (["backup", "--help"], 0)):
        done = dtr(*args)
        assert done.code == code, done
        assert code == 0 or all(line.startswith("dtr: ") for line in done.err.splitlines()), done
    assert not os.path.exists(space.file("out"))
    assert ucp("bakcup", check=2).err.startswith("ucp: ")


def test_data_that_cannot_be_written(server):
    with open("/dev/full", "wb") as full:
        for args in (["version"], ["user", "list", *server.cli_auth()], ["status", *server.cli_auth()]):
            done = dtr(*args, stdout=full)
            assert done.code == 8 and "stdout" in done.err, done
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        assert dtr("version", stdout=gone).code == 11


def test_closed_descriptors_are_no_files(server, space):
    """What the caller closed must not become the next file that is opened, which messages would then be written to."""
    def closed(numbers, *args):
        shell = " ".join(f"{number}>&-" for number in numbers)
        return subprocess.run(["sh", "-c", f'exec "$@" {shell}', "sh", DTR, *args], env=clean_env(), capture_output=True,
                              timeout=60, check=False)

    out = space.file("backup.tar")
    assert closed((0, 1, 2), "backup", *server.cli_auth(), "--output", out).returncode == 0
    dtr("verify", out, check=0)
    done = closed((1,), "backup", *server.cli_auth())
    assert done.returncode == 2 and b"stdout is closed" in done.stderr
    assert closed((1,), "version").returncode == 1
    assert closed((0,), "verify").returncode == 1
    assert closed((0, 1, 2), "install", "--data-dir", space.file("quiet")).returncode == 0
    assert closed((0, 1, 2), "install", "--data-dir", space.file("quiet")).returncode == 10
    dtr("backup", "--offline", "--data-dir", space.file("quiet"), "--output", out, check=0)
    dtr("verify", "--identity", space.file("quiet/recovery-key"), out, check=0)
