"""Progress without a terminal."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.trainer.states import TrainerFn

from nsmc_lightning.callbacks.progress import ProgressLines

ANY: Any = None


def run_test(progress: ProgressLines, batches: int) -> None:
    trainer: Any = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.TESTING), num_test_batches=[batches])
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


def test_the_remaining_time_of_a_resumed_epoch_counts_only_its_own_batches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    trainer: Any = SimpleNamespace(current_epoch=0, max_epochs=1, num_training_batches=100)
    progress = ProgressLines()
    progress.on_train_start(trainer, ANY)
    for batch in (88, 89):  # ten seconds for each
        now += 10
        progress.on_train_batch_end(trainer, ANY, ANY, ANY, batch)
    assert "90/100 batches  0:20 elapsed, 1:40 remaining" in capsys.readouterr().err


def test_validate_prints_its_progress_and_the_validations_of_fit_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        max_epochs=1,
        limit_train_batches=4,
        limit_val_batches=2,
        val_check_interval=2,
        callbacks=[ProgressLines()],
    )
    trainer.fit(BoringModel())
    assert re.findall(r"(\S+).*?:.* (\d)/\d batches", capsys.readouterr().err) == [
        ("epoch", f"{i}") for i in range(1, 5)
    ]
    trainer.validate(BoringModel(), verbose=False)
    assert re.findall(r"(\S+):.* (\d)/2 batches", capsys.readouterr().err) == [("validate", "1"), ("validate", "2")]
