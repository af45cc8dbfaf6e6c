"""The report of a test: printed, written to a file and logged to TensorBoard."""

from __future__ import annotations

import json
import math
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
    how_measured,
    markdown,
    mistakes_section,
    print_report,
    sections,
)
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_file

if TYPE_CHECKING:
    import pandas as pd

    from nsmc_lightning.data.parts import Parts
    from nsmc_lightning.evaluation.report import Report
    from nsmc_lightning.evaluation.scores import Answers

_WORST = 20  # mistakes that are listed


class TestReport(Callback):
    """Report a test's scores with their intervals: of all rows, of each class, and of parts of the rows.

    The report is printed, written to ``test.json`` in the run's folder, and logged to TensorBoard as text
    (``test/report``, ``test/classes``, ``test/mistakes``), by the first process. A trial run (``fast_dev_run``) has
    none.

    Args:
        writer: has the predictions of all processes.
        ckpt_path: the checkpoint that is tested, which the file names.
        baseline: computes the scores of a simple classifier on the corpus's test part, for comparison; None where it
            has none.

    Attributes:
        path: the file that was written; None before.
    """

    def __init__(
        self,
        writer: PredictionWriter,
        ckpt_path: str | None,
        baseline: Callable[[Parts], Baseline | None] | None = None,
    ) -> None:
        self.writer = writer
        self.ckpt_path = ckpt_path
        self.baseline = baseline
        self.path: Path | None = None

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = Path(trainer.log_dir or trainer.default_root_dir)  # read on every process, as Lightning broadcasts it
        if not trainer.is_global_zero or trainer.fast_dev_run or self.writer.gathered is None:  # type: ignore[attr-defined]
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        rows, answers = _in_order(data.parts.rows("test"), *self.writer.gathered)
        tested = Breakdown(data.parts, rows)
        notes = [*_cut(len(rows), len(data.parts.rows("test"))), *tested.notes]
        temperature = float(getattr(pl_module, "temperature", 1.0))
        report = _report(answers, data.corpus.label_names, tested, temperature)
        baseline = self.baseline(data.parts) if self.baseline is not None else None
        mistakes = worst_mistakes(rows, answers, data.corpus.label_names)
        self.path = report_path(folder)
        about = {"checkpoint": self.ckpt_path, "corpus": data.corpus.name, "rows_of_part": len(data.parts.rows("test"))}
        _write({**about, **plain(report, baseline, mistakes), "notes": notes}, self.path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                _log(logger, trainer.global_step, report, baseline, notes, mistakes)
        print_report(f"Test of {data.corpus.name}: {len(rows):,} rows", report, baseline, notes)


def _in_order(frame: pd.DataFrame, numbers: np.ndarray, probabilities: np.ndarray) -> tuple[pd.DataFrame, Answers]:
    """Return the rows that were measured, in the order of ``frame``, and their answers."""
    from nsmc_lightning.evaluation.scores import Answers

    order = np.argsort(numbers)
    rows = frame.iloc[numbers[order]].reset_index(drop=True)
    return rows, Answers(rows["label"].to_numpy(np.int64), probabilities[order])


def _report(answers: Answers, labels: list[str], tested: Breakdown, temperature: float) -> Report:
    from nsmc_lightning.evaluation.report import build_report

    return build_report(answers, labels, tested.parts, tested.clusterings, temperature)


def _cut(measured: int, rows: int) -> list[str]:
    if measured == rows:
        return []
    # The sampler draws batches, whose texts are of like length.
    return [f"Only {measured:,} of {rows:,} rows were measured (trainer.limit_test_batches): not a random sample."]


def worst_mistakes(rows: pd.DataFrame, answers: Answers, labels: list[str]) -> list[Mistake]:
    """Return the wrong predictions with the highest probabilities.

    *Shape:* ``rows`` N rows with columns ``id`` and ``text``, as in ``answers``.
    """
    confidence = answers.probabilities.max(axis=1)
    worst = np.argsort(np.where(answers.correct, np.inf, -confidence), kind="stable")[
        : min(_WORST, (~answers.correct).sum())
    ]
    return [
        Mistake(
            rows["id"].iloc[i],
            rows["text"].iloc[i],
            labels[answers.labels[i]],
            labels[answers.predicted[i]],
            float(confidence[i]),
        )
        for i in worst
    ]


def report_path(folder: Path) -> Path:
    """Return the report's file in a run's folder."""
    return folder / "test.json"


def plain(report: Report, baseline: Baseline | None, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return a report as JSON types."""
    from nsmc_lightning.evaluation.bootstrap import LEVEL

    bootstrap = {"draws": report.draws, "seed": report.seed, "level": LEVEL, "clusters": report.clusters}
    return {
        "rows": report.rows,
        "temperature": report.temperature,
        "bootstrap": bootstrap,
        "scores": _plain(report.scores),
        "before_temperature": _plain(report.before_temperature),
        "baseline": None if baseline is None else baseline._asdict(),
        "classes": _plain(report.classes),
        "parts": _plain(report.parts),
        "mistakes": _plain(mistakes),
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(content: dict[str, Any], path: Path) -> None:
    try:
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: the test report cannot be written ({error.strerror or error}).") from error


def _log(
    logger: TensorBoardLogger,
    step: int,
    report: Report,
    baseline: Baseline | None,
    notes: list[str],
    mistakes: list[Mistake],
) -> None:
    everything, classes, parts = (markdown(section) for section in sections(report, baseline))
    for tag, text in {
        "test/report": "\n\n".join([everything, parts, how_measured(report), *notes]),
        "test/classes": classes,
        "test/mistakes": markdown(mistakes_section(mistakes)),
    }.items():
        logger.experiment.add_text(tag, text, step)
