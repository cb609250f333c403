"""Loads on docker-registry and on dtr, in turns on the same disk."""

import json
import os
import sys

from servers import Ours, Peer, drive
from tables import median, show, spread, table

# name, what it is, driver arguments, figure, unit, goal as a multiple of docker-registry's figure
LOADS = [
    ("manifest-get", "manifest GET by tag, 32 connections", "manifest-get --clients 32", "per_second", "requests/s", "50x"),
    ("push-2", "push, one 1 MB layer, 2 clients", "push-small --clients 2", "per_second", "images/s", "3x"),
    ("push-8", "push, one 1 MB layer, 8 clients", "push-small --clients 8", "per_second", "images/s", "4x"),
    ("pull-8", "pull of the same, 8 clients", "pull-small --clients 8", "per_second", "images/s", "6x"),
    ("push-tiny", "push, 4 layers of 10 kB, 16 clients", "push-small --clients 16 --layers 4 --layer-bytes 10000",
     "per_second", "images/s", "5x"),
    ("push-100", "push of one 100 MB layer", "push-large --large-bytes 100000000", "mb_per_second", "MB/s", "2x"),
    ("pull-100", "pull of one 100 MB layer", "pull-large --large-bytes 100000000", "mb_per_second", "MB/s", "1.3x"),
    ("push-large", "push of one {large} layer", "push-large --large-bytes {bytes}", "mb_per_second", "MB/s", "2x"),
    ("pull-large", "pull of one {large} layer", "pull-large --large-bytes {bytes}", "mb_per_second", "MB/s", "1.3x"),
    ("pull-raw", "the same, the client does not hash", "pull-large --no-verify --large-bytes {bytes}", "mb_per_second",
     "MB/s", ""),
]


def run(folder, options):
    """{load: {server: [result of each round]}}, and the two servers as they were."""
    results = {load[0]: {Peer.name: [], Ours.name: []} for load in LOADS}
    servers = []
    try:
        servers = [Peer(os.path.join(folder, "peer")), Ours(os.path.join(folder, "ours")).log_in()]
        ours = servers[1]
        ours.reset_peak()
        ours.verify_password()
        ours.login_kib = ours.memory("VmHWM")
        for number in range(options.rounds):
            for index, (name, _, arguments, *_) in enumerate(LOADS):
                for server in servers if number % 2 == 0 else reversed(servers):
                    os.sync()
                    seed = 1 + number * 100 + index
                    seed -= {"pull-100": 1, "pull-large": 1, "pull-raw": 2}.get(name, 0)  # what was pushed just before
                    done = drive(server, arguments.format(bytes=options.large_mib << 20), seed, options.seconds)
                    results[name][server.name].append(done)
                    print(f"round {number + 1} {name} {server.name}: {json.dumps(done)}", file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    return results, servers


def of(results, figure):
    return [None if result is None else result[figure] for result in results]


def measure(folder, options):
    results, (peer, ours) = run(folder, options)
    large = f"{options.large_mib / 1024:g} GiB" if options.large_mib >= 1024 else f"{options.large_mib} MiB"
    title = {name: text.format(large=large) for name, text, *_ in LOADS}

    def milliseconds(name, server):
        found = results[name][server.name]
        return f"{show(median(of(found, 'p50_ms')))} / {show(median(of(found, 'p99_ms')))}"

    figures, memory, processors = [], [], []
    for name, _, _, figure, unit, goal in LOADS:
        a, b = of(results[name][peer.name], figure), of(results[name][ours.name], figure)
        x, y = median(a), median(b)
        figures.append([title[name], unit, spread(a), spread(b), f"{y / x:.2f}x" if x and y else "", goal,
                        milliseconds(name, peer), milliseconds(name, ours)])
        x, y = (median(of(results[name][server.name], "peak_kib")) for server in (peer, ours))
        memory.append([f"peak, {title[name]}", f"{x / 1024:.1f} MiB", f"{y / 1024:.1f} MiB", f"{y / x:.2f}", "0.33"])
        processors.append([title[name]] + [" / ".join(f"{median(of(results[name][server.name], kind)):.2f}"
                                                      for kind in ("server_cpus", "driver_cpus")) for server in (peer, ours)])
    memory.insert(0, ["resident, idle", f"{peer.idle_kib / 1024:.1f} MiB", f"{ours.idle_kib / 1024:.1f} MiB",
                      f"{ours.idle_kib / peer.idle_kib:.2f}", "20 MiB"])
    memory.insert(1, ["of that private: the rest are pages of programs and libraries", f"{peer.idle_private_kib / 1024:.1f} MiB",
                      f"{ours.idle_private_kib / 1024:.1f} MiB", f"{ours.idle_private_kib / peer.idle_private_kib:.2f}", ""])
    memory.insert(2, ["peak, one password verified (argon2id)", "", f"{ours.login_kib / 1024:.1f} MiB", "", ""])
    return [
        "## Against docker-registry", "",
        f"Medians (and the least and most) of {options.rounds} rounds of {options.seconds:g} s, the two servers in turns on the "
        "same disk, plain HTTP on loopback. The load generator shares the processors, keeps its connections, and checks every "
        "status and the digest of every pulled byte. Peaks are those of the load alone: a password is verified before it. "
        "Neither server writes an access log.", "",
        *table(["server", "version", "durability", "credentials"],
               [[peer.name, peer.version, peer.durability, "none"],
                [ours.name, ours.version, ours.durability, "a bearer token on every request"]]), "",
        *table(["load", "unit", "docker-registry", "dtr", "ratio", "goal", "p50 / p99 ms, docker-registry", "p50 / p99 ms, dtr"],
               figures, right={2, 3, 4, 5, 6, 7}), "",
        *table(["memory", "docker-registry", "dtr", "ratio", "goal"], memory, right={1, 2, 3, 4}), "",
        f"Start until the first answer: docker-registry {peer.started_s:.2f} s, dtr {ours.started_s:.2f} s (dtr's first start makes "
        "keys and certificates).", "",
        "Processors used, server / load generator:", "",
        *table(["load", "docker-registry", "dtr"], processors, right={1, 2}),
    ]
