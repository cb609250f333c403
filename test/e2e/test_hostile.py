"""Attacks that once took the service from everybody: beside each, pings and public pulls are answered, and nothing else is
refused. Bounded in count and time; attackers and others have addresses of their own on the loopback network."""

import base64
import contextlib
import os
import socket
import statistics
import threading
import time

import pytest
import requests
from requests.adapters import HTTPAdapter

from harness import Workspace, dtr
from oci import OCI_MANIFEST, Image, Registry, describe, digest
from test_ucp import Pair, eventually

ATTACKER = "127.0.0.2"
ATTACK_S = 4
MANIFEST_BYTES = (4 << 20) - 4096


class From(HTTPAdapter):
    """Connections from this address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, source_address=(self.address, 0), **options)


def connect(server, address=ATTACKER, buffer=None):
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(30)
    connection.bind((address, 0))
    connection.connect(("127.0.0.1", server.http_port))
    return connection


def publish(registry):
    url = f"{registry.server.url}/api/v0/repositories/{registry.repo}"
    answer = registry.session.patch(url, json={"visibility": "public"}, timeout=30)
    assert answer.status_code == 200, describe(answer)


def resident_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


class Beside:
    """What others see: while the block runs, they ping and pull in turn, each once in a while."""

    def __init__(self, server, *paths):
        self.server, self.paths = server, ("/_ping", *paths)
        self.times, self.refused = [], []

    def __enter__(self):
        self.going = True
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()
        return self

    def ask(self):
        session = requests.Session()
        session.trust_env = False
        while self.going:
            for path in self.paths:
                begin = time.monotonic()
                try:
                    status = session.get(self.server.url + path, timeout=30).status_code
                except requests.RequestException as error:
                    status = repr(error)
                self.times.append(time.monotonic() - begin)
                if status != 200:
                    self.refused.append((path, status))
            time.sleep(0.02)

    def __exit__(self, *_):
        self.going = False
        self.thread.join()

    def holds(self):
        assert self.refused == [], self.refused[:5]
        assert len(self.times) >= 4, "they were hardly heard"
        assert statistics.median(self.times) < 1, sorted(self.times)[-5:]


@pytest.fixture
def hosted(space):
    """A registry with a public image, and the path of its manifest."""
    server = space.server("a").start()
    registry = Registry(server, "admin/public")
    registry.push(Image(), "v1")
    publish(registry)
    return server, registry, "/v2/admin/public/manifests/v1"


def test_random_logins(hosted):
    """1,100 connections, each with a name of its own: the pool of passwords is theirs, and nothing else."""
    server, registry, path = hosted
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(connect(server)) for _ in range(1100)]
        with Beside(server, path) as others:
            for number, connection in enumerate(attackers):
                login = base64.b64encode(f"user{number}:guess".encode()).decode()
                connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: t\r\nAuthorization: Basic {login}\r\n\r\n".encode())
            # Another address can log in meanwhile, if it comes back when it is told to.
            for _ in range(50):
                answer = registry.session.get(server.url + "/v2/", timeout=30)
                if answer.status_code != 429:
                    break
                time.sleep(0.1)
            assert answer.status_code == 200, describe(answer)
            time.sleep(1)
        answers = [connection.recv(12) for connection in attackers]
    others.holds()
    assert {answer[9:12] for answer in answers} <= {b"401", b"429"}
    assert answers.count(b"HTTP/1.1 429") > 900, "they were hashed"


def test_slow_readers(hosted):
    """500 readers of a public manifest of 4 MiB who do not read: one copy is in memory, and it goes back."""
    server, registry, path = hosted
    registry.push(Image(annotations={"padding": "x" * MANIFEST_BYTES}), "large")
    before = resident_kib(server)
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(connect(server, buffer=4096)) for _ in range(500)]
        with Beside(server, path) as others:
            for connection in readers:
                connection.sendall(b"GET /v2/admin/public/manifests/large HTTP/1.1\r\nHost: t\r\nAccept: */*\r\n\r\n")
            assert {connection.recv(12) for connection in readers} == {b"HTTP/1.1 200"}
            time.sleep(1)
            pinned = resident_kib(server) - before
    others.holds()
    assert pinned / 500 < 64, f"{pinned} KiB for 500 readers"


@pytest.mark.parametrize("body", ["json", "manifest"])
def test_dripping_bodies(hosted, body):
    """Bodies that come a byte at a time hold no worker."""
    server, registry, path = hosted
    auth = "Authorization: " + requests.auth._basic_auth_str(*server.auth)  # pylint: disable=protected-access
    target = "POST /enzi/v0/accounts" if body == "json" else "PUT /v2/admin/public/manifests/dripped"
    head = f"{target} HTTP/1.1\r\nHost: t\r\n{auth}\r\nContent-Type: {OCI_MANIFEST}\r\nContent-Length: 60000\r\n\r\n"
    assert registry.session.get(server.url + "/v2/", timeout=30).status_code == 200  # so that the password is known
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(connect(server)) for _ in range(200)]
        with Beside(server, path) as others:
            for connection in attackers:
                connection.sendall(head.encode())
            end = time.monotonic() + ATTACK_S
            while time.monotonic() < end:
                for connection in attackers:
                    connection.sendall(b"{")
                time.sleep(0.05)
            registry.push(Image(label=body), body)
    others.holds()


def test_a_budget_for_bodies(hosted):
    """Manifests that are nearly there: what has no room is told to come back, whatever is small goes on."""
    server, registry, path = hosted
    auth = "Authorization: " + requests.auth._basic_auth_str(*server.auth)  # pylint: disable=protected-access
    assert registry.session.get(server.url + "/v2/", timeout=30).status_code == 200
    before = resident_kib(server)
    with contextlib.ExitStack() as stack, Beside(server, path) as others:
        for _ in range(40):
            connection = stack.enter_context(connect(server))
            head = f"PUT /v2/admin/public/manifests/big HTTP/1.1\r\nHost: t\r\n{auth}\r\nContent-Type: {OCI_MANIFEST}\r\n"
            with contextlib.suppress(OSError):  # refused on the way
                connection.sendall(f"{head}Content-Length: {4 << 20}\r\n\r\n".encode() + b" " * ((4 << 20) - 1))
        registry.push(Image(label="meanwhile"), "meanwhile")
        time.sleep(1)
        grown = resident_kib(server) - before
    others.holds()
    assert grown < 64 << 10, f"{grown} KiB for 40 bodies of 4 MiB"


def test_many_unfinished_manifests(hosted):
    """500 connections with half a manifest each: together they stay in the budget, and their memory goes back."""
    server, registry, path = hosted
    auth = "Authorization: " + requests.auth._basic_auth_str(*server.auth)  # pylint: disable=protected-access
    assert registry.session.get(server.url + "/v2/", timeout=30).status_code == 200
    before = resident_kib(server)
    head = f"PUT /v2/admin/public/manifests/half HTTP/1.1\r\nHost: t\r\n{auth}\r\nContent-Type: {OCI_MANIFEST}\r\n"
    half = f"{head}Content-Length: {256 << 10}\r\n\r\n".encode() + b" " * (128 << 10)
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(connect(server)) for _ in range(500)]
        with Beside(server, path) as others:
            refused = 0
            for connection in attackers:
                with contextlib.suppress(OSError):  # refused on the way
                    connection.sendall(half)
            registry.push(Image(label="meanwhile"), "meanwhile")
            time.sleep(1)
            grown = resident_kib(server) - before
            for connection in attackers:
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    refused += connection.recv(12) == b"HTTP/1.1 503"
    others.holds()
    assert grown < 64 << 10, f"{grown} KiB for 500 halves of 256 KiB"
    assert refused > 100, "more than the budget was taken"
    eventually(lambda: resident_kib(server) - before < 16 << 10)


def test_ucp_that_hangs(space):
    """Logins wait for a UCP that accepts connections and never answers; what is public does not wait with them."""
    pair = Pair(space, "a")
    server = pair.registry
    registry = Registry(server, "admin/public")
    registry.push(Image(), "v1")
    publish(registry)
    port = pair.identity.https_port
    pair.identity.stop()
    with socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind(("127.0.0.1", port))
        silent.listen(128)
        with Beside(server, "/v2/admin/public/manifests/v1") as others:
            for number in range(40):
                connection = stack.enter_context(connect(server))
                login = base64.b64encode(f"user{number}:guess".encode()).decode()
                connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: t\r\nAuthorization: Basic {login}\r\n\r\n".encode())
            time.sleep(ATTACK_S)
        others.holds()


def metadata_kib(server):
    folder = os.path.join(server.data_dir, "metadata")
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(folder) for name in names) >> 10


def test_upload_sessions(hosted):
    """Sessions that never get a byte leave nothing behind."""
    server, registry, path = hosted
    registry.start()
    before = metadata_kib(server)
    with Beside(server, path) as others:
        for _ in range(3000):
            registry.start()
        registry.push(Image(label="meanwhile"), "meanwhile")
    others.holds()
    assert metadata_kib(server) - before < 1024


def test_rehashing(hosted):
    """Under another algorithm what was sent is hashed once more, and then the session is over."""
    server, registry, path = hosted
    data = os.urandom(8 << 20)
    wrong = digest(b"something else", "sha512")
    with Beside(server, path) as others:
        for _ in range(5):
            url = registry.patch(registry.start(), data)
            assert registry.do_close(url, wrong).status_code == 400
            assert registry.do_close(url, wrong).status_code == 404, "it was hashed again"
    others.holds()


def test_flushing_the_throttle(hosted):
    """Failures under other names do not make the server forget those of an account, and lock nobody out where they work."""
    server, registry, path = hosted
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", From(ATTACKER))

    def guess(name, password):
        return session.get(server.url + "/v2/", auth=(name, password), timeout=30).status_code

    assert registry.session.get(server.url + "/v2/", timeout=30).status_code == 200
    with Beside(server, path) as others:
        assert [guess("admin", f"guess {n}") for n in range(12)] == [401] * 10 + [429] * 2
        for number in range(300):
            guess(f"name{number}", "guess")
        assert guess("admin", "guess again") == 429
        assert guess("admin", server.password) in (200, 429)  # remembered from elsewhere, or not looked at
        answer = registry.session.get(server.url + "/v2/", timeout=30)
        assert answer.status_code == 200, describe(answer)
    others.holds()


def second_administrator(server):
    account = {"name": "second", "password": "second's password", "isAdmin": True}
    answer = server.session().post(server.url + "/enzi/v0/accounts", json=account, timeout=30)
    assert answer.status_code == 201, describe(answer)
    session = server.session(("second", account["password"]))
    assert session.get(server.url + "/v2/", timeout=30).status_code == 200  # so that the password is known
    return session


@pytest.mark.parametrize("what", ["backup", "scrub?rate=1", "gc"])
def test_streams_of_one_account(hosted, what):
    """50 streams of one administrator that are not read, or take for ever: another's begins at once."""
    server, registry, path = hosted
    registry.push(Image(layers=[{"large": os.urandom(16 << 20)}]), "large")  # more than sockets and channels take
    other = second_administrator(server)
    auth = "Authorization: " + requests.auth._basic_auth_str(*server.auth)  # pylint: disable=protected-access
    with contextlib.ExitStack() as stack, Beside(server, path) as others:
        attackers = [stack.enter_context(connect(server, buffer=4096)) for _ in range(50)]
        answers = []
        for connection in attackers:
            connection.sendall(f"POST /api/v0/{what} HTTP/1.1\r\nHost: t\r\n{auth}\r\n\r\n".encode())
            answers.append(connection.recv(12))
        if what != "gc":  # which may be over by now
            assert answers.count(b"HTTP/1.1 200") == 3 and answers.count(b"HTTP/1.1 429") == 47, answers
            refused = server.session().post(f"{server.url}/api/v0/{what}", timeout=30)
            assert refused.status_code == 429 and "'admin'" in refused.text and int(refused.headers["Retry-After"]) > 0
        with other.post(f"{server.url}/api/v0/{what.replace('rate=1', 'rate=0')}", stream=True, timeout=30) as answer:
            assert answer.status_code == 200, describe(answer)
            assert len(b"".join(answer.iter_content(1 << 20))) > (16 << 20 if what == "backup" else 10)
    others.holds()


PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes((203, 0, 113, 7, 127, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb))
GET = b"GET /v2/ HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


def heard(server, data, address):
    with connect(server, address) as connection:
        connection.sendall(data)
        got = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                got += chunk
        return got[:12]


def test_proxy_forgeries(space):
    """A PROXY header counts from trusted addresses alone, and there it must be one."""
    server = space.server("a", "--trusted-proxy", "127.0.0.8/30", "--proxy-protocol", "--log-level", "debug").start()
    assert heard(server, PROXY_V2 + GET, "127.0.0.9") == b"HTTP/1.1 401"
    eventually(lambda: 'access 203.0.113.7 - "GET /v2/' in server.log())
    assert heard(server, b"PROXY TCP4 203.0.113.8 127.0.0.1 1 2\r\n" + GET, "127.0.0.10") == b"HTTP/1.1 401"
    eventually(lambda: 'access 203.0.113.8 - "GET /v2/' in server.log())
    assert heard(server, GET, ATTACKER) == b"HTTP/1.1 401"
    for forged in (PROXY_V2, b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n"):
        assert heard(server, forged + GET, ATTACKER) in (b"HTTP/1.1 400", b"")
    for broken in (b"", b"PROXY TCP4 203.0.113.9\r\n", PROXY_V2[:13] + b"\x12" + PROXY_V2[14:], os.urandom(64)):
        assert heard(server, broken + GET, "127.0.0.9") == b""
    assert "203.0.113.9" not in server.log()


@pytest.mark.parametrize("wrong", ["balancer.example", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_proxies_are_checked_at_the_start(wrong):
    space = Workspace()
    try:
        done = dtr("serve", "--data-dir", space.file("a"), "--trusted-proxy", wrong)
        assert done.code == 2, done
        assert not os.path.exists(space.file("a")), "something was made"
    finally:
        space.close()
