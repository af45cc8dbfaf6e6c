"""What several seeds reached, as a table and as repeat.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nsmc_lightning.callbacks.report_tables import SCORES
from nsmc_lightning.commands.seed_run import SeedRun
from nsmc_lightning.evaluation.spread import Spread, median_index, spread
from nsmc_lightning.files import write_json


def summarise(runs: Sequence[SeedRun], folder: Path) -> None:
    """Print each seed's test accuracy and the spread of all scores, and write ``repeat.json`` to ``folder``.

    Raises:
        UserError: the file cannot be written.
    """
    reached = [run.scores() for run in runs]
    spreads = {name: spread([scores[name] for scores in reached]) for name in reached[0]}
    median = median_index([scores["accuracy"] for scores in reached])
    for number, (run, scores) in enumerate(zip(runs, reached, strict=True)):
        note = "  (the median)" if number == median else ""
        print(f"seed {run.seed}: test accuracy {scores['accuracy']:.4f}  {run.checkpoint}{note}")
    Console().print(_table(spreads, reached))
    _write(folder / "repeat.json", runs, reached, spreads, median)


def _table(spreads: Mapping[str, Spread], reached: Sequence[Mapping[str, float]]) -> Table:
    table = Table("test score", "mean ± sd", "95 % interval of the mean", "lowest", "highest")
    for name, title in SCORES.items():
        (mean, sd, interval), values = spreads[name], [scores[name] for scores in reached]
        ends = "" if math.isnan(sd) else f"{interval.low:.4f} to {interval.high:.4f}"
        deviation = "" if math.isnan(sd) else f" ± {sd:.4f}"
        table.add_row(title, f"{mean:.4f}{deviation}", ends, f"{min(values):.4f}", f"{max(values):.4f}")
    return table


def _write(
    path: Path,
    runs: Sequence[SeedRun],
    reached: Sequence[Mapping[str, float]],
    spreads: Mapping[str, Spread],
    median: int,
) -> None:
    content = {
        "runs": [
            {"seed": run.seed, "checkpoint": str(run.checkpoint), "test": scores}
            for run, scores in zip(runs, reached, strict=True)
        ],
        "test": {
            name: {"mean": mean, "sd": sd, "low": interval.low, "high": interval.high}
            for name, (mean, sd, interval) in spreads.items()
        },
        "median": {"by": "accuracy", "seed": runs[median].seed},
    }
    write_json(path, content)
    print(f"{path}")
