"""Figures as text: medians, and rows of Markdown."""

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
