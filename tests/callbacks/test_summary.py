"""The table at the end of a command."""

from io import StringIO
from typing import Any

from rich.console import Console

from nsmc_lightning.callbacks.summary import Summary, _of


def test_a_row_for_each_metric_and_a_column_for_each_stage() -> None:
    nothing: Any = None
    summary = Summary(nothing, nothing, nothing, None, None)
    summary.console = Console(file=StringIO(), width=80)
    metrics = {"val/accuracy": 0.84161, "val/reviews_per_second": 1234.56, "train/mfu": 0.2345, "val/wasted_tokens": 0}
    summary._print({"dev": _of("val", metrics), "training": _of("train", metrics)})
    lines = [line.split("│")[1:-1] for line in summary.console.file.getvalue().splitlines() if line.startswith("│")]  # type: ignore[attr-defined]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["accuracy", "0.8416", ""],
        ["reviews/s", "1,234.6", ""],
        ["padding among tokens", "0.0%", ""],
        ["model FLOP utilisation", "", "23.4%"],
    ]
