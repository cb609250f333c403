"""Pushes while backups stream, and without."""

import os
import subprocess
import threading

from servers import Ours, built, drive
from tables import median, spread, table

CLIENTS = 2
LAYER = 4 << 20  # of the images that the backup has


def back_up(server, stop, taken):
    """One backup after another, to a pipe whose reader throws it away. Each must succeed, and is counted."""
    while not stop.is_set():
        done = subprocess.run(["bash", "-c", "set -o pipefail; \"$@\" | cat > /dev/null", "backup", built("dtr"), "backup",
                               *server.connection()], check=False, env=server.environment(), stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        taken.append(1)


def round_of(server, number, options, beside):
    """What the driver measured, and how many backups were taken meanwhile. The driver fails if one request does."""
    stop, taken = threading.Event(), []
    thread = threading.Thread(target=back_up, args=(server, stop, taken))
    os.sync()
    if beside:
        thread.start()
    done = drive(server, f"push-small --clients {CLIENTS}", 3000 + 10 * number + beside, options.seconds, "admin/pushed")
    stop.set()
    if beside:
        thread.join()
    return done, len(taken)


def measure(folder, options):
    server = Ours(os.path.join(folder, "pushes")).log_in()
    try:
        count = max(1, (options.backup_mib << 20) // LAYER)
        drive(server, f"push-small --clients 4 --layer-bytes {LAYER} --count {count}", 1, 1, "admin/images")
        runs = {False: [], True: []}
        for number in range(options.rounds):
            for beside in sorted(runs, reverse=number % 2 == 1):
                runs[beside].append(round_of(server, number, options, beside))
    finally:
        server.stop()

    def row(name, figure, goal):
        alone, beside = ([done[figure] for done, _ in runs[kind]] for kind in (False, True))
        return [name, spread(alone), spread(beside), f"{median(beside) / median(alone):.2f}x", goal]

    return [
        "## Pushes beside a backup", "",
        f"{CLIENTS} clients push images of one 1 MB layer, without and while `dtr backup | cat` runs again and again on the "
        f"same processors ({sum(taken for _, taken in runs[True])} backups of {options.backup_mib} MiB and more). No request failed.", "",
        *table(["", "without", "beside it", "ratio", "goal"],
               [row("images/s", "per_second", ""), row("p50 ms", "p50_ms", ""), row("p99 ms", "p99_ms", "1.1x")], right={1, 2, 3, 4}),
    ]
