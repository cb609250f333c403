"""Runs the program under test as a child process, the way an operator would.

DTR_BIN names the binary (default build/release/dtr). Ports are free loopback ports below the ephemeral range; data lives in
a fresh directory; only processes started here are ever signalled.
"""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import requests
import urllib3

urllib3.disable_warnings()

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DTR = os.path.abspath(os.environ.get("DTR_BIN", os.path.join(ROOT, "build", "release", "dtr")))
UCP = os.path.join(os.path.dirname(DTR), "ucp")
READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10  # promised: SIGTERM ends `serve` within this


def free_port():
    """A loopback port nobody listens on, below 32768 so that no client socket of this machine can hold it."""
    for _ in range(200):
        port = random.randint(18000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port between 18000 and 32000")


def clean_env(extra=None):
    """The environment without anything that would configure dtr or a proxy behind the test's back."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DTR_", "UCP_")) and "proxy" not in k.lower()}
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        shown = self.out if len(self.out) < 2000 else self.out[:200] + b"... %d bytes" % len(self.out)
        return f"$ {' '.join(map(str, self.args))}\nexit {self.code}\nstdout: {shown!r}\nstderr: {self.err}"


def run(args, stdin=None, timeout=120, env=None, cwd=None, stdout=None, check=None):
    """Runs a program to its end. stdin: bytes, an open file, or nothing. check: the exit code that is expected."""
    feed = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
    done = subprocess.run([str(a) for a in args], stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          env=clean_env(env), cwd=cwd, check=False, **feed)
    result = Result(args, done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace"))
    if check is not None:
        assert result.code == check, f"expected exit {check}\n{result}"
    return result


def dtr(*args, **options):
    return run([DTR, *args], **options)


def ucp(*args, **options):
    return run([UCP, *args], **options)


def tool(*args, **options):
    """A stock tool that has to succeed."""
    options.setdefault("check", 0)
    return run(args, **options)


class Server:
    """`dtr serve` on a data directory. Restarts keep the ports."""

    program = DTR

    def __init__(self, data_dir, args=(), env=None):
        self.data_dir = str(data_dir)
        self.args = [str(a) for a in args]
        self.env = env
        self.https_port, self.http_port = free_port(), free_port()
        self.log_path = self.data_dir.rstrip("/") + ".log"
        self.process = None
        self.known_password = None  # of a restored registry: the backup holds no clear text that could be handed out

    @property
    def host(self):
        return f"127.0.0.1:{self.https_port}"

    @property
    def plain_host(self):
        return f"127.0.0.1:{self.http_port}"

    @property
    def https_url(self):
        return f"https://{self.host}"

    @property
    def url(self):
        return f"http://{self.plain_host}"

    @property
    def password(self):
        return self.known_password or self.read("admin-password").strip()

    @property
    def auth(self):
        return ("admin", self.password)

    @property
    def creds(self):
        return f"admin:{self.password}"

    def read(self, name):
        with open(os.path.join(self.data_dir, name), encoding="utf-8") as file:
            return file.read()

    def command(self):
        return [self.program, "serve", "--data-dir", self.data_dir, "--listen", self.host, "--http-listen", self.plain_host, *self.args]

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def start(self):
        assert self.process is None or self.process.poll() is not None, "already running"
        seen = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=clean_env(self.env), start_new_session=True)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            text = self.log()[seen:]
            if any(line.startswith(("dtr: ready", "ucp: ready")) or '"message":"ready ' in line for line in text.splitlines()):
                return self
            if self.process.poll() is not None:
                raise AssertionError(f"serve exited with {self.process.returncode}\n{text}")
            time.sleep(0.02)
        self.kill9()
        raise AssertionError(f"serve was not ready within {READY_TIMEOUT_S} s\n{self.log()[seen:]}")

    def stop(self):
        """SIGTERM; the promise is an orderly end within ten seconds."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"serve did not end within {STOP_TIMEOUT_S} s of SIGTERM\n{self.log()}") from None
        assert code == 0, f"serve ended with {code} after SIGTERM\n{self.log()}"

    def kill9(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def ca(self):
        return requests.get(self.https_url + "/ca", verify=False, timeout=10).text

    def session(self, auth=True):
        session = requests.Session()
        session.trust_env = False
        if auth:
            session.auth = self.auth if auth is True else auth
        return session

    def cli_auth(self):
        """The flags an operator gives to a command that talks to this server."""
        return ["--ucp-url", self.host, "--ucp-ca", self.ca(), "--ucp-username", "admin", "--ucp-password", self.password]

    def backup(self, target, *args, check=0):
        with open(target, "wb") as out:
            return dtr("backup", *self.cli_auth(), *args, stdout=out, check=check)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill9()


class UcpServer(Server):
    """`ucp serve`."""

    program = UCP


class Peer:
    """A registry that somebody else started, given by DTR_E2E_URL (and DTR_E2E_AUTH=user:password): the conformance tests
    can be aimed at it, to tell what the tests demand from what this project does."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        self.auth = tuple(os.environ["DTR_E2E_AUTH"].split(":", 1)) if "DTR_E2E_AUTH" in os.environ else None

    def session(self, auth=True):
        session = requests.Session()
        session.trust_env = False
        session.auth = self.auth if auth is True else (auth or None)
        return session

    def log(self):
        return ""


class Workspace:
    """A scratch directory that goes away, with the servers started in it."""

    def __init__(self):
        # podman makes an image's name of the path of its layout, and a name has no "-_", which mkdtemp() may give.
        self.path = os.path.join(tempfile.gettempdir(), f"dtr-e2e-{secrets.token_hex(4)}")
        os.mkdir(self.path, 0o700)
        self.servers = []

    def dir(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(path, exist_ok=True)
        return path

    def file(self, name):
        return os.path.join(self.path, name)

    def server(self, name="data", *args, password=None, **options):
        server = Server(os.path.join(self.path, name), args, **options)
        server.known_password = password
        self.servers.append(server)
        return server

    def ucp(self, name="ucp", *args):
        server = UcpServer(os.path.join(self.path, name), args)
        self.servers.append(server)
        return server

    def logs(self):
        return "".join(f"--- {s.data_dir}\n{s.log()[-8000:]}\n" for s in self.servers)

    def close(self):
        for server in self.servers:
            server.kill9()
        shutil.rmtree(self.path, ignore_errors=True)
