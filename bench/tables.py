"""Figures as text: medians, rows of Markdown, and what bench/RESULTS.md holds."""

import re
import statistics


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def show(value, digits=3):
    if value is None:
        return "failed"
    return f"{value:,.0f}" if value >= 100 else f"{value:.{digits}g}"


def spread(values):
    """The median, and how far the others are from it."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return show(median(values))
    return f"{show(median(known))} ({show(min(known))}-{show(max(known))})"


def table(heads, rows, right=()):
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join("---:" if i in right else "---" for i in range(len(heads))) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def sections(path):
    """{part: its lines} of the file as it is; parts are marked."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    return {name: body.strip().split("\n") for name, body in re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- |\Z)", text, re.S)}
