"""Thousands of connections that do little: what they cost, and what the others notice."""

import os
import resource
import selectors
import socket
import threading
import time

from servers import Ours, drive
from tables import median, show, table

IDLE, SLOW = 4000, 1000


class Crowd:
    """Connections that asked once and stay, and others that send a body at a byte a second."""

    def __init__(self, server):
        address = ("127.0.0.1", server.port)
        self.idle = [self.connect(address, b"GET /v2/ HTTP/1.1\r\nHost: b\r\n\r\n") for _ in range(IDLE)]
        self.slow = [self.connect(address, b"POST /auth/token HTTP/1.1\r\nHost: b\r\nContent-Length: 60000\r\n"
                                           b"Content-Type: application/x-www-form-urlencoded\r\n\r\n") for _ in range(SLOW)]
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.dribble)
        self.thread.start()

    @staticmethod
    def connect(address, request):
        made = socket.create_connection(address, timeout=30)
        made.sendall(request)
        return made

    def dribble(self):
        while not self.stop.wait(1):
            for one in self.slow:
                try:
                    one.send(b"a")
                except OSError:
                    pass

    def alive(self):
        """How many the server has not closed."""
        gone = 0
        with selectors.DefaultSelector() as selector:
            for one in self.idle + self.slow:
                selector.register(one, selectors.EVENT_READ)
            for key, _ in selector.select(0):
                try:
                    gone += not key.fileobj.recv(65536, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
                except OSError:
                    gone += 1
        return len(self.idle) + len(self.slow) - gone

    def close(self):
        self.stop.set()
        self.thread.join()
        for one in self.idle + self.slow:
            one.close()


def threads(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def measure(folder, options):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Ours(os.path.join(folder, "connections")).log_in()
    results = {False: [], True: []}
    try:
        for number in range(options.rounds):
            for crowded in (False, True):
                crowd = Crowd(server) if crowded else None
                time.sleep(1)
                done = drive(server, "manifest-get --clients 8", 1 + number, options.seconds)
                results[crowded].append((done["p99_ms"], done["per_second"], server.memory("VmRSS") / 1024, threads(server),
                                         crowd.alive() if crowd else 0))
                if crowd:
                    crowd.close()
                time.sleep(1)
    finally:
        server.stop()
    rows = []
    for index, (title, goal) in enumerate([("p99 of a manifest GET, 8 connections, ms", "1.2x"), ("requests/s", ""),
                                           ("resident, MiB", ""), ("threads", "flat"), ("connections still there", "")]):
        a, b = (median([one[index] for one in results[crowded]]) for crowded in (False, True))
        rows.append([title, show(a), show(b), f"{b / a:.2f}x" if a else "", goal])
    return ["## Connections", "", f"{IDLE:,} connections that asked once and stay, and {SLOW:,} that send a body at a byte a second.", "",
            *table(["", "without", "with them", "ratio", "goal"], rows, right={1, 2, 3, 4})]
