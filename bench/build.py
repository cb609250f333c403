"""How long one waits for the compiler: a clean build, and one changed line."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from servers import ROOT
from tables import table

BEFORE = ["each file by itself, each test a process", "51:05", "32"]  # minutes of a slow day, and of a fast one
SLOWEST = 5  # sources that are rebuilt one by one, beside a typical one
UNCACHED = {**os.environ, "CCACHE_DISABLE": "1"}


def clean_build(folder, preset):
    """(seconds, {source: seconds of its compilation}) of target dtr and all that it needs."""
    directory = os.path.join(folder, preset)
    subprocess.run(["cmake", "--preset", preset, "-B", directory], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=UNCACHED)
    begin = time.monotonic()
    subprocess.run(["ninja", "-C", directory, "dtr"], check=True, stdout=sys.stderr, env=UNCACHED)
    seconds = time.monotonic() - begin
    compiled = {}
    with open(os.path.join(directory, ".ninja_log"), encoding="utf-8") as log:
        for line in log:
            if found := re.match(r"(\d+)\t(\d+)\t\d+\tCMakeFiles/\w+\.dir/(src/\S+\.cc)\.o\t", line):
                compiled[found[3]] = (int(found[2]) - int(found[1])) / 1000
    return seconds, compiled


def rebuild(directory, source):
    """Seconds from a changed source to a program that was linked again; the source stays as it is."""
    path = os.path.join(ROOT, source)
    before = os.stat(path)
    os.utime(path)
    try:
        begin = time.monotonic()
        subprocess.run(["ninja", "-C", directory, "dtr"], check=True, stdout=subprocess.DEVNULL, env=UNCACHED)
        return time.monotonic() - begin
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def whole_check():
    """What tools/check said at the end of its last run here of all steps."""
    try:
        with open(os.path.join(ROOT, "build", "check", "summary"), encoding="utf-8") as file:
            return file.read().strip().split("\n")
    except FileNotFoundError:
        return []


def measure(folder, _options):
    folder = os.path.join(folder, "builds")
    try:
        dev, compiled = clean_build(folder, "dev")
        by_time = sorted(compiled, key=compiled.get, reverse=True)
        chosen = [*by_time[:SLOWEST], by_time[len(by_time) // 2]]
        changed = [[source, f"{rebuild(os.path.join(folder, 'dev'), source):.1f} s", "15 s"] for source in chosen]
        release, _ = clean_build(folder, "release")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    checked = whole_check()
    took = re.search(r"at (\d+:\d+)", checked[-1])[1] if checked else "not measured"
    return [
        "## Building", "",
        f"Without ccache, {os.cpu_count()} at a time. dtr is made of {len(compiled)} sources; compiling one takes "
        f"{statistics.median(compiled.values()):.1f} s in the median when two are compiled at once.", "",
        *table(["clean build of dtr", "seconds"], [["dev", f"{dev:.0f}"], ["release", f"{release:.0f}"]], right={1}), "",
        f"A changed source, compiled and linked into dtr (dev): the {SLOWEST} slowest, and one in the middle.", "",
        *table(["source", "until dtr is linked", "goal"], changed, right={1, 2}),
        "", "`tools/check` on a clean checkout without any cache, in minutes ([0013](../docs/design/0013-the-check.md)):", "",
        *table(["", "a slow day", "a fast day"], [BEFORE, ["several files as one", took, ""]], right={1, 2}),
        *(["", "```", *checked, "```"] if checked else []),
    ]
