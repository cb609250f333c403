"""The same loads on registries of growing size, and how long a start takes."""

import os
import shutil
import sqlite3
import sys
import time

import requests

from servers import Ours, drive
from tables import median, show, table

TAGS = 10  # of each repository


def fill(path, count):
    """Repositories bench/<n> with one manifest and its tags each, written where the registry keeps its rows. All share one
    manifest that was pushed to bench/model, so its bytes are there."""
    with sqlite3.connect(path) as base:
        model = base.execute("SELECT id FROM repositories WHERE name = 'bench/model'").fetchone()[0]
        first = base.execute("SELECT max(id) FROM repositories").fetchone()[0] + 1
        now = time.time_ns() // 1000
        manifest = base.execute("SELECT digest, media_type, artifact_type, annotations_json, subject, size FROM manifests"
                                " WHERE repository_id = ?", (model,)).fetchone()
        references = base.execute("SELECT position, digest, kind, may_be_absent FROM manifest_references WHERE repository_id = ?",
                                  (model,)).fetchall()
        ids = range(first, first + count)
        base.executemany("INSERT INTO repositories VALUES (?, ?, 'bench', 0, ?)", ((i, f"bench/r{i:07}", now) for i in ids))
        base.executemany("INSERT INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ((i, *manifest, now) for i in ids))
        base.executemany("INSERT INTO manifest_references VALUES (?, ?, ?, ?, ?, ?)",
                         ((i, manifest[0], *reference) for i in ids for reference in references))
        base.executemany("INSERT INTO repository_blobs VALUES (?, ?, ?)", ((i, reference[1], now) for i in ids for reference in references))
        base.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", ((i, f"t{tag}", manifest[0], now) for i in ids for tag in range(TAGS)))
        base.execute("UPDATE state SET value = ? WHERE name = 'last_repository_id'", (str(first + count),))


def database(server):
    found = [os.path.join(root, name) for root, _, names in os.walk(os.path.join(server.data, "metadata")) for name in names
             if name.endswith(".sqlite")]
    assert len(found) == 1, found
    return found[0]


def lists(server, seconds):
    """Pages of 100 repositories a second, from somewhere in the middle."""
    with requests.Session() as session:
        session.auth = ("admin", server.password)
        count, begin = 0, time.monotonic()
        while time.monotonic() - begin < seconds:
            session.get(f"{server.url}/v2/_catalog?n=100&last=bench/r{count % 1000:07}", timeout=60).raise_for_status()
            count += 1
        return count / (time.monotonic() - begin)


def at_size(folder, count, options):
    server = Ours(folder)
    server.log_in()
    drive(server, "push-small --clients 1 --layer-bytes 10000 --count 1", 1, 1, "bench/model")
    server.stop()
    if count:
        fill(database(server), count)
    server = Ours(folder).log_in()
    rows = {"start": [server.started_s * 1000], "list": [], "push": [], "pull": [], "get": []}
    idle = server.idle_kib
    try:
        for number in range(options.rounds):
            seed = 100 + number
            rows["push"].append(drive(server, "push-small --clients 8 --layer-bytes 100000", seed, options.seconds, "bench/pushed")
                                ["per_second"])
            rows["pull"].append(drive(server, "pull-small --clients 8 --layer-bytes 100000", seed, options.seconds, "bench/pushed")
                                ["per_second"])
            rows["get"].append(drive(server, "manifest-get --clients 32", seed, options.seconds, "bench/got")["per_second"])
            rows["list"].append(lists(server, options.seconds))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{count} repositories: {rows}", file=sys.stderr)
    return {name: median(values) for name, values in rows.items()} | {"idle": idle / 1024}


def measure(folder, options):
    sizes = [10, 1000, 100_000]
    found = [at_size(os.path.join(folder, f"growth-{size}"), size, options) for size in sizes]
    names = [("push", "push, one 100 kB layer, 8 clients", "images/s"), ("pull", "pull of the same", "images/s"),
             ("get", "manifest GET by tag, 32 connections", "requests/s"), ("list", "a page of 100 repositories", "pages/s"),
             ("start", "start until the first answer", "ms"), ("idle", "resident, idle", "MiB")]
    rows = [[title, unit, *(show(one[name]) for one in found), "< 1 s" if name == "start" else
             "" if name == "idle" else f"{found[-1][name] / found[0][name]:.2f} (0.90-1.10)"] for name, title, unit in names]
    return ["## Growth", "", f"Each repository has {TAGS} tags, so the last column of sizes is {sizes[-1] * TAGS:,} tags. The last "
            "column is the biggest against the smallest, and its goal.", "",
            *table(["", "unit", *(f"{size:,} repositories" for size in sizes), "ratio (goal)"], rows, right={2, 3, 4, 5})]
