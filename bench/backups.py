"""Backup, verify and restore with images, against tar, sha256sum, restic and borg on the same bytes."""

import os
import re
import shutil
import subprocess
import sys
import time

from servers import Ours, built, drive
from tables import median, show, spread, table

LAYER = 4 << 20


def shell(command, folder, env=None):
    """(seconds, peak of its biggest process in KiB) of a pipeline; it must succeed."""
    begin = time.monotonic()
    done = subprocess.run(["/usr/bin/time", "-f", "peak %M", "bash", "-c", "set -euo pipefail; " + command], cwd=folder, check=False,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return seconds, int(re.findall(r"^peak (\d+)$", done.stderr, re.M)[-1])


class Bench:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.server = Ours(os.path.join(folder, "registry")).log_in()
        count = max(1, (options.backup_mib << 20) // LAYER)
        drive(self.server, f"push-small --clients 4 --layer-bytes {LAYER} --count {count}", 1, 1, "admin/images")
        self.env = self.server.environment()
        self.flags = " ".join(self.server.connection())
        self.images = os.path.join(self.server.data, "registry")
        self.megabytes = sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(self.images)
                             for name in names) / 1e6
        self.key = os.path.join(self.server.data, "recovery-key")
        self.times, self.peaks = {}, {}

    def take(self, name, command, prepare="", env=None):
        """One run; the page cache holds what is read, and nothing is left to write from before."""
        shell(prepare or "true", self.folder, env)
        os.sync()
        seconds, peak = shell(command, self.folder, {**self.env, **(env or {})})
        self.times.setdefault(name, []).append(seconds)
        self.peaks.setdefault(name, []).append(peak)
        print(f"{name}: {seconds:.2f} s, {peak / 1024:.0f} MiB", file=sys.stderr)

    def round(self):
        dtr, images = built("dtr"), self.images
        backup = f"{dtr} backup {self.flags}"
        self.take("tar to a pipe", f"tar -cf - -C {images} . | cat")
        self.server.reset_peak()
        self.take("backup to a pipe", f"{backup} | cat")
        self.peaks.setdefault("server", []).append(self.server.memory("VmHWM"))
        self.server.stop()
        self.take("backup --offline to a pipe", f"{dtr} backup --offline --data-dir {self.server.data} | cat")
        self.server.start()
        self.take("backup, entries encrypted", f"{backup} --encrypt entries | cat")
        self.take("backup, encrypted stream", f"{backup} --encrypt stream | cat")
        secret = {"RESTIC_PASSWORD": "bench", "BORG_PASSPHRASE": "bench", "RESTIC_CACHE_DIR": f"{self.folder}/cache",
                  "BORG_BASE_DIR": f"{self.folder}/borg-base"}
        self.take("backup to disk", f"{backup} --output out.tar", "rm -f out.tar")
        self.take("restic to disk", f"restic -q -r r backup {images}", "rm -rf r; restic -q -r r init", secret)
        self.take("borg to disk", f"borg create b::one {images}", "rm -rf b; borg init -e repokey-blake2 b", secret)
        self.take("verify", f"{dtr} verify --level 1 out.tar")
        self.take("sha256sum", "sha256sum out.tar")
        self.take("restic check", "restic -q -r r check --read-data", env=secret)
        self.take("tar of it", f"tar -cf images.tar -C {images} .")
        self.take("restore", f"{dtr} restore --data-dir back --identity {self.key} out.tar", "rm -rf back")
        self.take("tar -x and sync", "mkdir there; tar -xf images.tar -C there; sync -f there", "rm -rf there")
        self.take("restic restore", "restic -q -r r restore latest --target rback; sync -f rback", "rm -rf rback", secret)
        shell("rm -rf back there rback r b out.tar images.tar", self.folder)


# what, against what, of which figure, goal as a bound on our time divided by theirs
COMPARED = [
    ("backup to a pipe", "tar to a pipe", "<= 1.15"),
    ("backup --offline to a pipe", "tar to a pipe", "<= 1.15"),
    ("backup, entries encrypted", "tar to a pipe", "<= 1.3"),
    ("backup, encrypted stream", "tar to a pipe", "<= 1.3"),
    ("backup to disk", "restic to disk", "<= 0.25"),
    ("backup to disk", "borg to disk", "<= 0.29"),
    ("verify", "sha256sum", "<= 0.2"),
    ("verify", "restic check", "<= 0.33"),
    ("restore", "tar -x and sync", "<= 1.2"),
    ("restore", "restic restore", "<= 0.67"),
]


def measure(folder, options):
    os.makedirs(folder, exist_ok=True)
    bench = Bench(folder, options)
    try:
        for _ in range(options.rounds):
            bench.round()
    finally:
        bench.server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for ours, theirs, goal in COMPARED:
        a, b = median(bench.times[ours]), median(bench.times[theirs])
        rows.append([ours, show(bench.megabytes / a), theirs, show(bench.megabytes / b), f"{a / b:.2f}", goal,
                     spread(bench.times[ours]), spread(bench.times[theirs])])
    memory = [[name, f"{median(bench.peaks[name]) / 1024:.0f} MiB", "64 MiB"]
              for name in ("backup to a pipe", "server", "verify", "restore")]
    memory[1][0] = "the server that streams it, at its peak"
    return [
        "## Backups", "",
        f"{bench.megabytes:,.0f} MB of images in layers of {LAYER >> 20} MiB that cannot be compressed, medians of {options.rounds} "
        "rounds. What is read lies in the page cache for all of them. dtr backs up a running registry over TLS, hashes every blob "
        "and signs the whole; `--output` and `restore` sync; tar does none of it. Time is of the whole command.", "",
        *table(["dtr", "MB/s", "against", "MB/s", "time, ratio", "goal", "seconds", "seconds, peer"], rows, right={1, 3, 4, 5, 6, 7}),
        "", *table(["peak memory", "", "goal"], memory, right={1, 2}),
    ]
