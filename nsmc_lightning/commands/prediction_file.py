"""Files of predictions, as test and predict write them: csv, tsv, jsonl or parquet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nsmc_lightning.errors import UserError, reason
from nsmc_lightning.evaluation.scores import Answers
from nsmc_lightning.run.results import result_name, run_of

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("id", "text", "label", "target")
_PROBABILITY = "probability_"


def file_of_test(given: str) -> Path:
    """Return the file with the test predictions that a run's folder, a checkpoint or a file's name means.

    Raises:
        UserError: it is not there.
    """
    path = Path(given)
    if path.suffix == ".ckpt":
        run = run_of(path)
        if run is None:
            raise UserError(f"{given}: not in the folder of a run; give the file that test wrote for it.")
        file = run / result_name(path, "test.csv")
    elif path.is_dir():
        file = path / "test.csv"
    else:
        file = path
    if file.is_file():
        return file
    if file == path:
        raise UserError(f"{given}: there is no such file; give a run's folder, a checkpoint or a file of predictions.")
    others = ", ".join(sorted(other.name for other in file.parent.glob("test*.*")))
    known = f", which has {others}" if others else ""
    raise UserError(
        f"{given}: there is no {file.name} in {file.parent}{known}.\nWrite it with python -m nsmc_lightning test "
        f"--ckpt_path {given}"
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a file of test predictions.

    Returns:
        One row for each of the file: ``id``, ``text``, ``label`` and ``target`` as text, empty where missing, and the
        probabilities as float64, NaN where missing.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    import pandas as pd  # takes a second, which --help can spare

    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".csv": lambda: pd.read_csv(path, dtype=str, keep_default_na=False),
        ".tsv": lambda: pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t"),
        ".jsonl": lambda: pd.DataFrame(_records(path), dtype=object),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: not a file of predictions, which is one of {', '.join(readers)}.")
    try:
        table = readers[path.suffix.lower()]()
    except Exception as error:  # the libraries raise whatever the bytes lead to
        raise UserError(f"{path}: cannot be read as {path.suffix} ({reason(error)}).") from error
    for column in _TEXTS:
        if column not in table:
            raise UserError(f"{path}: has no column {column}; give the predictions of test, which have the targets.")
        table[column] = ["" if pd.isna(value) else str(value) for value in table[column]]
    for column in probability_columns(table):
        table[column] = pd.to_numeric(table[column], errors="coerce").astype(np.float64)
    return table


def _records(path: Path) -> list[dict[str, object]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def probability_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the columns with a probability of a class, in the order of the classes."""
    return [str(column) for column in table.columns if str(column).startswith(_PROBABILITY)]


def answers_of(table: pd.DataFrame) -> Answers:
    """Return labels and probabilities of the rows that have a prediction."""
    table = table[table["label"] != ""]
    columns = probability_columns(table)
    numbers = {column.removeprefix(_PROBABILITY): number for number, column in enumerate(columns)}
    return Answers(table["target"].map(numbers).to_numpy(np.int64), table[columns].to_numpy())
