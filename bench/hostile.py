"""Attacks from one address, and what somebody at another address notices: pings and pulls of a public manifest in turn."""

import base64
import contextlib
import json
import multiprocessing
import os
import resource
import socket
import threading
import time
import urllib.request

from servers import Ours, Peer
from tables import median, show, table

ATTACKER = "127.0.0.2"
READERS = 500
LARGE = "large"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"
CONFIG_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
SETTLE_S = 20  # after an attack, before memory is looked at again


def connect(port, buffer=None):
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(30)
    made.bind((ATTACKER, 0))
    made.connect(("127.0.0.1", port))
    return made


def ask(server, method, path, body=None, kind=None):
    request = urllib.request.Request(path if path.startswith("http") else server.url + path, data=body, method=method)
    if server.password:
        request.add_header("Authorization", authorization("admin", server.password))
    if kind:
        request.add_header("Content-Type", kind)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return answer


def authorization(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def manifest(padding=""):
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": CONFIG_DIGEST, "size": len(CONFIG)}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": [],
                       "annotations": {"padding": padding}}).encode()


def publish(server):
    """admin/public with a small manifest and one of nearly 4 MiB, for everybody."""
    session = ask(server, "POST", "/v2/admin/public/blobs/uploads/").headers["Location"]
    url = session if session.startswith("http") else server.url + session
    ask(server, "PUT", f"{url}{'&' if '?' in url else '?'}digest={CONFIG_DIGEST}", CONFIG, "application/octet-stream")
    ask(server, "PUT", "/v2/admin/public/manifests/v1", manifest(), MANIFEST)
    ask(server, "PUT", f"/v2/admin/public/manifests/{LARGE}", manifest("x" * ((4 << 20) - 4096)), MANIFEST)
    if server.password:
        ask(server, "PATCH", "/api/v0/repositories/admin/public", b'{"visibility":"public"}', "application/json")


# --- the attacks: each runs in a process of its own until it is ended ---

def head_of(method, path, password, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: b", *headers]
    if password:
        lines.append("Authorization: " + authorization("admin", password))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def random_logins(port, _):
    """1,100 connections that log in, each time under another name."""
    number = 0
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            crowd = [stack.enter_context(connect(port)) for _ in range(1100)]
            for one in crowd:
                number += 1
                one.sendall(f"GET /v2/ HTTP/1.1\r\nHost: b\r\nAuthorization: {authorization(f'user{number}', 'x')}\r\n\r\n".encode())
            for one in crowd:
                one.recv(12)


def slow_readers(port, _):
    """500 connections that ask for a manifest of 4 MiB and do not read it."""
    crowd = [connect(port, 4096) for _ in range(READERS)]
    for one in crowd:
        one.sendall(head_of("GET", f"/v2/admin/public/manifests/{LARGE}", "", "Accept: */*"))
    time.sleep(3600)


def unfinished_manifests(port, password):
    """500 connections with half a manifest of 256 KiB each."""
    head = head_of("PUT", "/v2/admin/public/manifests/half", password, f"Content-Type: {MANIFEST}", f"Content-Length: {256 << 10}")
    crowd = [connect(port) for _ in range(READERS)]
    for one in crowd:
        with contextlib.suppress(OSError):  # refused on the way
            one.sendall(head + b" " * (128 << 10))
    time.sleep(3600)


def dripping_bodies(port, password):
    """500 bodies that come at 20 bytes a second."""
    head = head_of("PUT", "/v2/admin/public/manifests/drip", password, f"Content-Type: {MANIFEST}", "Content-Length: 60000")
    crowd = [connect(port) for _ in range(READERS)]
    for one in crowd:
        one.sendall(head)
    while True:
        for one in crowd:
            with contextlib.suppress(OSError):
                one.send(b" ")
        time.sleep(0.05)


def empty_uploads(port, password):
    """Uploads begun one after another on 4 connections; none gets a byte."""
    def begin():
        with connect(port) as one:
            while True:
                one.sendall(head_of("POST", "/v2/admin/public/blobs/uploads/", password, "Content-Length: 0"))
                one.recv(4096)
    for _ in range(3):
        threading.Thread(target=begin, daemon=True).start()
    begin()


ATTACKS = [random_logins, slow_readers, unfinished_manifests, dripping_bodies, empty_uploads]


# --- what the others notice ---

class Visitor(threading.Thread):
    """Asks for a ping and a public manifest in turn, each on a connection that stays, until it is stopped."""

    def __init__(self, port):
        super().__init__()
        self.port, self.going, self.times, self.refused = port, True, [], 0

    def run(self):
        head = b"GET %s HTTP/1.1\r\nHost: b\r\nAccept: */*\r\n\r\n"
        requests = [head % path for path in (b"/v2/admin/public/manifests/v1", b"/_ping")]
        connection = None
        while self.going:
            for request in requests:
                begin = time.monotonic()
                try:
                    connection = connection or socket.create_connection(("127.0.0.1", self.port), timeout=30)
                    connection.sendall(request)
                    good = self.read(connection)
                except OSError:
                    good, connection = False, None
                self.times.append(time.monotonic() - begin)
                self.refused += not good
            time.sleep(0.005)

    @staticmethod
    def read(connection):
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("closed")
            got += piece
        head, body = got.split(b"\r\n\r\n", 1)
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404"))  # the peer knows no /_ping

    def stop(self):
        self.going = False
        self.join()


def p99_ms(times):
    return sorted(times)[int(len(times) * 0.99)] * 1000


def beside(server, attack, seconds):
    """(p99, refused, resident before, most resident meanwhile, resident afterwards)"""
    server.verify_password()
    before = server.memory("VmRSS")
    process = multiprocessing.Process(target=attack, args=(server.port, server.password), daemon=True)
    process.start()
    time.sleep(1)
    visitor = Visitor(server.port)
    visitor.start()
    most = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, server.memory("VmRSS"))
        time.sleep(0.1)
    visitor.stop()
    process.kill()
    process.join()
    time.sleep(SETTLE_S)
    return p99_ms(visitor.times), visitor.refused, before, most, server.memory("VmRSS")


def measure(folder, options):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for attack in ATTACKS:
        for make in (Ours, Peer):
            if make is Peer and attack is random_logins:
                continue  # it knows no logins as it is set up here
            results = []
            for number in range(options.rounds):
                server = make(os.path.join(folder, f"{attack.__name__}-{make.name}-{number}"))
                try:
                    if make is Ours:
                        server.log_in()
                    publish(server)
                    results.append(beside(server, attack, options.seconds))
                finally:
                    server.stop()
            p99, refused, before, most, after = (median([one[i] for one in results]) for i in range(5))
            each = show((most - before) / READERS) if attack is slow_readers else ""
            rows.append([attack.__doc__.rstrip("."), make.name, show(p99), show(refused), show(before / 1024), show(most / 1024), each,
                         show(after / 1024)])
    rows.append(["goal", "", "50", "0", "", "96", "64", "40"])
    return ["## Attacks", "",
            "What somebody at another address notices of an attack from one address: pings and pulls of a public manifest in turn.",
            f"Memory afterwards is looked at {SETTLE_S} s after the attacker is gone.", "",
            *table(["attack", "", "p99, ms", "refused", "resident before, MiB", "most, MiB", "a reader, KiB", "afterwards, MiB"], rows,
                   right={2, 3, 4, 5, 6, 7})]
