"""What the machine itself can do: no figure of a registry can be better than the slowest of these on its way."""

import hashlib
import os
import socket
import threading
import time

from tables import median, show, table

MIB = 1 << 20


def rate(work, seconds=1.0):
    """Bytes that `work` answers, per second, over at least so many seconds; in MB."""
    done, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        done += work()
    return done / (time.monotonic() - begin) / 1e6


def sha256():
    data = os.urandom(16 * MIB)

    def once():
        hashlib.sha256(data).digest()
        return len(data)
    return rate(once)


def copying():
    source, target = bytearray(256 * MIB), bytearray(256 * MIB)

    def once():
        memoryview(target)[:] = source
        return len(source)
    return rate(once)


def disk_write(folder):
    path = os.path.join(folder, "limit")
    data = os.urandom(MIB)

    def once():
        with open(path, "wb", buffering=0) as file:
            for _ in range(512):
                file.write(data)
            os.fsync(file.fileno())
        return 512 * MIB
    try:
        return rate(once, 2)
    finally:
        os.unlink(path)


def disk_syncs(folder):
    path = os.path.join(folder, "limit")
    data = os.urandom(4096)
    with open(path, "wb", buffering=0) as file:
        def once():
            file.write(data)
            os.fsync(file.fileno())
            return 1_000_000  # one operation, whatever the unit
        found = rate(once)
    os.unlink(path)
    return found


def loopback():
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def send():
        with socket.create_connection(listener.getsockname()) as out:
            data = bytes(MIB)
            while not stop.is_set():
                try:
                    out.sendall(data)
                except OSError:
                    return
    sender = threading.Thread(target=send)
    sender.start()
    receiver, _ = listener.accept()
    buffer = bytearray(MIB)
    found = rate(lambda: receiver.recv_into(buffer))
    stop.set()
    receiver.close()
    sender.join()
    listener.close()
    return found


def measure(folder, rounds):
    rows = []
    for what, unit, work in [("SHA-256, one processor", "MB/s", sha256), ("copying memory", "MB/s", copying),
                             ("one file written and synced", "MB/s", lambda: disk_write(folder)),
                             ("4 KiB appended and synced", "a second", lambda: disk_syncs(folder)),
                             ("one loopback connection", "MB/s", loopback)]:
        rows.append([what, unit, show(median([work() for _ in range(rounds)]))])
    return ["## The machine", ""] + table(["limit", "unit", "measured"], rows, right={2})
