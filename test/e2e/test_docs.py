"""docs/operating/ quotes messages as the programs print them."""

import glob
import os
import re

import pytest

from harness import ROOT

LITERALS = re.compile(r'"((?:\\.|[^"\\\n])*)"(?:\s*"((?:\\.|[^"\\\n])*)")*')
OF_LIBRARIES = ("SSL certificate problem", "error importing CA certificate", "Couldn't connect to server", "No such object",
                "Size limit exceeded")


@pytest.fixture(scope="module")
def said():
    """Every text of the sources, with the pieces of one literal put together."""
    texts = []
    for path in glob.glob(os.path.join(ROOT, "src", "**", "*.*"), recursive=True):
        if path.endswith((".cc", ".h")) and not path.endswith("_test.cc"):
            with open(path, encoding="utf-8") as file:
                for run in LITERALS.finditer(file.read()):
                    texts.append("".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', run.group())))
    return "\n".join(re.sub(r"[`;:,]", "", text) for text in texts).replace('\\"', '"')


def quoted():
    """(page, message) for each row of a table whose first column is "message" or "page"."""
    for name in ("backup-and-restore", "identity"):
        with open(os.path.join(ROOT, "docs", "operating", name + ".md"), encoding="utf-8") as file:
            text = file.read()
        for table in re.findall(r"^\| (?:message|page) \|.*?\n\|[-|]+\n((?:\|.*\n)+)", text, re.M):
            for row in table.splitlines():
                cell = row.split(" | ")[0].lstrip("| ")
                for message in re.findall(r"`([^`]+)`", cell) or re.split(r", (?=[a-z])", cell):
                    yield name, message


def threes(message):
    """Each three words in a row, without what stands for something else."""
    for part in re.split(r"…|\.\.\.|\b(?:DIR|FILE|NAME)\b|\(zstd.*?\)", message):
        words = re.findall(r"[^\s`;:,]+", part)
        yield from (" ".join(words[at:at + 3]) for at in range(len(words) - 2))


@pytest.mark.parametrize("page,message", quoted(), ids=lambda value: value[:40])
def test_quoted_messages_exist(said, page, message):
    """Most words of it are those of some text. Not all: a message is put together from several."""
    if message.startswith(OF_LIBRARIES):
        return
    asked = list(threes(message))
    found = [three for three in asked if three in said]
    assert 2 * len(found) >= len(asked), f"{page}.md quotes {message!r}, which nothing in src/ says: {set(asked) - set(found)}"
