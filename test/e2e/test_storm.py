"""A storm: clients push, push again, mount and delete while the server is killed with -9 and started again. Whatever was
acknowledged is there afterwards, whole, and goes into a backup that verifies.

The seed decides what the clients do and when the server dies; DTR_STORM_SEED=n runs that one alone, DTR_TEST_LONG=1 runs
a hundred. Where the program has `dtr gc`, the collector runs through half of the storms, without any grace.
"""

import os
import random
import re
import threading
import time

import pytest
import requests

from harness import dtr
from oci import OCI_LAYER_GZIP, OCI_MANIFEST, OCTETS, Registry, descriptor, describe, digest, dumps

WORKERS = 4
KILLS = 3
LEASE_S = 1


def seeds():
    if "DTR_STORM_SEED" in os.environ:
        return [int(os.environ["DTR_STORM_SEED"])]
    return range(100) if os.environ.get("DTR_TEST_LONG") else range(4)


def has_collector():
    return dtr("gc", "--help").code == 0 and "--set" in dtr("serve", "--help").text


class Picture:
    """An image of few layers, which are drawn from a small stock so that they are shared, lost and pushed again."""

    def __init__(self, dice):
        self.layers = [layer_bytes(dice.randrange(40)) for _ in range(dice.randint(1, 3))]
        self.config = dumps({"architecture": "amd64", "os": "linux", "label": dice.randrange(1000)})
        self.manifest = dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                               "config": descriptor("application/vnd.oci.image.config.v1+json", self.config),
                               "layers": [descriptor(OCI_LAYER_GZIP, data) for data in self.layers]})
        self.digest = digest(self.manifest)
        self.blobs = list(dict.fromkeys([self.config, *self.layers]))


def layer_bytes(number):
    return random.Random(number).randbytes([0, 10, 5_000, 120_000, 700_000][number % 5] + number)


class Worker(threading.Thread):
    """One client with a repository of its own. Knows for every tag and manifest what it must be: one thing after an
    answer, one of several after a request whose answer never came."""

    def __init__(self, storm, number):
        super().__init__(daemon=True)
        self.storm, self.number = storm, number
        self.dice = random.Random(storm.seed * 100 + number)
        self.registry = Registry(storm.server, f"admin/storm{number}")
        self.tags = {}       # tag -> set of digests it may have; None: it may be gone
        self.manifests = {}  # digest -> set of True (is there) and False
        self.pictures = []
        self.acknowledged = self.unanswered = 0
        self.failure = None

    def run(self):
        try:
            while not self.storm.over.is_set():
                try:
                    self.step()
                except (requests.RequestException, Busy):
                    self.unanswered += 1
                    time.sleep(0.02)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"client {self.number}: {error!r}"

    def step(self):
        roll = self.dice.random()
        if roll < 0.45 or not self.pictures:
            self.pictures.append(Picture(self.dice))
            self.push(self.pictures[-1])
        elif roll < 0.65:
            self.push(self.dice.choice(self.pictures))
        elif roll < 0.75:
            self.push(self.dice.choice(self.pictures), by_digest=True)
        elif roll < 0.9:
            self.delete(self.dice.choice(self.pictures))
        else:
            self.delete_blob(self.dice.choice(self.pictures))

    def ask(self, method, path, **options):
        answer = self.registry.do(method, path, timeout=10, **options)
        if answer.status_code in (429, 500, 503, 507):
            assert answer.status_code in (429, 503), describe(answer)
            raise Busy
        return answer

    def push(self, picture, by_digest=False):
        """As clients do: ask for each blob, mount or upload what is not there; all over again if one went away."""
        tag = picture.digest if by_digest else f"t{self.dice.randrange(6)}"
        for sure in (False, True):
            started = time.monotonic()
            for data in picture.blobs:
                self.bring(data, sure)
            if not by_digest:
                self.tags.setdefault(tag, {None}).add(picture.digest)
            self.manifests.setdefault(picture.digest, {False}).add(True)
            answer = self.ask("PUT", f"manifests/{tag}", data=picture.manifest, headers={"Content-Type": OCI_MANIFEST})
            if answer.status_code == 201:
                if not by_digest:
                    self.tags[tag] = {picture.digest}
                self.manifests[picture.digest] = {True}
                self.acknowledged += 1
                return
            quick = time.monotonic() - started < LEASE_S * 0.75
            assert answer.status_code in (400, 404) and not (sure and quick), "blobs were acknowledged: " + describe(answer)

    def bring(self, data, sure):
        name = digest(data)
        if not sure and self.ask("HEAD", f"blobs/{name}").status_code == 200:
            return
        params = {}
        if self.dice.random() < 0.4:
            params = {"mount": name, "from": f"admin/storm{self.dice.randrange(WORKERS)}"}
        answer = self.ask("POST", "blobs/uploads/", params=params)
        if answer.status_code == 201:
            return
        assert answer.status_code == 202, describe(answer)
        url = self.registry.url_of(answer)
        if self.dice.random() < 0.3 and len(data) > 1:
            half = len(data) // 2
            answer = self.ask("PATCH", url, data=data[:half], headers={"Content-Type": OCTETS})
            assert answer.status_code == 202, describe(answer)
            url, data = self.registry.url_of(answer), data[half:]
        answer = self.registry.do_close(url, name, data)
        if answer.status_code in (429, 503):
            raise Busy
        assert answer.status_code == 201, describe(answer)

    def delete(self, picture):
        if picture.digest not in self.manifests:
            return
        self.manifests[picture.digest].add(False)
        pointing = [tag for tag, may_be in self.tags.items() if picture.digest in may_be]
        for tag in pointing:
            self.tags[tag].add(None)
        answer = self.ask("DELETE", f"manifests/{picture.digest}")
        assert answer.status_code in (202, 404), describe(answer)
        self.manifests[picture.digest] = {False}
        for tag in pointing:
            self.tags[tag].discard(picture.digest)
        self.acknowledged += 1

    def delete_blob(self, picture):
        answer = self.ask("DELETE", f"blobs/{digest(self.dice.choice(picture.blobs))}")
        assert answer.status_code in (202, 404, 405, 409), describe(answer)

    def check(self, collected):
        """What is there is what was acknowledged, and whole."""
        shown = {}
        for tag, may_be in self.tags.items():
            answer = self.registry.get(tag)
            is_now = answer.headers["Docker-Content-Digest"] if answer.status_code == 200 else None
            assert is_now in may_be, f"{self.registry.repo}:{tag} is {is_now}, and may be {may_be}"
            if is_now:
                shown[tag] = is_now
                self.registry.pull(tag)
        for name, may_be in self.manifests.items():
            there = self.registry.get(name).status_code == 200
            assert there in may_be or (collected and name not in shown.values()), f"{name}: {there}, may be {may_be}"
            if there:
                self.registry.pull(name)
        listed = self.registry.do("GET", "tags/list")
        assert listed.status_code == 200 or not shown, describe(listed)
        if listed.status_code == 200:
            assert sorted(listed.json()["tags"]) == sorted(shown)


class Busy(Exception):
    """The server asked to come back later: whether it did anything is unknown."""


class Storm:
    def __init__(self, space, seed, collect):
        self.seed, self.collect = seed, collect
        args = ["--set", f"gc.lease={LEASE_S}s", "--set", "gc.grace=0s"] if collect else []
        self.server = space.server("storm", *args).start()
        self.flags = self.server.cli_auth()
        self.over = threading.Event()
        self.collections = self.removed = 0
        self.workers = [Worker(self, number) for number in range(WORKERS)]

    def collector(self):
        while not self.over.is_set():
            done = dtr("gc", *self.flags, "--grace", "0s")
            assert done.code >= 0, done
            self.count(done)
            time.sleep(0.05)

    def count(self, done):
        removed = re.search(r"removed (\d+) objects", done.err)
        self.collections += done.code == 0
        self.removed += int(removed.group(1)) if removed else 0

    def rage(self, kills):
        dice = random.Random(self.seed)
        for worker in self.workers:
            worker.start()
        cleaner = threading.Thread(target=self.collector, daemon=True)
        if self.collect:
            cleaner.start()
        for _ in range(kills):
            # The collector condemns nothing within a lease of the start.
            time.sleep(dice.uniform(LEASE_S, LEASE_S * 2) if self.collect else dice.uniform(0.05, 0.6))
            self.server.kill9()
            self.server.start()
        time.sleep(0.2)
        self.over.set()
        for worker in self.workers:
            worker.join(30)
            assert not worker.is_alive(), f"client {worker.number} hangs"
        if self.collect:
            cleaner.join(60)
        assert not [w.failure for w in self.workers if w.failure], [w.failure for w in self.workers if w.failure]


@pytest.mark.parametrize("seed", seeds())
def test_kill_9_storm(space, seed, figure):
    collect = has_collector() and seed % 2 == 1
    storm = Storm(space, seed, collect)
    storm.rage(KILLS)
    if collect:
        time.sleep(LEASE_S + 0.5)
        for _ in range(2):  # condemned by the first, gone with the second at the latest
            storm.count(dtr("gc", *storm.flags, "--grace", "0s", check=0))
        assert storm.collections > 2 and storm.removed > 0
    for worker in storm.workers:
        worker.check(collect)
    storm.server.backup(space.file("after.tar"))
    dtr("verify", "--level", "3", "--identity", os.path.join(storm.server.data_dir, "recovery-key"), space.file("after.tar"),
        check=0)
    storm.server.restart()
    for worker in storm.workers:
        worker.check(collect)
    done = sum(worker.acknowledged for worker in storm.workers)
    lost = sum(worker.unanswered for worker in storm.workers)
    figure(f"storm, seed {seed}: {done} changes acknowledged, {lost} requests unanswered; {storm.collections} collections removed "
           f"{storm.removed} objects")
    assert done > 0
