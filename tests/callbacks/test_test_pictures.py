"""Which figures a test has in TensorBoard."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.callbacks.test_pictures import TestPictures
from nsmc_lightning.evaluation.report import build_report
from nsmc_lightning.evaluation.slices import length_bands
from tests.callbacks.test_curves import answers
from tests.callbacks.test_pictures import steps


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_a_report_is_drawn(tmp_path: Path, temperature: float) -> None:
    given = answers(3, rows=200)
    parts = {"length": length_bands(["좋다" * (1 + number % 30) for number in range(200)])}
    report = build_report(given, ["a", "b", "c"], parts, {"texts": np.arange(200)}, temperature, draws=20)
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=7))
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    trainer: Any = SimpleNamespace(
        loggers=[logger],
        datamodule=SimpleNamespace(corpus=SimpleNamespace(label_names=["a", "b", "c"])),
        state=SimpleNamespace(fn="test"),
        fit_loop=loop,
    )
    test_report: Any = SimpleNamespace(measured=(report, given))
    TestPictures(test_report).on_test_end(trainer, None)  # type: ignore[arg-type]
    logger.experiment.flush()
    expected = ("test/roc", "test/precision_recall", "test/reliability", "test/lengths")
    assert steps(tmp_path / "run") == {tag: [7] for tag in expected}
    trainer.loggers = []
    TestPictures(test_report).on_test_end(trainer, None)  # type: ignore[arg-type]
