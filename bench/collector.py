"""Pushes beside a collector that has much to remove, and without: is every acknowledged image whole afterwards?"""

import os
import subprocess
import threading

import requests

from servers import Ours, built, drive
from tables import median, spread, table

CLIENTS = 4
GARBAGE = 2000  # images of one repository that is removed


def collect(server, stop, removed):
    while not stop.is_set():
        done = subprocess.run([built("dtr"), "gc", "--grace", "0s", "--json", *server.connection()], check=False,
                              env=server.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        removed[0] += int(done.stdout.split(b'"removed":')[1].split(b",")[0].split(b"}")[0])


def round_of(server, number, options, collecting):
    """Images pushed a second, how many of them could not be pulled whole, and how many objects were removed meanwhile."""
    garbage, kept, seed = f"admin/garbage{number}", f"admin/kept{number}-{int(collecting)}", 1000 + 10 * number + collecting
    if collecting:
        drive(server, f"push-small --clients 16 --layer-bytes 10000 --count {GARBAGE}", 7000 + number, 1, garbage)
        requests.delete(f"{server.url}/api/v0/repositories/{garbage}", auth=("admin", server.password), timeout=60).raise_for_status()
    stop, removed = threading.Event(), [0]
    collector = threading.Thread(target=collect, args=(server, stop, removed))
    if collecting:
        collector.start()
    pushed = drive(server, f"push-small --clients {CLIENTS} --layer-bytes 100000", seed, options.seconds, kept)
    if collecting:
        stop.set()
        collector.join()
    tags = requests.get(f"{server.url}/v2/{kept}/tags/list?n=100000", auth=("admin", server.password), timeout=60).json()["tags"]
    broken = 0
    for tag in tags:
        manifest = requests.get(f"{server.url}/v2/{kept}/manifests/{tag}", auth=("admin", server.password), timeout=60,
                                headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}).json()
        for blob in [manifest["config"], *manifest["layers"]]:
            found = requests.head(f"{server.url}/v2/{kept}/blobs/{blob['digest']}", auth=("admin", server.password), timeout=60)
            broken += found.status_code != 200 or int(found.headers["Content-Length"]) != blob["size"]
    assert len(tags) >= pushed["operations"]
    return pushed["per_second"], broken, removed[0]


def measure(folder, options):
    server = Ours(os.path.join(folder, "collector"), "--set", "gc.lease=2s", "--set", "gc.grace=0s").log_in()
    try:
        runs = {False: [], True: []}
        for number in range(options.rounds):
            for collecting in sorted(runs, reverse=number % 2 == 1):  # in turns: each round finds a larger registry
                runs[collecting].append(round_of(server, number, options, collecting))
    finally:
        server.stop()
    alone, beside = ([one[0] for one in runs[collecting]] for collecting in (False, True))
    return [
        "## Collector", "",
        f"{CLIENTS} clients push images of one 100 kB layer, without and beside `dtr gc --grace 0s` in a loop, which has the "
        f"{2 * GARBAGE} objects of a removed repository to collect each round.", "",
        *table(["", "without", "beside it", "ratio", "goal"],
               [["images/s", spread(alone), spread(beside), f"{median(beside) / median(alone):.2f}x", "0.9x"],
                ["blobs of acknowledged images that are gone", sum(r[1] for r in runs[False]), sum(r[1] for r in runs[True]), "", "0"],
                ["objects removed meanwhile", "", sum(r[2] for r in runs[True]), "", ""]], right={1, 2, 3, 4}),
    ]
