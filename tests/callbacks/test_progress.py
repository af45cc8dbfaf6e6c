"""Progress without a terminal."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from nsmc_lightning.callbacks.progress import ProgressLines

ANY: Any = None


def run_test(progress: ProgressLines, batches: int) -> None:
    trainer: Any = SimpleNamespace(num_test_batches=[batches])
    progress.on_test_epoch_start(trainer, ANY)
    for batch in range(batches):
        progress.on_test_batch_end(trainer, ANY, ANY, ANY, batch)


@pytest.mark.parametrize(("batches", "lines"), [(200, 10), (10, 10), (3, 3)])
def test_a_line_for_each_tenth(batches: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    run_test(ProgressLines(), batches)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == lines
    assert re.fullmatch(rf"test: 100 %  {batches}/{batches} batches  0:00 elapsed, 0:00 remaining", printed[-1])


def test_a_disabled_bar_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLines()
    progress.disable()
    run_test(progress, 1)
    assert capsys.readouterr().err == ""
