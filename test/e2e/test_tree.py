"""tools/check_tree.py refuses what it promises to refuse."""

import os
import shutil
import subprocess
import sys

import pytest

from harness import ROOT


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """What it says of a copy of this tree with one offence of each kind."""
    copy = str(tmp_path_factory.mktemp("tree") / "dtr")
    ignored = shutil.ignore_patterns(".git", "build", "node_modules", "__pycache__", ".cache")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)

    def put(path, text):
        os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
        with open(os.path.join(copy, path), "a", encoding="utf-8") as file:
            file.write(text)

    def run():
        done = subprocess.run([sys.executable, os.path.join(copy, "tools", "check_tree.py")], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    assert run() == (0, [])
    put("n.txt", "")
    put("notes.md", "what I wanted to remember\n")
    put("src/base/empty.h", "")
    put("src/base/data.bin", "1\n")
    put("results/today.md", "1\n")
    put("src/sys/choice.h", "#pragma once\nnamespace dtr {\nvoid open(const char* path, bool create);\n"
                            "inline bool is_ours(const Error& error) { return error.message.starts_with(\"ours\"); }\n}\n"
                            "<<<<<<< HEAD\n")
    for name in ("one", "two"):
        put(f"src/oci/{name}.cc", "namespace dtr::oci {\nnamespace {\nconstexpr int kMost = 1;\nstruct Thing {};\n"
                                  "bool good(const std::map<int, int>& all = {}) {\n    return all.empty();\n}\n"
                                  "}  // namespace\n}  // namespace dtr::oci\n")
    with open(os.path.join(copy, "tools", "check_tree.py"), encoding="utf-8") as file:
        text = file.read()
    for name, entry in (("VENDORS = [", '\n    (r"nobody/", {"oci"}),'), ("STORES = {", '"blob/tape", '),
                        ("SIDEWAYS = {", '("backup", "registry"), ')):
        assert text.count(name) == 1
        text = text.replace(name, name + entry)
    with open(os.path.join(copy, "tools", "check_tree.py"), "w", encoding="utf-8") as file:
        file.write(text)
    code, lines = run()
    assert code == 1
    return lines


@pytest.mark.parametrize("complaint", [
    "n.txt: nothing of this name belongs here",
    "notes.md: nothing of this name belongs here",
    "src/base/empty.h: empty",
    "src/base/data.bin: nothing of this name belongs here",
    "results/today.md: nothing of this name belongs here",
    "src/oci/two.cc:3: kMost is a name of src/oci/one.cc, too",
    "src/oci/two.cc:4: Thing is a name of src/oci/one.cc, too",
    "src/oci/two.cc:5: good is a name of src/oci/one.cc, too",
    "src/sys/choice.h:3: a bool parameter",
    "src/sys/choice.h:4: decides by the text of a message",
    "src/sys/choice.h:6: a conflict that nobody has resolved",
    "VENDORS: oci includes no nobody/",
    "src/blob/tape/ is not there",
    "SIDEWAYS: backup includes nothing of registry",
])
def test_refuses(complaints, complaint):
    assert [line for line in complaints if complaint in line]


def test_refuses_nothing_else(complaints):
    known = ("n.txt", "notes.md", "src/base/empty.h", "src/base/data.bin", "results/today.md", "src/oci/two.cc", "src/sys/choice.h",
             "tools/check_tree.py")
    assert not [line for line in complaints if not line.startswith(known)]
