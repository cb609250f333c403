"""Where archives and keys go (`--output`), and what is left when a command is interrupted."""

import contextlib
import os
import pwd
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from harness import DTR, clean_env, dtr, free_port
from oci import Image, Registry
from steps import is_untouched
from test_disasters import key_of

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def source(module_space):
    server = module_space.server("a").start()
    Registry(server, "admin/app").push(Image(layers=[{"big": os.urandom(24 << 20)}]), "1")
    server.backup(module_space.file("whole.tar"))
    server.archive = module_space.file("whole.tar")
    return server


@contextlib.contextmanager
def silent_peer():
    """A server that takes a connection and what is sent, and never answers."""
    with socket.socket() as listener:
        port = free_port()
        listener.bind(("127.0.0.1", port))
        listener.listen()
        taken = []
        accepted = threading.Event()

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    accepted.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}", accepted
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def spawn(*args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
    return subprocess.Popen([DTR, *args], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=clean_env())


def end(child, number):
    """Told to end, it does so with 11, and says so."""
    child.send_signal(number)
    try:
        err = child.communicate(timeout=20)[1].decode()
    finally:
        child.kill()
    assert child.returncode == 11, err
    assert "interrupted" in err, err
    return err


def wait_for(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# -- --output

def test_overlapping_backups_are_each_whole(source, space):
    target = space.file("f.tar")
    children = [spawn("backup", *source.cli_auth(), "--output", target) for _ in range(4)]
    for child in children:
        err = child.communicate(timeout=60)[1].decode()
        # One that saw at its end that another had taken the name in that very moment says so.
        assert child.returncode == 0 or child.returncode == 9 and "at the same moment" in err, err
    dtr("verify", target, check=0)
    assert os.listdir(space.path) == ["f.tar"]


def test_what_others_prepared_is_not_used(source, space):
    """A file under the name that was used for unfinished ones stays its owner's; a link of somebody else's is refused."""
    shared = space.dir("shared")
    os.chmod(shared, 0o777)
    os.chmod(space.path, 0o755)
    planted = os.path.join(shared, "keys.tar.part")
    with open(planted, "w", encoding="ascii") as file:
        file.write("mine")
    if os.geteuid() == 0:
        os.chown(planted, pwd.getpwnam("nobody").pw_uid, -1)
    target = os.path.join(shared, "keys.tar")
    dtr("dumpcerts", *source.cli_auth(), "--output", target, check=0)
    info = os.stat(target)
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (os.geteuid(), 0o600)
    with open(planted, encoding="ascii") as file:
        assert file.read() == "mine"
    assert sorted(os.listdir(shared)) == ["keys.tar", "keys.tar.part"]
    if os.geteuid() == 0:
        link = os.path.join(shared, "link.tar")
        os.symlink("elsewhere.tar", link)
        os.lchown(link, pwd.getpwnam("nobody").pw_uid, -1)
        with open(os.path.join(shared, "elsewhere.tar"), "w", encoding="ascii"):
            pass
        for command in ("dumpcerts", "backup", "rekey"):
            refused = dtr(command, *source.cli_auth(), "--output", link, check=10)
            assert "somebody else" in refused.err


@pytest.mark.parametrize("command", ["backup", "dumpcerts", "rekey"])
def test_a_place_that_cannot_be_is_refused_before_any_work(space, command):
    """Not even the server is asked: it is not there."""
    nobody = ["--ucp-url", f"127.0.0.1:{free_port()}", "--ucp-username", "admin", "--ucp-password", "x", "--ucp-insecure-tls"]
    folder = space.dir("folder")
    os.symlink("nowhere", space.file("dangling"))
    for place, code, words in ((folder, 2, "is a directory"), (folder + "/", 2, "does not name a file"), ("", 2, "empty"),
                               (space.file("none/f"), 2, "does not exist"), (space.file("n" * 256), 2, "too long"),
                               (space.file("dangling"), 10, "does not exist"), ("/proc/f", 2, "/proc")):
        if place == "/proc/f" and command == "rekey":
            continue  # root may write anywhere until it tries, and a key is not made to try
        refused = dtr(command, *nobody, "--output", place)
        assert refused.code == code and words in refused.err, refused
    assert sorted(os.listdir(space.path)) == ["dangling", "folder"] and os.listdir(folder) == []


def test_links_devices_fifos_and_long_names(source, space):
    os.makedirs(space.file("disk"))
    with open(space.file("disk/real.tar"), "w", encoding="ascii"):
        pass
    os.symlink("disk/real.tar", space.file("latest"))
    long_name = space.file("n" * 255)
    for target in (space.file("latest"), long_name):
        dtr("backup", *source.cli_auth(), "--output", target, check=0)
        dtr("verify", target, check=0)
    assert os.path.islink(space.file("latest")) and os.listdir(space.file("disk")) == ["real.tar"]
    dtr("backup", *source.cli_auth(), "--output", "/dev/null", check=0)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    full = dtr("backup", *source.cli_auth(), "--output", "/dev/full", check=8)
    assert "no backup" in full.err
    os.mkfifo(space.file("fifo"))
    child = spawn("backup", *source.cli_auth(), "--output", space.file("fifo"))
    dtr("verify", space.file("fifo"), check=0)
    assert child.wait(20) == 0
    # As a shell's >(command) hands it over.
    reading, writing = os.pipe()
    with subprocess.Popen([DTR, "verify", "-"], stdin=reading, stdout=subprocess.PIPE, env=clean_env()) as verify:
        with subprocess.Popen([DTR, "backup", *source.cli_auth(), "--output", f"/dev/fd/{writing}"], pass_fds=[writing],
                              env=clean_env()) as child:
            os.close(reading)
            os.close(writing)
            assert child.wait(30) == 0
        assert verify.wait(30) == 0


# -- SIGINT, SIGTERM, SIGHUP

@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["backup", "dumpcerts", "gc", "scrub", "status"])
def test_interrupted_while_a_server_is_silent(space, command, number):
    output = ["--output", space.file("f")] if command in ("backup", "dumpcerts") else []
    with silent_peer() as (url, accepted):
        child = spawn(command, "--ucp-url", url, "--ucp-username", "admin", "--ucp-password", "x", *output)
        assert accepted.wait(20)
        err = end(child, number)
    assert os.listdir(space.path) == []
    if command == "backup":
        assert "no backup was made" in err


def test_interrupted_while_nobody_reads(source, space):
    """To a pipe that is full, and to a FIFO that nobody opens."""
    child = spawn("backup", *source.cli_auth())
    wait_for(lambda: is_waiting(child), "it has nothing to wait for")
    assert "no backup was made" in end(child, signal.SIGINT)
    os.mkfifo(space.file("fifo"))
    child = spawn("backup", *source.cli_auth(), "--output", space.file("fifo"))
    wait_for(lambda: is_waiting(child), "it has nothing to wait for")
    assert "no backup was made" in end(child, signal.SIGTERM)
    # The server is rid of them: four may run at once.
    for _ in range(5):
        dtr("backup", *source.cli_auth(), "--output", "/dev/null", check=0)


def is_waiting(child):
    """All its threads sleep."""
    with contextlib.suppress(FileNotFoundError):
        states = []
        for task in os.listdir(f"/proc/{child.pid}/task"):
            with open(f"/proc/{child.pid}/task/{task}/stat", encoding="ascii") as file:
                states.append(file.read().rsplit(")", 1)[1].split()[0])
        return len(states) > 1 and set(states) == {"S"}
    return False


def test_interrupted_offline(source, space):
    server = space.server("b").start()
    Registry(server, "admin/app").push(Image(layers=[{"big": os.urandom(8 << 20)}]), "1")
    server.stop()
    child = spawn("backup", "--offline", "--data-dir", server.data_dir)
    wait_for(lambda: is_waiting(child), "it has nothing to wait for")
    end(child, signal.SIGINT)
    dtr("backup", "--offline", "--data-dir", server.data_dir, "--output", space.file("f.tar"), check=0)
    dtr("verify", space.file("f.tar"), check=0)


@pytest.mark.parametrize("command", ["verify", "restore"])
def test_interrupted_while_an_archive_stalls(source, space, command):
    reading, writing = os.pipe()
    target = ["--data-dir", space.file("b")] if command == "restore" else []
    child = spawn(command, *target, "--identity", key_of(source), "-", stdin=reading)
    os.close(reading)
    with open(source.archive, "rb") as file, os.fdopen(writing, "wb") as pipe:
        pipe.write(file.read(4 << 20))
        pipe.flush()
        wait_for(lambda: is_waiting(child), "it has nothing to wait for")
        err = end(child, signal.SIGINT)
        if command == "restore":
            assert "no live data was changed" in err and is_untouched(space.file("b"))
    if command == "restore":
        dtr("restore", *target, "--identity", key_of(source), source.archive, check=0)


def test_a_signal_that_is_to_be_ignored_is(source, space):
    """nohup dtr backup ...: the terminal may go away."""
    os.mkfifo(space.file("fifo"))
    child = subprocess.Popen([DTR, "backup", *source.cli_auth(), "--output", space.file("fifo")], stderr=subprocess.PIPE,
                             env=clean_env(), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(lambda: is_waiting(child), "it has nothing to wait for")
    child.send_signal(signal.SIGHUP)
    dtr("verify", space.file("fifo"), check=0)
    assert child.wait(20) == 0
