"""The story in README.md, typed as it is written there."""

import os
import re

import pytest

from harness import DTR, ROOT, run
from oci import layout_digest

HERE = "127.0.0.1:8443"
WAIT = f"""
for _ in $(seq 200); do curl -ks https://{HERE}/_ping >/dev/null && break; sleep 0.05; done
trap 'kill %1 && wait %1' EXIT
"""


def blocks(title):
    """The fenced blocks under a heading of README.md."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        text = file.read()
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    assert section, f"README.md has no section {title}"
    return re.findall(r"^```[^\n]*\n(.*?)^```", section.group(1), re.S | re.M)


def tell_the_story(space):
    """The commands of "Lose it and get it back". Returns the server it began with, stopped, and its bin directory."""
    bin_dir = space.dir("bin")
    os.symlink(DTR, os.path.join(bin_dir, "dtr"))
    server = space.server("a").start()
    state = f"cd {space.path}\n"
    lost = False
    for block in blocks("Lose it and get it back"):
        assert HERE in block or "rm -rf a" in block, f"not the story any more:\n{block}"
        if "rm -rf a" in block:
            server.stop()
            lost = True
        script = block.replace("$PWD/build/release", bin_dir)
        if re.search(r"&$", script, re.M):
            script = re.sub(r"&$", "&" + WAIT.replace("\\", "\\\\"), script, flags=re.M)
        # what later blocks rely on: exported paths and shell variables
        kept = "".join(line + "\n" for line in block.replace("$PWD/build/release", bin_dir).splitlines()
                       if re.match(r"(export \w+=|\w+=)", line) and "$(cat a/" not in line)
        password = f"password={server.known_password or server.password}\n"
        whole = "set -eu -o pipefail\n" + (state + password + script).replace(HERE, server.host)
        run(["bash", "-c", whole], cwd=space.path, check=0)
        server.known_password = server.password
        state += kept
    assert lost, "the README no longer tells how the machine is lost"
    return server, bin_dir


def test_story_of_the_readme(space):
    tell_the_story(space)
    assert layout_digest(space.file("back"), "1") == layout_digest(space.file("image"), "1")


def test_try_to_break_it(space):
    """Every command of that section, in the directory where the story ended: nothing is lost, nothing damaged is taken."""
    if os.geteuid() != 0:
        pytest.skip("filling a disk needs root to mount one")
    server, bin_dir = tell_the_story(space)
    flips, kills, disk = blocks("Try to break it")

    def play(block):
        script = f"set -eu -o pipefail\ncd {space.path}\nexport PATH={bin_dir}:$PATH\npassword={server.password}\n{block}"
        return run(["bash", "-c", script.replace(HERE, server.host)], cwd=space.path, check=0, timeout=300).text

    said = play(flips)
    assert "not noticed" not in said and "exit code 5" in said, said
    assert not os.path.exists(space.file("c/config/CURRENT"))
    play(kills)
    with open(space.file("serve.log"), encoding="utf-8") as file:
        assert file.read().count("dtr: ready") > 2
    try:
        said = play(disk)
    finally:
        run(["umount", "-l", space.file("small")])
    assert "exit code 8" in said, said
    # the first image of all, pulled from the disk that was full
    assert layout_digest(space.file("back"), "full") == layout_digest(space.file("back"), "1")
    for tag in ("full", "1"):
        assert layout_digest(space.file("back"), tag)


@pytest.mark.parametrize("path", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```", "", file.read(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert os.path.exists(os.path.join(ROOT, target)), f"{path} links to {target}, which is not there"
