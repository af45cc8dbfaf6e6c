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


class Measured(BoringModel):
    """Logs what a module of ours does, and a rate."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("train/loss", 0.5 + batch_idx)
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log_dict({"val/accuracy": 0.875, "val/reviews_per_second": 9.0})


def test_fit_prints_the_metrics_of_its_validations_and_validate_its_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
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
    trainer.fit(Measured())
    lines = capsys.readouterr().err.splitlines()
    assert re.findall(r"(\d)/4 batches", "".join(lines)) == ["1", "2", "3", "4"]
    assert [line for line in lines if "step" in line] == [
        "epoch 1/1, step 2: train/loss 1.5000, val/accuracy 0.8750",
        "epoch 1/1, step 4: train/loss 3.5000, val/accuracy 0.8750",
    ]
    trainer.validate(BoringModel(), verbose=False)
    assert re.findall(r"(\S+):.* (\d)/2 batches", capsys.readouterr().err) == [("validate", "1"), ("validate", "2")]
