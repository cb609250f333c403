"""README.md, pasted in one go into a shell on a terminal, from its first command to its last."""

import ctypes
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import time

import pytest

from harness import DTR, ROOT, UCP, clean_env, run
from oci import layout_digest

CLONE_NEWNS, CLONE_NEWNET, MS_REC_PRIVATE = 0x00020000, 0x40000000, 0x4000 | 0x40000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


def commands():
    return "".join(re.findall(r"^```[^\n]*\n(.*?)^```", readme(), re.S | re.M))


def own_namespaces():
    """The README's port is a fixed one, and what it mounts must not outlive it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) != 0:
        os._exit(99)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", IFF_UP | IFF_RUNNING, b""))


class Terminal:
    """An interactive bash on a terminal of its own. `statuses` says how each command ended."""

    def __init__(self, space, env):
        self.statuses_path = space.file("statuses")
        env = clean_env({"PS1": "$ ", "PS2": "> ", "TERM": "dumb", "PROMPT_COMMAND": f"echo $? >> {self.statuses_path}", **env})
        self.shell, self.terminal = pty.fork()
        if self.shell == 0:
            own_namespaces()
            os.chdir(space.path)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        os.set_blocking(self.terminal, False)
        self.said = b""

    def paste(self, text, seconds):
        """All of it as fast as the terminal takes it; until the shell has ended."""
        rest = text.encode() + b"exit\n"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            readable, writable, _ = select.select([self.terminal], [self.terminal] if rest else [], [], 0.5)
            if writable:
                rest = rest[os.write(self.terminal, rest[:512]):]
            if readable:
                try:
                    some = os.read(self.terminal, 65536)
                except OSError:  # EIO: nobody has the other side any more
                    some = b""
                if not some:
                    return
                self.said += some
        raise AssertionError(f"not done after {seconds} s\n{self.text()[-6000:]}")

    def text(self):
        return self.said.decode("utf-8", "replace").replace("\r", "")

    def statuses(self):
        with open(self.statuses_path, encoding="ascii") as file:
            return file.read().split()

    def close(self):
        """The shell, and what it left running: all that is of its session."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    session = int(file.read().rsplit(")", 1)[1].split()[3])
                if session == self.shell:
                    os.kill(int(entry), signal.SIGKILL)
            except (OSError, ValueError):
                continue
        os.close(self.terminal)
        os.waitpid(self.shell, 0)


@pytest.fixture
def clone(space):
    """The directory that the README is read in, as a clone with both programs built."""
    os.symlink(os.path.join(ROOT, "tools"), space.file("tools"))
    space.dir("build/release")
    os.symlink(DTR, space.file("build/release/dtr"))
    os.symlink(UCP, space.file("build/release/ucp"))
    return space


def test_pasted_from_the_first_line_to_the_last(clone):
    if os.geteuid() != 0:
        pytest.skip("THE README IS NOT PASTED: it fills a disk, and only root can mount one")
    terminal = Terminal(clone, {"DTR_BIN": DTR})
    try:
        terminal.paste(commands(), 400)
    finally:
        terminal.close()
    said = terminal.text()
    assert set(terminal.statuses()) == {"0"}, said
    assert not re.search(r"command not found|^not noticed:", said, re.M), said
    # Lost and brought back; killed again and again; on a disk that was full.
    assert layout_digest(clone.file("back"), "1").split(":")[1] in run(["tar", "-tf", clone.file("backup.tar")], check=0).text
    assert layout_digest(clone.file("back"), "full") == layout_digest(clone.file("back"), "1")
    assert "exit code 5" in said and "exit code 8" in said, said
    assert not os.path.exists(clone.file("c/config/CURRENT"))
    with open(clone.file("serve.log"), encoding="utf-8") as file:
        assert file.read().count("dtr: ready") > 2
    # The key was moved, not a link to it.
    assert os.path.isfile(clone.file("recovery-key")) and not os.path.islink(clone.file("recovery-key"))
    # The nightly backup said nothing, and is one.
    backups = os.listdir(clone.file("backups"))
    assert len(backups) == 1 and backups[0].endswith(".tar"), backups
    run([DTR, "verify", "--level", "3", "--identity", clone.file("recovery-key"), clone.file(f"backups/{backups[0]}")], check=0)
    after = said[said.index("$ sh dtr-backup nightly backups"):].splitlines()
    assert after[1].startswith("$ "), after[:5]


def test_the_nightly_backup_speaks_only_when_there_is_none(clone):
    """As cron runs it, with its own token, and against a registry that is not there."""
    script = re.search(r"^cat > dtr-backup << 'END'\n(.*?)^END$", readme(), re.S | re.M).group(1)
    with open(clone.file("dtr-backup"), "w", encoding="utf-8") as file:
        file.write(script)
    server = clone.server("a").start()
    files, backups = clone.dir("nightly"), clone.dir("backups")
    session = server.session()
    token = session.post(server.url + "/api/v0/api_tokens", json={"tokenLabel": "nightly", "scope": "backup"}, timeout=10)
    server.backup(clone.file("b.tar"))
    shown = run([DTR, "verify", "--json", "--identity", os.path.join(server.data_dir, "recovery-key"), clone.file("b.tar")], check=0).json
    for name, content in (("registry", server.host), ("ca.pem", server.ca()), ("token", token.json()["token"]),
                          ("signer", shown["signer"])):
        with open(os.path.join(files, name), "w", encoding="utf-8") as file:
            file.write(content + "\n")
    env = {"PATH": f"{os.path.dirname(DTR)}:{os.environ['PATH']}"}
    night = lambda check: run(["sh", clone.file("dtr-backup"), files, backups], env=env, check=check)
    done = night(0)
    assert (done.out, done.err) == (b"", "") and len(os.listdir(backups)) == 1, done
    old = os.path.join(backups, "20010101T000000Z.tar")
    for path in (old, os.path.join(backups, "other.txt")):
        open(path, "w", encoding="ascii").close()
        os.utime(path, (0, 0))
    server.stop()
    done = night(3)
    assert done.out == b"" and "no backup was made" in done.err and os.path.exists(old), done
    server.start()
    time.sleep(1.1)  # a file is named by its second
    night(0)
    assert not os.path.exists(old) and len(os.listdir(backups)) == 3


def test_the_packages_of_another_machine():
    """What the README says to install holds all libraries that the programs are linked with, or load when they need them."""
    named = set(re.search(r"and the packages `(.*?)`", readme(), re.S).group(1).split())
    needed = set()
    for program in (DTR, UCP):
        dynamic = run(["readelf", "-d", program], check=0).text
        needed |= set(re.findall(r"\(NEEDED\).*\[(.*?)\]", dynamic))
        with open(program, "rb") as file:  # sonames of src/sys/shared_library.h
            needed |= {name.decode() for name in re.findall(rb"\x00(lib(?:curl|ldap)[a-z0-9.-]*\.so\.[0-9]+)\x00", file.read())}
    assert any(name.startswith("libcurl") for name in needed) and any(name.startswith("libldap") for name in needed), needed
    for line in run(["/sbin/ldconfig", "-p"], check=0).text.splitlines():
        soname, path = line.split()[0], line.split()[-1]
        if soname not in needed:
            continue
        real = os.path.realpath(path)
        # With a merged /usr, dpkg may know it below /lib.
        owner = run(["dpkg", "-S", real]).text or run(["dpkg", "-S", real.removeprefix("/usr")], check=0).text
        package = owner.splitlines()[0].split(":")[0]
        assert package in named or package in ("libc6", "libgcc-s1", "libstdc++6"), f"{soname} is in {package}, which is not named"
        needed.discard(soname)
    assert not {name for name in needed if not name.startswith("ld-linux")}, needed


STUB = """#!/bin/sh
[ "$1" = --preset ] && exit 0
for n in 1 2 3; do echo "[$n/3] Building $n"; done
echo "error: $STUB_SAYS"
exit "$STUB_CODE"
"""


@pytest.mark.parametrize("code", [0, 1])
def test_the_build_says_how_far_it_is(space, code):
    """Without a terminal, too; what the compiler said is shown only if it failed."""
    with open(space.file("cmake"), "w", encoding="ascii") as file:
        file.write(STUB)
    os.chmod(space.file("cmake"), 0o755)
    env = {"PATH": f"{space.path}:{os.environ['PATH']}", "STUB_SAYS": "what it said", "STUB_CODE": str(code)}
    done = run([os.path.join(ROOT, "tools", "build")], env=env, check=code)
    assert done.out == b"" and "tools/build: 1/3" in done.err
    assert ("what it said" in done.err) == (code != 0) == ("the build failed" in done.err)


def test_run_builds_before_it_serves_and_goes_on_if_it_is_told_what_is_built(clone):
    done = run([clone.file("tools/run"), "--data-dir", clone.file("x"), "--no-install"], env={"DTR_BIN": DTR}, check=10)
    assert "tools/build" not in done.err and "--no-install was given" in done.err


def test_git_ignores_what_the_commands_make(space):
    if not os.path.isdir(os.path.join(ROOT, ".git")) and not os.path.isfile(os.path.join(ROOT, ".git")):
        pytest.skip("not a clone")
    made = ["a/x", "b/x", "c/x", "back/x", "backups/x", "certs/x", "image/x", "nightly/x", "alice-password", "backup.tar", "bad.tar",
            "dtr-backup", "enough", "health.json", "hello.txt", "new.txt", "pushed", "recovery-key", "said", "serve.log"]
    done = run(["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "check-ignore", *made])
    assert set(done.text.split()) == set(made), done


@pytest.mark.parametrize("path", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```", "", file.read(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert os.path.exists(os.path.join(ROOT, target)), f"{path} links to {target}, which is not there"
