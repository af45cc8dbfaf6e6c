"""The figures of an audit as tables for the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]
_LONGEST_FILE = 24  # letters of a file's name in a column
_MOST_LABELS = 5  # labels outside the set that are named
_CAUTION = (
    "the likeliest are first in suspects.tsv; the more often a model errs, the more of its suspects have correct labels"
)
_IN_EARLIER = {"exact": "exactly", "normalised": "or normalised", "near": "or nearly"}


def report_of(figures: Figures) -> str:
    """Return the tables and notes of an audit, lines of at most 120 letters for a corpus of up to three parts."""
    parts = figures["parts"]
    blocks = [_table("", list(parts), _contents(parts)), *_labels_outside(parts)]
    blocks.append(_table("repeated texts", list(parts), _repeats(parts)))
    for part, each in parts.items():
        blocks += [_leaks(part, earlier, leaks) for earlier, leaks in each["leaks"].items()]
    blocks.append(_table("lengths", list(parts), _lengths(parts)))
    if "baseline" in figures:
        blocks += [_baseline(figures["baseline"]), _suspects(figures["suspects"])]
    if "not_scored" in figures:
        blocks.append(f"no baseline and no suspects: {figures['not_scored']}")
    return "\n\n".join(blocks)


def _contents(parts: Figures) -> dict[str, list[str]]:
    labels = next(iter(parts.values()))["rows_per_label"]
    published = {True: "as published", False: "OTHER than published", None: "not known"}
    return {
        "file": [_short(each["file"]) for each in parts.values()],
        "sha256": [each["sha256"][:16] + "…" for each in parts.values()],
        "checksum": [published[each["as_published"]] for each in parts.values()],
        "rows": _counts(parts, lambda each: each["rows"]),
        "without text": _counts(parts, lambda each: each["without_text"]),
        "with a label outside the set": _counts(parts, lambda each: sum(each["labels_outside"].values())),
        **{
            f"label {label}, with text": _counts(parts, lambda each, label=label: each["rows_per_label"][label])
            for label in labels
        },
        "doubled or wrapping quotes": _counts(parts, lambda each: each["quotes"]),
        "  of these a second layer of CSV": _counts(parts, lambda each: each["quotes_repairable"]),
        "not NFC (decomposed Hangul)": _counts(parts, lambda each: each["not_nfc"]),
    }


def _labels_outside(parts: Figures) -> list[str]:
    lines = []
    for name, each in parts.items():
        found = list(each["labels_outside"].items())
        if found:
            shown = ", ".join(f"{label!r} ({count:,})" for label, count in found[:_MOST_LABELS])
            more = f" and {len(found) - _MOST_LABELS} more" if len(found) > _MOST_LABELS else ""
            lines.append(f"{name}: labels outside the corpus's set: {shown}{more}")
    return lines


def _repeats(parts: Figures) -> dict[str, list[str]]:
    lines = {
        f"surplus duplicates, {kind}": _counts(parts, lambda each, kind=kind: each["duplicates"][kind])
        for kind in ("exact", "normalised")
    }
    lines["with a near duplicate"] = _counts(parts, lambda each: each["duplicates"]["near"])
    for kind in ("exact", "normalised"):
        lines[f"texts with several labels, {kind}"] = _counts(
            parts, lambda each, kind=kind: each["conflicts"][kind]["texts"]
        )
        lines[f"  errors that they force, {kind}"] = _counts(
            parts, lambda each, kind=kind: each["conflicts"][kind]["forced_errors"]
        )
    return lines


def _leaks(part: str, earlier: str, leaks: Figures) -> str:
    lines = {
        _IN_EARLIER[kind]: [
            f"{each['rows']:,}",
            f"{each['share']:.2%}",
            "–" if each["label_agreement"] is None else f"{each['label_agreement']:.1%}",
        ]
        for kind, each in leaks.items()
    }
    return _table(f"{part} texts that {earlier} has", ["rows", "share", "label agrees"], lines)


def _lengths(parts: Figures) -> dict[str, list[str]]:
    lines = {}
    for unit in ("characters", "tokens"):
        if any(each.get(unit) for each in parts.values()):
            lines[f"{unit}: mean, median, 99 %, longest"] = [_of_lengths(each[unit]) for each in parts.values()]
    if any(each.get("tokens") for each in parts.values()):
        limit = next(each["tokens"]["max_length"] for each in parts.values())
        lines["unknown tokens"] = [f"{each['tokens']['unknown_share']:.2%}" for each in parts.values()]
        lines[f"texts cut at {limit} tokens"] = [f"{each['tokens']['cut_share']:.3%}" for each in parts.values()]
    return lines


def _of_lengths(each: Figures) -> str:
    return (
        f"{each['mean']:.1f}, {each['median']:.0f}, {each['p99']:.0f}, {each['longest']:,}" if "mean" in each else "–"
    )


def _baseline(each: Figures) -> str:
    longest, cost = each["setting"]["longest_ngram"], each["setting"]["cost"]
    return (
        f"baseline without pretraining (TF-IDF of 1 to {longest} characters, logistic regression with C {cost:g}):\n"
        f"  accuracy {each['accuracy']:.2%} ± {each['standard_error']:.2%} (standard error), "
        f"macro F1 {each['macro_f1']:.2%}, on the {each['rows']:,} rows of dev\n"
        "  n-grams and C were chosen on dev, too; test had no part in it"
    )


def _suspects(suspected: Figures) -> str:
    lines = {
        f"{name} (by the {each['by']})": [
            f"{each['suspects']:,}",
            f"{each['suspects'] / max(each['rows'], 1):.1%}",
            f"{each['rows']:,}",
        ]
        for name, each in suspected.items()
    }
    table = _table("labels that may be wrong", ["suspects", "share", "rows after cleaning"], lines)
    return f"{table}\n{_CAUTION}"


def _counts(parts: Figures, count: Callable[..., int]) -> list[str]:
    return [f"{count(each):,}" for each in parts.values()]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_FILE else f"…{name[1 - _LONGEST_FILE :]}"


def _table(title: str, columns: list[str], lines: Mapping[str, list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *lines.values(), strict=True)]
    first = max(map(len, [title, *lines]))
    shown = [(title, columns), *lines.items()]
    return "\n".join(
        f"{name:<{first}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in shown
    )
