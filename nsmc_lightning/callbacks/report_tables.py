"""A test report as tables, for the console and as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from nsmc_lightning.evaluation.report import ClassScores, Estimate, Report

SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "mcc": "MCC",
    "auroc": "AUROC",
    "calibration_error": "calibration error",
    "brier": "Brier score",
}
"""The title of each score, in the order in which they are shown."""
_MOST_CLASSES = 10  # on the console


class Baseline(NamedTuple):
    """The scores of another classifier on the same rows, by name as in the report."""

    name: str
    scores: dict[str, float]


class Shown(NamedTuple):
    """What is shown of a test: the report, a baseline beside it, and a line on each thing that is left out."""

    report: Report
    baseline: Baseline | None
    notes: list[str]


class Mistake(NamedTuple):
    """A row that was given a wrong label, and the probability of that label."""

    id: str
    text: str
    label: str
    predicted: str
    probability: float


class Section(NamedTuple):
    """A table: the names of its columns, and its cells as text."""

    columns: list[str]
    rows: list[list[str]]


def sections(shown: Shown, most_classes: int | None = None) -> list[Section]:
    """Return the tables of all rows, of the classes and of the parts.

    Args:
        shown: the report; parts without rows are left out.
        most_classes: number of classes to show, those with the lowest F1; None shows all.
    """
    return [_all_rows(shown), _classes(shown.report.classes, most_classes), _parts(shown.report)]


def _all_rows(shown: Shown) -> Section:
    report, baseline, rows = shown.report, shown.baseline, []
    for name, title in SCORES.items():
        rows.append([title, *_cells(report.scores[name], report)])
        if baseline is not None:
            rows[-1].append(f"{baseline.scores[name]:.4f}" if name in baseline.scores else "")
    if report.temperature != 1:
        for name, estimate in report.before_temperature.items():
            rows.append([f"{SCORES[name]}, uncalibrated", *_cells(estimate, report)])
    others = [] if baseline is None else [baseline.name]
    return _section(["all rows", "score", "95 % interval", *_clusters(report), *others], rows)


def _classes(classes: Mapping[str, ClassScores], most: int | None) -> Section:
    names = list(classes)
    if most is not None and len(names) > most:
        names = sorted(names, key=lambda name: classes[name].f1.value)[:most]
    rows = [
        [name, *(_class_cell(estimate) for estimate in classes[name][1:]), f"{classes[name].support:,}"]
        for name in names
    ]
    title = "class" if len(names) == len(classes) else f"class ({len(names)} lowest F1 of {len(classes)})"
    return _section([title, "precision", "recall", "F1", "rows"], rows)


def _parts(report: Report) -> Section:
    rows = [
        [title, f"{part.rows:,}", *_cells(part.accuracy, report)]
        for kind in report.parts.values()
        for title, part in kind.items()
        if part.rows
    ]
    return _section(["part of the rows", "rows", "accuracy", "95 % interval", *_clusters(report)], rows)


def _section(columns: list[str], rows: list[list[str]]) -> Section:
    return Section(columns, [[*row, *[""] * (len(columns) - len(row))] for row in rows])


def _clusters(report: Report) -> list[str]:
    """The column that names the clusters, where there are different ones."""
    return ["clusters"] if len(report.clusters) > 1 else []


def _cells(estimate: Estimate, report: Report) -> list[str]:
    value = "–" if estimate.value != estimate.value else f"{estimate.value:.4f}"  # NaN differs from itself
    ends = "–" if estimate.interval is None else "{:.4f}–{:.4f}".format(*estimate.interval)
    return [value, ends, *([estimate.clusters or ""] if _clusters(report) else [])]


def _class_cell(estimate: Estimate) -> str:
    ends = "" if estimate.interval is None else " {:.3f}–{:.3f}".format(*estimate.interval)
    return f"{estimate.value:.3f}{ends}"


def how_measured(report: Report) -> str:
    """Return a line on how the intervals and the probabilities were computed."""
    clusters = " and ".join(f"{count:,} clusters of {name}" for name, count in report.clusters.items())
    wider = ", the wider of the two" if len(report.clusters) > 1 else ""
    calibrated = f" Probabilities are calibrated, with temperature {report.temperature:.3f}."
    intervals = f"Intervals: bootstrap of {report.draws:,} draws over {clusters}{wider}."
    return intervals + (calibrated if report.temperature != 1 else "")


def print_report(title: str, shown: Shown) -> None:
    """Print the report as plain tables."""
    console = Console()
    console.print(Text(title, style="bold"))
    for section in sections(shown, _MOST_CLASSES):
        table = Table(*section.columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for number, column in enumerate(table.columns):
            column.justify = "right" if column.header == "rows" else "left"
            if number > 0:  # on a narrow terminal the names are wrapped, and no number is cut
                column.no_wrap, column.min_width = (
                    True,
                    max(len(row[number]) for row in [section.columns, *section.rows]),
                )
        for row in section.rows:
            table.add_row(*map(Text, row))
        console.print(table)
        console.print()
    for line in [how_measured(shown.report), *shown.notes]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


# Markdown


def markdown(section: Section) -> str:
    """Return a section as a table in Markdown."""
    lines = [section.columns, ["---"] * len(section.columns), *section.rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def mistakes_section(mistakes: Sequence[Mistake]) -> Section:
    """Return mistakes as a table."""
    rows = [[one.id, one.text, one.label, one.predicted, f"{one.probability:.4f}"] for one in mistakes]
    return Section(["id", "text", "label", "predicted", "probability"], rows)


def _escaped(cell: str) -> str:
    """Escape what means something in HTML, or in Markdown within a line."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(cell.split()), quote=False))
