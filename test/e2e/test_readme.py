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


def test_story_of_the_readme(space):
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
    assert layout_digest(space.file("back"), "1") == layout_digest(space.file("image"), "1")


@pytest.mark.parametrize("path", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```", "", file.read(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert os.path.exists(os.path.join(ROOT, target)), f"{path} links to {target}, which is not there"
