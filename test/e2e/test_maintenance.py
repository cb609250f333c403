"""What keeps a registry clean and sound: collection beside pushes, scrubbing, settings."""

import json
import os
import random
import subprocess
import threading
import time

import pytest

from harness import DTR, clean_env, dtr
from oci import Image, OCTETS, Registry, describe, digest

LEASE_S = 2
QUICK = ["--set", f"gc.lease={LEASE_S}s", "--set", "gc.grace=0s", "--set", "gc.interval=0"]


def stored(server):
    """Objects on the disk, and their bytes."""
    sizes = [os.path.getsize(os.path.join(folder, name))
             for folder, _, names in os.walk(os.path.join(server.data_dir, "registry", "blobs")) for name in names]
    return len(sizes), sum(sizes)


def path_of(server, name):
    folder = os.path.join(server.data_dir, "registry", "blobs", "sha256", name[7:9])
    found = [f for f in os.listdir(folder) if f.startswith(name[7:])]
    assert len(found) == 1, found
    return os.path.join(folder, found[0])


def gc(server, *args, check=0):
    return dtr("gc", *server.cli_auth(), *args, check=check)


@pytest.fixture
def quick(space):
    server = space.server("a", *QUICK).start()
    server.started = time.monotonic()
    return server


def pass_lease(server):
    """A term after the start, and after whatever was pushed until now."""
    time.sleep(max(LEASE_S, server.started + LEASE_S - time.monotonic()) + 0.1)


def test_deleted_content_leaves_the_disk(quick):
    kept, gone = Image(layers=[{"kept": os.urandom(50_000)}]), Image(layers=[{"gone": os.urandom(90_000)}])
    Registry(quick, "admin/kept").push(kept, "1")
    doomed = Registry(quick, "admin/gone")
    doomed.push(gone, "1")
    doomed.push_blob(os.urandom(70_000))  # never gets a manifest
    early = gc(quick)
    assert "nothing is condemned before" in early.err
    pass_lease(quick)
    assert doomed.do("DELETE", f"manifests/{gone.digest}").status_code == 202
    before, dry = stored(quick), json.loads(gc(quick, "--dry-run", "--json").out)
    assert stored(quick) == before and dry["removed"] == 4
    done = gc(quick, "--json")
    assert json.loads(done.out)["removed"] == 4 and "freed" in done.err
    assert stored(quick)[0] == before[0] - 4
    Registry(quick, "admin/kept").pull("1")
    assert json.loads(gc(quick, "--json").out)["removed"] == 0


def test_it_runs_by_itself(space):
    server = space.server("a", "--set", "gc.lease=1s", "--set", "gc.grace=0s", "--set", "gc.interval=1s").start()
    registry = Registry(server, "admin/gone")
    image = Image(layers=[{"gone": os.urandom(90_000)}])
    registry.push(image, "1")
    assert registry.do("DELETE", f"manifests/{image.digest}").status_code == 202
    deadline = time.monotonic() + 20
    while stored(server)[0] > 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stored(server)[0] == 0


class Pusher(threading.Thread):
    """Pushes fresh, re-pushed, mounted and deleted layers; nothing may be refused."""

    def __init__(self, server, number, pushes):
        super().__init__(daemon=True)
        self.server, self.number, self.pushes = server, number, pushes
        self.dice = random.Random(number)
        self.registry = Registry(server, f"admin/pusher{number}")
        self.alive = {}
        self.gone = set()
        self.failure = None

    def run(self):
        try:
            i = 0
            while i < self.pushes:
                self.push(i)
                if i % 2:
                    self.delete()
                i += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"pusher {self.number}: {error!r}"

    def layer(self, i):
        stock = self.dice.random()
        if stock < 0.4:
            return os.urandom(3_000)
        return random.Random(self.dice.randrange(12) if stock < 0.8 else i % 7).randbytes(3_000)

    def push(self, i):
        picture = Image(layers=[], label=f"{self.number}-{i}")
        picture.layers = [self.layer(i) for _ in range(2)]
        body = json.loads(picture.manifest)
        body["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(data),
                           "size": len(data)} for data in picture.layers]
        picture.manifest = json.dumps(body).encode()
        for data in picture.blobs:
            self.bring(data)
        answer = self.registry.do_put(f"t{i}", picture.manifest)
        assert answer.status_code == 201, describe(answer)
        self.alive[f"t{i}"] = picture

    def bring(self, data):
        name = digest(data)
        if self.registry.has_blob(name):
            return
        if self.dice.random() < 0.3:
            other = f"admin/pusher{self.dice.randrange(4)}"
            answer = self.registry.do("POST", "blobs/uploads/", params={"mount": name, "from": other})
            if answer.status_code == 201:
                return
            answer = self.registry.do("PUT", self.registry.url_of(answer) + f"?digest={name}", data=data,
                                      headers={"Content-Type": OCTETS})
            assert answer.status_code == 201, describe(answer)
            return
        self.registry.push_blob(data)

    def delete(self):
        tag = self.dice.choice(list(self.alive))
        picture = self.alive.pop(tag)
        self.gone.add(tag)
        answer = self.registry.do("DELETE", f"manifests/{picture.digest}")
        assert answer.status_code == 202, describe(answer)


def test_collections_beside_pushers(space, figure):
    """Every acknowledged image is whole, no push is refused, and what was deleted is gone from the disk."""
    server = space.server("a", *QUICK).start()
    pushes = 2000 if os.environ.get("DTR_TEST_LONG") else 250
    over = threading.Event()
    flags, runs, freed = server.cli_auth(), [0], [0]

    def collect():
        while not over.is_set():
            done = json.loads(dtr("gc", *flags, "--grace", "0s", "--json", check=0).out)
            runs[0] += 1
            freed[0] += done["removed"]

    pushers = [Pusher(server, n, pushes) for n in range(4)]
    collector = threading.Thread(target=collect, daemon=True)
    time.sleep(LEASE_S)
    collector.start()
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join()
    over.set()
    collector.join()
    assert not [p.failure for p in pushers if p.failure], [p.failure for p in pushers if p.failure]
    time.sleep(LEASE_S + 2.5)  # what HEAD promised is written every two seconds
    gc(server, "--grace", "0s")
    needed = set()
    for pusher in pushers:
        for tag, picture in pusher.alive.items():
            needed |= set(pusher.registry.pull(tag))
            needed.add(picture.digest)
    on_disk = {"sha256:" + name.split(".")[0]
               for _, _, names in os.walk(os.path.join(server.data_dir, "registry", "blobs")) for name in names}
    assert on_disk == needed
    figure(f"{4 * pushes} pushes, {runs[0]} collections beside them removed {freed[0]} objects")
    assert freed[0] > 0


def test_a_backup_is_not_collected_under(quick, space):
    registry = Registry(quick, "admin/big")
    image = Image(layers=[{"big": os.urandom(60 << 20)}])
    registry.push(image, "1")
    pass_lease(quick)
    child = subprocess.Popen([DTR, "backup", *quick.cli_auth()], stdout=subprocess.PIPE, env=clean_env())
    with open(space.file("b.tar"), "wb") as out:
        out.write(child.stdout.read(100_000))
        assert registry.do("DELETE", f"manifests/{image.digest}").status_code == 202
        held = gc(quick)
        assert "a backup" in held.err and stored(quick)[0] == 3
        out.write(child.stdout.read())
    assert child.wait() == 0
    dtr("verify", "--level", "3", "--identity", os.path.join(quick.data_dir, "recovery-key"), space.file("b.tar"), check=0)
    gc(quick)
    assert stored(quick)[0] == 0


def test_a_restored_registry_collects_only_when_told(quick, space):
    Registry(quick, "admin/a").push(Image(), "1")
    quick.backup(space.file("b.tar"))
    password, key = quick.password, os.path.join(quick.data_dir, "recovery-key")
    dtr("restore", "--data-dir", space.dir("b"), "--identity", key, space.file("b.tar"), check=0)
    server = space.server("b", *QUICK, password=password).start()
    server.started = time.monotonic()
    registry = Registry(server, "admin/a")
    registry.push_blob(os.urandom(1000))
    pass_lease(server)
    refused = gc(server, check=10)
    assert "restored from backup" in refused.err and "dtr gc --confirm" in refused.err
    assert stored(server)[0] == 4
    gc(server, "--confirm")
    assert stored(server)[0] == 3
    gc(server)
    registry.pull("1")


def test_scrub_finds_what_rotted_and_a_push_heals_it(quick, space):
    image = Image(layers=[{"file": os.urandom(20_000)}])
    for repo in ("admin/a", "admin/b"):
        Registry(quick, repo).push(image, "1")
    assert "0 bad" in dtr("scrub", *quick.cli_auth(), "--rate", "0", check=0).err
    name = digest(image.layers[0])
    with open(path_of(quick, name), "r+b") as file:
        file.seek(5_000)
        file.write(b"rotten")
    found = dtr("scrub", *quick.cli_auth(), "--rate", "0", check=5)
    assert found.text.split("\t")[0] == name and "admin/a:1, admin/b:1" in found.text
    assert Registry(quick, "admin/a").get_blob(name).status_code == 404
    bad = quick.backup(space.file("bad.tar"), check=5)
    assert name[7:] in bad.err
    status = dtr("status", *quick.cli_auth(), check=0).json
    assert status["quarantined_blobs"] == 1
    Registry(quick, "admin/a").push(image, "1")
    assert "0 bad" in dtr("scrub", *quick.cli_auth(), "--rate", "0", check=0).err
    Registry(quick, "admin/b").pull("1")
    quick.backup(space.file("good.tar"))


def test_settings_from_all_places(space):
    with open(space.file("dtr.toml"), "w", encoding="ascii") as file:
        file.write('read-only = false\n[gc]\ngrace = "3m"\nlease = "4m"\n')
    server = space.server("a", "--config", space.file("dtr.toml"), "--set", "gc.lease=5m").start()

    def shown():
        lines = dtr("reconfigure", *server.cli_auth(), check=0).text.splitlines()
        return dict(line.split(" = ") for line in lines)

    assert (shown()["gc.lease"], shown()["gc.grace"], shown()["gc.interval"]) == ("5m", "3m", "10m")
    fixed = dtr("reconfigure", *server.cli_auth(), "--set", "gc.lease=9m", "--set", "gc.interval=9m", check=0)
    assert "gc.lease is set by this replica" in fixed.err
    assert (shown()["gc.lease"], shown()["gc.interval"]) == ("5m", "9m")
    server.args = []
    server.restart()
    assert (shown()["gc.lease"], shown()["gc.grace"], shown()["gc.interval"]) == ("9m", "1h", "9m")
    dtr("reconfigure", *server.cli_auth(), "--unset", "gc.lease", check=0)
    assert shown()["gc.lease"] == "1h"


def test_settings_take_effect_while_running(space):
    server = space.server("a").start()
    registry = Registry(server, "admin/a")
    registry.push(Image(), "1")
    dtr("reconfigure", *server.cli_auth(), "--set", "read-only=true", check=0)
    assert registry.do("POST", "blobs/uploads/").status_code == 405
    dtr("reconfigure", *server.cli_auth(), "--set", "read-only=false", "--set", "blobs.max-size=1KiB", check=0)
    big = os.urandom(2000)
    assert registry.do_close(registry.start(), digest(big), big).status_code == 413


@pytest.mark.parametrize("setting,why", [("gc.lease=soon", "not a duration"), ("gc.laese=1s", "did you mean gc.lease?"),
                                         ("gc.lease", "not KEY=VALUE"), ("gc.lease=0s", "too short")])
def test_a_wrong_setting_is_refused(space, setting, why):
    started = dtr("serve", "--data-dir", space.file("a"), "--set", setting)
    assert started.code == 2 and why in started.err, started
    assert not os.path.exists(space.file("a")), "nothing is made"
    server = space.server("b").start()
    asked = dtr("reconfigure", *server.cli_auth(), "--set", setting)
    assert asked.code == 2 and why in asked.err, asked


def test_case_27_cuts_in_a_storm_of_pushes_deletes_and_collections(space):
    """Each of three backups restores without a torn tag, and with all that was acknowledged before it began."""
    server = space.server("a", *QUICK).start()
    flags, over = server.cli_auth(), threading.Event()

    def collect():
        while not over.is_set():
            dtr("gc", *flags, "--grace", "0s", check=0)

    pushers = [Pusher(server, n, 10_000) for n in range(4)]
    threads = [*pushers, threading.Thread(target=collect, daemon=True)]
    time.sleep(LEASE_S)
    for thread in threads:
        thread.start()
    time.sleep(1)
    cuts = []
    for i in range(3):
        before = {(p.registry.repo, tag): picture.digest for p in pushers for tag, picture in list(p.alive.items())}
        server.backup(space.file(f"{i}.tar"))
        gone = {(p.registry.repo, tag) for p in pushers for tag in list(p.gone)}
        cuts.append({name: digest_ for name, digest_ in before.items() if name not in gone})
        time.sleep(0.3)
    for pusher in pushers:
        pusher.pushes = 0
    for pusher in pushers:
        pusher.join()
    over.set()
    threads[-1].join()
    assert not [p.failure for p in pushers if p.failure], [p.failure for p in pushers if p.failure]
    password, key = server.password, os.path.join(server.data_dir, "recovery-key")
    server.stop()
    for i, promised in enumerate(cuts):
        assert promised
        dtr("restore", "--data-dir", space.dir(f"r{i}"), "--identity", key, space.file(f"{i}.tar"), check=0)
        restored = space.server(f"r{i}", password=password).start()
        for pusher in pushers:
            registry = Registry(restored, pusher.registry.repo)
            for tag in registry.tags():
                registry.pull(tag)
        for (repo, tag), name in promised.items():
            assert Registry(restored, repo).get(tag).headers["Docker-Content-Digest"] == name
        restored.stop()
