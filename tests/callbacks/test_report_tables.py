"""A report as tables: what is shown, and that texts cannot break them."""

import numpy as np
import pytest
from markdown import markdown as to_html

from nsmc_lightning.callbacks.report_tables import (
    Baseline,
    Mistake,
    Section,
    Shown,
    how_measured,
    markdown,
    mistakes_section,
    print_report,
    sections,
)
from nsmc_lightning.evaluation.report import Report, build_report
from nsmc_lightning.evaluation.scores import Answers

LABELS = ["[bold]joy", "anger"]


def report_of(temperature: float = 1.0, classes: int = 2, clusterings: int = 1) -> Report:
    random = np.random.default_rng(0)
    labels = np.arange(100) % classes
    answers = Answers(labels, random.dirichlet(np.ones(classes), size=100) * 0.6 + 0.4 * np.eye(classes)[labels])
    parts = {"length": {"1–10": np.arange(100) < 50, "none": np.zeros(100, dtype=bool)}}
    clusters = {"texts": np.arange(100), "movies": np.arange(100) // 2}
    names = LABELS if classes == 2 else [f"class {i}" for i in range(classes)]
    return build_report(answers, names, parts, dict([*clusters.items()][:clusterings]), temperature, draws=20)


def test_scores_are_shown_with_interval_clusters_and_baseline() -> None:
    report = report_of(clusterings=2)
    everything, classes, parts = sections(Shown(report, Baseline("n-grams", {"accuracy": 0.5}), []))
    assert everything.columns == ["all rows", "score", "95 % interval", "clusters", "n-grams"]
    accuracy = report.scores["accuracy"]
    assert accuracy.interval is not None
    low, high = accuracy.interval
    assert everything.rows[0] == [
        "accuracy", f"{accuracy.value:.4f}", f"{low:.4f}–{high:.4f}", accuracy.clusters, "0.5000"
    ]  # fmt: skip
    assert [row[0] for row in everything.rows] == [
        "accuracy", "macro F1", "weighted F1", "MCC", "AUROC", "calibration error", "Brier score"
    ]  # fmt: skip
    assert [(row[0], row[-1]) for row in classes.rows] == [("[bold]joy", "50"), ("anger", "50")]
    assert [row[:2] for row in parts.rows] == [["1–10", "50"]]
    assert "20 draws over 100 clusters of texts and 50 clusters of movies, the wider" in how_measured(report)


def test_calibration_is_shown_before_and_after_a_temperature() -> None:
    rows = sections(Shown(report_of(temperature=1.25), None, []))[0].rows
    assert [row[0] for row in rows[-2:]] == [
        "calibration error, uncalibrated",
        "Brier score, uncalibrated",
    ]


def test_of_many_classes_those_with_the_lowest_f1_are_shown() -> None:
    report = report_of(classes=12)
    shown = sections(Shown(report, None, []), most_classes=3)[1]
    assert shown.columns[0] == "class (3 lowest F1 of 12)"
    assert [row[0] for row in shown.rows] == sorted(report.classes, key=lambda name: report.classes[name].f1.value)[:3]
    assert len(sections(Shown(report, None, []))[1].rows) == 12


def test_the_console_shows_every_cell_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = report_of(clusterings=2)
    print_report("Test of [own]", Shown(report, None, ["A note: [/x]."]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Test of [own]"
    assert lines[-1] == "A note: [/x]."
    for section in sections(Shown(report, None, [])):
        for row in section.rows:
            assert any(all(cell in line for cell in row) for line in lines), row


def test_texts_keep_their_characters_in_markdown() -> None:
    text = "a|b *굿* <b>x</b>\n\n# &amp; `c` [d](e) ~~f~~ \\"
    mistakes = [Mistake("7", text, "joy", "anger", 0.98765)]
    html = to_html(markdown(mistakes_section(mistakes)), extensions=["markdown.extensions.tables"])
    cells = html.split("<tbody>")[1]
    assert cells.count("<td>") == 5
    for tag in ("<em>", "<b>", "<code>", "<a ", "<h1>"):
        assert tag not in cells
    shown = "a|b *굿* &lt;b&gt;x&lt;/b&gt; # &amp;amp; `c` [d](e) ~~f~~ \\"
    assert shown in cells


def test_a_section_in_markdown() -> None:
    assert markdown(Section(["a", "b"], [["1", "2"]])) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
