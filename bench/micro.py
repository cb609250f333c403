"""Parts of the program by themselves (bench/micro/), beside what the file said of them before."""

import json
import os
import subprocess

from servers import built
from tables import median, sections, show, table


def run(folder, options):
    """{what: (unit, [figure of each round])} in the order of the sources."""
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(
        [built("bench/bench_micro"), "--benchmark_format=json", f"--benchmark_min_time={options.seconds / 8}",
         f"--benchmark_repetitions={options.rounds}", "--benchmark_enable_random_interleaving=true"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, env={**os.environ, "TMPDIR": folder})
    runs = [one for one in json.loads(done.stdout)["benchmarks"] if one["run_type"] == "iteration"]
    found = {}
    for one in sorted(runs, key=lambda one: one["family_index"]):
        assert one["time_unit"] == "ns"
        unit, figure = ("MB/s", one["bytes_per_second"] / 1e6) if "bytes_per_second" in one else ("µs", one["real_time"] / 1000)
        found.setdefault(one["name"].split("/")[0], (unit, []))[1].append(figure)
    return found


def before(path):
    """{(what, unit): its figure}, and when and where those were measured."""
    lines = sections(path).get("micro", [])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    measured = [line for line in lines if line.startswith("Measured ")]
    return {(row[0], row[1]): float(row[2].replace(",", "")) for row in rows[1:]}, measured[0] if measured else ""


def measure(folder, options):
    old, measured = before(options.output)
    rows = []
    for what, (unit, figures) in run(os.path.join(folder, "micro"), options).items():
        now, then = median(figures), old.get((what, unit))
        ratio = "" if then is None else f"{now / then if unit == 'MB/s' else then / now:.2f}x"
        rows.append([what, unit, show(now), f"{show(min(figures))}-{show(max(figures))}", show(then) if then else "", ratio])
    return ["## Micro-benchmarks", "", "One thread where nothing else is said, megabytes a second or microseconds an operation: the median "
            "of the rounds, and the least and most. The database lies on the disk and syncs as the server's does. Beside it what "
            "this table said before, and how many times as fast it is now.", "",
            *([f"Before: {measured[0].lower()}{measured[1:]}", ""] if measured else []),
            *table(["operation", "unit", "now", "least-most", "before", "speed, now / before"], rows, right={2, 3, 4, 5})]
