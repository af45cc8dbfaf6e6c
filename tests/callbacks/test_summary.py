"""What is printed at the end of a command."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nsmc_lightning.callbacks.summary import Summary


def test_fit_ends_with_a_table_and_the_command_that_tests_the_best_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {"val/accuracy": 0.84161, "val/reviews_per_second": 1234.56, "val/wasted_tokens": 0}
    record: Any = SimpleNamespace(reached=("best", metrics))
    throughput: Any = SimpleNamespace(rates={"train/mfu": 0.2345, "val/mfu": 0.5})
    best: Any = SimpleNamespace(best_model_path="my run/best.ckpt")
    nothing: Any = None
    summary = Summary(record, throughput, nothing, nothing, best, None)
    added: Any = SimpleNamespace(reduce=lambda rows, reduce_op: 2 * rows)  # two processes with 50 rows each
    loggers = [CSVLogger("elsewhere"), TensorBoardLogger("my logs")]
    trainer: Any = SimpleNamespace(is_global_zero=True, loggers=loggers, strategy=added)
    module: Any = SimpleNamespace(device="cpu")
    for rows in (3, 50):  # the first validation is a trial
        summary.on_validation_epoch_start(trainer, module)
        summary.on_validation_batch_end(trainer, module, None, SimpleNamespace(rows=range(rows)), 0)
        summary.on_validation_epoch_end(trainer, module)
    summary.on_fit_end(trainer, module)
    printed = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["rows", "100", ""],
        ["accuracy", "0.8416", ""],
        ["standard error of accuracy", "0.0365", ""],
        ["reviews/s", "1,234.6", ""],
        ["padding among tokens", "0.0%", ""],
        ["model FLOP utilisation", "", "23.4%"],
    ]
    assert "test --ckpt_path 'my run/best.ckpt'\n" in printed
    assert "tensorboard --logdir 'my logs'\n" in printed
