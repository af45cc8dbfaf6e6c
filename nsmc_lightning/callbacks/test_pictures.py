"""Figures of a test for TensorBoard: ROC, precision and recall, reliability, accuracy by length."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.callbacks.curves import draw_accuracies, draw_precision_recall, draw_reliability, draw_roc
from nsmc_lightning.callbacks.pictures import tensorboard
from nsmc_lightning.callbacks.test_report import TestReport
from nsmc_lightning.run.loop import number_of_logs


class TestPictures(Callback):
    """Log ``test/roc``, ``test/precision_recall``, ``test/reliability`` and ``test/lengths`` where there is a report.

    Args:
        report: has the answers, and the scores of their parts.
    """

    __test__ = False  # for pytest, which takes a class of this name for tests

    def __init__(self, report: TestReport) -> None:
        self.report = report

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger, measured = tensorboard(trainer), self.report.measured
        if logger is None or measured is None:
            return
        from nsmc_lightning.evaluation.bootstrap import Interval  # imports scipy, which --help can spare
        from nsmc_lightning.evaluation.calibration import reliability, without_temperature

        report, answers = measured
        names = trainer.datamodule.corpus.label_names  # type: ignore[attr-defined]
        points = {"calibrated": reliability(answers)}
        if report.temperature != 1:
            points["before its temperature"] = reliability(without_temperature(answers, report.temperature))
        unknown = Interval(float("nan"), float("nan"))
        bands = {
            title: (part.rows, part.accuracy.value, part.accuracy.interval or unknown)
            for title, part in report.parts["length"].items()
            if part.rows
        }
        for tag, figure in {
            "test/roc": draw_roc(answers, names),
            "test/precision_recall": draw_precision_recall(answers, names),
            "test/reliability": draw_reliability(points),
            "test/lengths": draw_accuracies(bands, "accuracy by length"),
        }.items():
            logger.experiment.add_figure(tag, figure, number_of_logs(trainer))
