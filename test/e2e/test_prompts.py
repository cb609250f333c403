"""What is asked is asked on the terminal, so that an archive may come or go through stdin and stdout meanwhile."""

import os
import pty
import select
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from harness import DTR, clean_env, dtr, tool
from oci import Image, Registry
from steps import is_untouched

PASSPHRASE = "typed, not written down"


class Terminal:
    """A terminal of its own session, with a program that has it, and nothing else of it, as its controlling one."""

    def __init__(self, args, stdin=None, stdout=None, env=None):
        self.leader, self.follower = pty.openpty()
        name = os.ttyname(self.follower)
        self.process = subprocess.Popen(
            [DTR, *args], stdin=stdin or subprocess.DEVNULL, stdout=stdout or subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=clean_env(env), start_new_session=True,
            preexec_fn=lambda: os.close(os.open(name, os.O_RDWR)))  # a session's first terminal becomes its own
        self.seen = ""

    def expect(self, question, answer, timeout=20):
        deadline = time.monotonic() + timeout
        start = len(self.seen)
        while question not in self.seen[start:]:
            ready, _, _ = select.select([self.leader], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{question!r} was not asked; seen: {self.seen!r}"
            self.seen += os.read(self.leader, 4096).decode()
        os.write(self.leader, answer.encode() + b"\n")

    def end(self, code=0):
        err = self.process.communicate(timeout=60)[1].decode()
        while select.select([self.leader], [], [], 0)[0]:
            self.seen += os.read(self.leader, 4096).decode()
        os.close(self.leader)
        os.close(self.follower)
        assert self.process.returncode == code, err
        return err


@pytest.fixture(scope="module")
def source(module_space):
    server = module_space.server("a").start()
    image = Image()
    Registry(server, "admin/app").push(image, "1.0")
    shutil.copy(os.path.join(server.data_dir, "recovery-key"), module_space.file("recovery-key"))
    with open(module_space.file("ca.pem"), "w", encoding="ascii") as file:
        file.write(server.ca())
    server.image, server.space = image, module_space
    return server


def test_a_password_is_typed_while_stdout_is_a_backup(source):
    target = source.space.file("typed.tar")
    with open(target, "wb") as out:
        terminal = Terminal(["backup", "--ucp-ca", source.ca()], stdout=out)
        terminal.expect("Address of UCP", source.host)
        terminal.expect("Name of an administrator", "admin")
        terminal.expect("Password of admin", source.password)
        err = terminal.end()
    assert "sealed" in err
    assert source.password not in terminal.seen, "it is not echoed"
    assert source.host in terminal.seen, "this is"
    assert tool("tar", "-tf", target).text.count("\n") > 10
    dtr("verify", "--identity", source.space.file("recovery-key"), target, check=0)


def test_a_wrong_one_is_no_backup(source):
    with open(source.space.file("wrong.tar"), "wb") as out:
        terminal = Terminal(["backup", "--ucp-ca", source.ca(), "--ucp-url", source.host, "--ucp-username", "admin"],
                            stdout=out)
        terminal.expect("Password of admin", "not this one")
        terminal.end(code=6)
    assert os.path.getsize(source.space.file("wrong.tar")) == 0


def test_a_passphrase_is_typed_on_both_ways(source, space):
    target = space.file("sealed.tar")
    with open(target, "wb") as out:
        terminal = Terminal(["backup", *source.cli_auth(), "--encrypt", "stream", "--ask-passphrase"], stdout=out)
        terminal.expect("Passphrase for the backup", PASSPHRASE)
        terminal.expect("Again", PASSPHRASE)
        terminal.end()
    assert PASSPHRASE not in terminal.seen
    anchor = source.space.file("recovery-key")
    with open(target, "rb") as archive:
        terminal = Terminal(["restore", "--data-dir", space.file("wrong"), "--identity", anchor, "--ask-passphrase"],
                            stdin=archive)
        terminal.expect("Passphrase of the backup", "something else")
        terminal.end(code=6)
    assert is_untouched(space.file("wrong"))
    with open(target, "rb") as archive:
        terminal = Terminal(["restore", "--data-dir", space.file("b"), "--identity", anchor, "--ask-passphrase"],
                            stdin=archive)
        terminal.expect("Passphrase of the backup", PASSPHRASE)
        terminal.end()
    assert PASSPHRASE not in terminal.seen
    restored = space.server("b", password=source.password).start()
    assert source.image.digest in Registry(restored, "admin/app").pull("1.0")


def test_without_a_terminal_it_is_said(source):
    """As in a container without -t: no question, a sentence."""
    done = dtr("backup", "--ucp-url", source.host, "--ucp-username", "admin", "--ucp-ca", source.ca(), check=2)
    assert "--ucp-password-file" in done.err
    done = dtr("backup", check=2)
    assert "--ucp-url" in done.err


def test_old_flags_are_accepted_and_said_to_be_ignored(source):
    """A line as it stood in somebody's cron job."""
    target = source.space.file("old.tar")
    args = ["backup", "--debug", "--hub-username", "me", "--hub-password", "hubs3cret", "--existing-replica-id",
            source.session().get(source.url + "/api/v0/meta/cluster_status", timeout=10).json()["replica_health"].popitem()[0],
            "--ignore-events-table", "--max-wait", "10m", *source.cli_auth()]
    with open(target, "wb") as out:
        done = dtr(*args, stdout=out, check=0, env={"NOCOLOR": "1"})
    lines = [line for line in done.err.splitlines() if line.startswith("dtr: ignored:")]
    assert len(lines) == 1
    for flag in ("--hub-username", "--hub-password", "--ignore-events-table", "--max-wait", "NOCOLOR"):
        assert flag in lines[0]
    assert "hubs3cret" not in done.err
    dtr("verify", target, check=0)


def test_extended_help_by_its_variable():
    done = dtr("backup", env={"DTR_EXTENDED_HELP": "1"}, check=0)
    assert "--ucp-ca-fingerprint" in done.text and "ignored" not in done.err


def test_the_servers_own_certificate_as_text(space):
    """As --dtr-ca, --dtr-cert and --dtr-key had it; the key is not to be seen in the process list."""
    for name in ("ca", "own"):
        tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", space.file(name + ".key"), "-out",
             space.file(name + ".pem"))
    read = {n: open(space.file(n), encoding="ascii").read() for n in ("own.key", "own.pem", "ca.pem")}
    server = space.server("a", "--dtr-cert", read["own.pem"], "--dtr-key", read["own.key"], "--dtr-ca", read["ca.pem"]).start()
    with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
        assert b"PRIVATE KEY" not in file.read()
    context = ssl.create_default_context(cadata=read["own.pem"])
    with socket.create_connection(("127.0.0.1", server.https_port)) as raw, \
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
        assert tls.getpeercert()["subject"] == ((("commonName", "own"),),)
    assert server.ca().count("BEGIN CERTIFICATE") == 2 and read["ca.pem"] in server.ca()
    server.stop()
    server.args = []
    server.env = {"DTR_CERT": read["own.pem"], "DTR_KEY": read["own.key"]}
    server.start()
    assert ssl.get_server_certificate(("127.0.0.1", server.https_port)).strip() == read["own.pem"].strip()
