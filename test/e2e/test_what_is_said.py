"""What commands say: of files that are no backups, of people and servers that are not there, and of what came from others."""

import gzip
import json
import os
import pty
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from harness import DTR, clean_env, dtr, free_port, tool
from oci import Image, Registry
from steps import is_untouched, restore
from test_disasters import key_of


@pytest.fixture(scope="module")
def two(module_space):
    server = module_space.server("a").start()
    archives = []
    for number in range(2):
        Registry(server, f"admin/x{number}").push(Image(label=f"image {number}"), "1")
        archives.append(module_space.file(f"{number}.tar"))
        said = dtr("backup", *server.cli_auth(), "--output", archives[-1], check=0).err.splitlines()[-1]
        assert "sealed" in said and "cluster " in said
    server.archives, server.key = archives, module_space.file("recovery-key")
    shutil.copy(key_of(server), server.key)
    server.stop()
    return server


def cluster_in(line):
    return line.split("cluster ")[1].split(",")[0].split()[0]


def test_the_last_line_names_the_cluster(two, space):
    backed_up = cluster_in(dtr("verify", two.archives[0], check=0).text)
    assert len(backed_up) == 32
    done = restore(space.file("b"), two.archives[0], "--identity", two.key)
    last = done.err.splitlines()[-1]
    assert f"restored from cluster {backed_up}" in last and cluster_in(last) != backed_up
    offline = dtr("backup", "--offline", "--data-dir", space.file("b"), "--output", space.file("b.tar"), check=0)
    assert "cluster " + cluster_in(last) in offline.err.splitlines()[-1]
    stream = dtr("backup", "--offline", "--data-dir", space.file("b"), "--encrypt", "stream", "--output", space.file("s"), "--json",
                 check=0)
    assert json.loads(stream.err.splitlines()[-1])["cluster"] == cluster_in(last)
    server = space.server("b", password=two.password).start()
    online = dtr("backup", *server.cli_auth(), "--encrypt", "stream", "--output", space.file("o"), check=0)
    assert "cluster " + cluster_in(last) in online.err.splitlines()[-1], "though the command cannot look into it"


def test_what_is_no_backup_is_named(two, space):
    whole = two.archives[0]
    with open(whole, "rb") as file:
        data = file.read()
    with gzip.open(space.file("b.tar.gz"), "wb") as out:
        out.write(data)
    tool("zstd", "-q", whole, "-o", space.file("b.tar.zst"))
    tool("xz", "-k", "-c", "-0", whole, stdout=open(space.file("b.tar.xz"), "wb"))
    with open(space.file("error.txt"), "w", encoding="ascii") as file:
        file.write("dtr: no backup was made; what was written has no seal\n" * 20)
    with open(space.file("empty.tar"), "wb"):
        pass
    tool("tar", "-cf", space.file("other.tar"), "-C", space.path, "error.txt")
    for name, what in (("b.tar.gz", "gzip"), ("b.tar.zst", "zstd"), ("b.tar.xz", "xz"), ("error.txt", "text, not an archive"),
                       ("empty.tar", "empty"), ("other.tar", "not a backup made by dtr")):
        for args in (["verify"], ["restore", "--data-dir", space.file("b"), "--identity", two.key]):
            done = dtr(*args, space.file(name), check=5)
            assert f"{space.file(name)}: it is" in done.err and what in done.err and "damaged" not in done.err, done
            if name != "empty.tar":  # behind a whole one nothing is nothing
                after = dtr(*args, whole, space.file(name))
                assert after.code == 5 and space.file(name) in after.err and what in after.err, after
    assert is_untouched(space.file("b"))


def test_two_backups_on_one_line_are_called_that(two, space):
    for args in (["verify"], ["restore", "--data-dir", space.file("b"), "--identity", two.key]):
        done = dtr(*args, *two.archives, check=5)
        assert two.archives[1] in done.err and "complete in itself" in done.err and "one backup at a time" in done.err, done
        assert "damaged" not in done.err and "verified" not in done.err
    assert is_untouched(space.file("b"))


def test_key_ids_are_looked_at_first(two, space):
    done = dtr("restore", "--data-dir", space.file("b"), "--trust", "not-a-key-id", two.archives[0], check=2)
    assert "16 hex digits" in done.err and "forgery" not in done.err
    assert not os.path.exists(space.file("b"))


def test_nobody_asks_for_the_password_of_a_lost_server(two, space):
    lost = {"UCP_URL": f"127.0.0.1:{free_port()}"}
    done = restore(space.file("b"), two.archives[0], "--identity", two.key, env=lost)
    assert "UCP_URL is ignored" in done.err
    done = restore(space.file("c"), two.archives[0], env=lost, check=3)
    assert "--identity" in done.err and "no password" not in done.err
    # Named on the command line it is meant; it is still not asked about.
    done = restore(space.file("d"), two.archives[0], "--identity", two.key, "--ucp-url", lost["UCP_URL"])
    assert "as in the backup" in done.err


def test_settings_are_guessed_only_where_one_is_near(space):
    near = dtr("serve", "--data-dir", space.file("a"), "--set", "gc.laese=1s", check=2)
    assert "did you mean gc.lease?" in near.err
    far = dtr("serve", "--data-dir", space.file("a"), "--set", "frobnicate=1s", check=2)
    assert "frobnicate" in far.err and "did you mean" not in far.err


def test_what_is_given_of_a_server_is_looked_at_first(two, space):
    ca, nobody = space.file("ca.pem"), ["--ucp-url", f"127.0.0.1:{free_port()}", "--ucp-username", "admin"]
    with open(ca, "w", encoding="ascii") as file:
        file.write("no certificate\n")
    for given, said in ((ca, "not a file name"), ("garbage", "no certificate"), ("-----BEGIN CERTIFICATE-----", "no certificate")):
        done = dtr("backup", *nobody, "--ucp-password", "x", "--ucp-ca", given, "--output", space.file("x.tar"), check=2)
        assert said in done.err and "$(cat ca.pem)" in done.err


def test_a_port_that_speaks_plain_http(space):
    port = free_port()
    server = space.server("a", "--http-listen", f"127.0.0.1:{port}").start()
    done = dtr("status", "--ucp-url", f"https://127.0.0.1:{port}", *server.cli_auth()[2:], check=3)
    assert "plain http" in done.err


def test_nothing_new_is_made_over_what_is_left_of_another(two, space):
    for left in ("metadata/x", "registry/blobs/sha256/00", "ca/y"):
        place = space.file(left.replace("/", "-"))
        os.makedirs(os.path.join(place, left))
        for command in (["install"], ["serve", "--listen", f"127.0.0.1:{free_port()}"],
                        ["restore", "--identity", two.key, two.archives[0]]):
            done = dtr(command[0], "--data-dir", place, *command[1:], check=10)
            assert left.split("/")[0] in done.err or "missing or empty" in done.err, done.err
        assert not os.path.exists(os.path.join(place, "config/CURRENT"))
    done = dtr("verify", DTR, check=5)
    assert "not a tar archive" in done.err


# -- what came from a server

EVIL = "\x1b[2Jname\x9b31m\ntwo\u202e"


class EvilHandler(BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/enzi/v0/replicas"):
            status, body = 200, {}
        elif self.path.startswith("/enzi/v0/accounts"):
            status, body = 200, {"accounts": [{"name": EVIL, "isActive": True}]}
        elif self.path.startswith("/api/v0/settings"):
            status, body = 200, {"settings": [{"key": EVIL, "value": EVIL}]}
        else:
            status, body = 403, {"errors": [{"code": "DENIED", "message": EVIL, "detail": EVIL}]}
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture(scope="module")
def evil():
    server = HTTPServer(("127.0.0.1", 0), EvilHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ["--ucp-url", f"http://127.0.0.1:{server.server_port}", "--ucp-username", "admin", "--ucp-password", "x"]
    server.shutdown()
    server.server_close()


def on_a_terminal(*args):
    """All that a command shows on one."""
    leader, follower = pty.openpty()
    with subprocess.Popen([DTR, *args], stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=clean_env()) as child:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(leader)
    return shown.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("args", [["user", "list"], ["reconfigure"], ["status"], ["gc"], ["scrub"], ["backup", "--output", "/dev/null"],
                                  ["repo", "list"], ["audit"], ["ldap", "show"], ["oidc", "show"], ["reconfigure", "--json"],
                                  ["token", "list"]], ids=" ".join)
def test_server_text_does_not_steer_the_terminal(evil, args):
    shown = on_a_terminal(*args, *evil).replace(b"\r\x1b[K", b"")  # our own progress line
    assert b"\\u001b[2J" in shown and b"\\u202e" in shown, shown
    for steers in (b"\x1b", b"\xc2\x9b", b"\r", "\u202e".encode()):
        assert steers not in shown, shown
    assert all(b"two" not in line[:3] for line in shown.splitlines()), "a line of its own"


def test_a_scrub_has_its_result_on_a_line_of_its_own(space):
    server = space.server("a").start()
    for number in range(3):
        Registry(server, "admin/app").push(Image(), str(number))
    shown = on_a_terminal("scrub", *server.cli_auth()).decode()
    result = next(line for line in shown.split("\n") if "read " in line and " objects" in line)
    assert result.split("\r\x1b[K")[-1].startswith("dtr: read "), shown
