"""The report of a test: printed, written to a file and logged to TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.callbacks.breakdown import Breakdown
from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.report_tables import (
    Baseline,
    Mistake,
    Shown,
    how_measured,
    markdown,
    mistakes_section,
    print_report,
    sections,
)
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import write_json
from nsmc_lightning.run.loop import number_of_logs
from nsmc_lightning.run.results import result_path

if TYPE_CHECKING:
    import pandas as pd

    from nsmc_lightning.data.parts import Parts
    from nsmc_lightning.evaluation.report import Report
    from nsmc_lightning.evaluation.scores import Answers

_WORST = 20  # mistakes that are listed


class TestReport(Callback):
    """Report a test's scores with their intervals: of all rows, of each class, and of parts of the rows.

    The report is printed, written to ``test.json`` in the run's folder (``test-X.json`` for another checkpoint than
    best.ckpt), and logged to TensorBoard as text (``test/report``, ``test/classes``, ``test/mistakes``), by the first
    process. A trial run (``fast_dev_run``) has none.

    Args:
        writer: has the predictions of all processes.
        ckpt_path: the checkpoint that is tested, which the file names.
        baseline: computes the scores of a simple classifier, for comparison, on the rows of the test part with these
            numbers, int (N,).

    Attributes:
        path: the file that was written; None before.
        measured: the report and the answers that it is of; None before, and in all processes but the first.
    """

    def __init__(
        self,
        writer: PredictionWriter,
        ckpt_path: str | None,
        baseline: Callable[[Parts, np.ndarray], Baseline] | None = None,
    ) -> None:
        self.writer = writer
        self.ckpt_path = ckpt_path
        self.baseline = baseline
        self.path: Path | None = None
        self.measured: tuple[Report, Answers] | None = None

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = result_path(trainer, "test.json")  # on every process, as Lightning broadcasts the folder
        if not trainer.is_global_zero or trainer.fast_dev_run or self.writer.gathered is None:  # type: ignore[attr-defined]
            return
        from nsmc_lightning.evaluation.report import build_report
        from nsmc_lightning.evaluation.scores import Answers

        data = trainer.datamodule  # type: ignore[attr-defined]
        part, labels = data.parts.rows("test"), data.corpus.label_names
        numbers, probabilities = in_order(*self.writer.gathered)
        rows = part.iloc[numbers]
        answers = Answers(rows["label"].to_numpy(np.int64), probabilities)
        found = Breakdown(data.parts, rows)
        temperature = float(getattr(pl_module, "temperature", 1.0))
        report = build_report(answers, labels, found.parts, found.clusterings, temperature)
        self.measured = report, answers
        baseline = self._baseline(data.parts, numbers, found.notes)
        shown = Shown(report, baseline, [*_cut(rows, part), *found.notes])
        mistakes = worst_mistakes(rows, answers, labels)
        about = {"checkpoint": self.ckpt_path, "corpus": data.corpus.name, "rows_of_part": len(part)}
        write_json(path, {**about, **content(shown, mistakes)})
        self.path = path
        _log(trainer, shown, mistakes)
        print_report(f"Test of {data.corpus.name}: {len(rows):,} rows", shown)

    def _baseline(self, parts: Parts, numbers: np.ndarray, notes: list[str]) -> Baseline | None:
        try:
            return None if self.baseline is None else self.baseline(parts, numbers)
        except UserError as error:
            notes.append(f"Left out: the baseline: {' '.join(str(error).split())}")
            return None


def in_order(numbers: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows by their numbers.

    *Shape:* ``numbers`` int (N,); ``probabilities`` float (N, C).
    """
    order = np.argsort(numbers)
    return numbers[order], probabilities[order]


def _cut(rows: pd.DataFrame, part: pd.DataFrame) -> list[str]:
    """A line where only a few batches were measured, whose texts are of like length."""
    if len(rows) == len(part):
        return []
    limit = "trainer.limit_test_batches"
    return [f"Only {len(rows):,} of {len(part):,} rows were measured ({limit}): they are not a random sample."]


def worst_mistakes(rows: pd.DataFrame, answers: Answers, labels: list[str]) -> list[Mistake]:
    """Return the wrong predictions with the highest probabilities; equal texts with equal labels once.

    *Shape:* ``rows`` N rows with columns ``id``, ``text`` and ``label``, as in ``answers``.
    """
    confidence, wrong = answers.probabilities.max(axis=1), np.flatnonzero(~answers.correct)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    worst = wrong[~rows.iloc[wrong].duplicated(["text", "label"]).to_numpy()][:_WORST]
    true, predicted = ([labels[i] for i in ids[worst]] for ids in (answers.labels, answers.predicted))
    texts = rows.iloc[worst]
    columns = (texts["id"], texts["text"], true, predicted, confidence[worst].tolist())
    return [Mistake(*values) for values in zip(*columns, strict=True)]


def content(shown: Shown, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return what the file of a report has, by name."""
    from nsmc_lightning.evaluation.bootstrap import LEVEL

    report, baseline, notes = shown
    bootstrap = {"draws": report.draws, "seed": report.seed, "level": LEVEL, "clusters": report.clusters}
    return {
        "rows": report.rows,
        "temperature": report.temperature,
        "bootstrap": bootstrap,
        "scores": report.scores,
        "before_temperature": report.before_temperature,
        "baseline": baseline,
        "classes": report.classes,
        "parts": report.parts,
        "mistakes": mistakes,
        "notes": notes,
    }


def _log(trainer: Trainer, shown: Shown, mistakes: list[Mistake]) -> None:
    everything, classes, parts = (markdown(section) for section in sections(shown))
    texts = {
        "test/report": "\n\n".join([everything, parts, how_measured(shown.report), *shown.notes]),
        "test/classes": classes,
        "test/mistakes": markdown(mistakes_section(mistakes)),
    }
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            for tag, text in texts.items():
                logger.experiment.add_text(tag, text, number_of_logs(trainer))
