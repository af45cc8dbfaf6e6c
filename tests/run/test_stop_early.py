"""Early stopping prints a line, and a resumed run uses its own patience."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nsmc_lightning.run.stop_early import StopEarly


def test_the_patience_of_the_resumed_run_counts() -> None:
    first = StopEarly("val/accuracy", mode="max", patience=1)
    first.wait_count = 1
    again = StopEarly("val/accuracy", mode="max", patience=5)
    again.load_state_dict(first.state_dict())
    assert (again.patience, again.wait_count) == (5, 1)
    assert again.state_key.startswith("EarlyStopping{")


def test_a_line_tells_why_training_ended(caplog: pytest.LogCaptureFixture) -> None:
    values = {"val/accuracy": torch.tensor(0.5)}
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    trainer: Any = SimpleNamespace(
        callback_metrics=values, strategy=strategy, should_stop=False, current_epoch=0, fast_dev_run=False,
        sanity_checking=False, state=SimpleNamespace(fn="fit"), training=False,
    )  # fmt: skip
    stop = StopEarly("val/accuracy", mode="max", patience=1, check_on_train_epoch_end=False)
    with caplog.at_level("INFO"):
        for _ in range(2):
            stop.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert trainer.should_stop
    assert "stopped early in epoch 1: 1 validations without a better val/accuracy" in caplog.text
