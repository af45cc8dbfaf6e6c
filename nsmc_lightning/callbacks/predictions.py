"""The predictions of test and predict, written to a file in input order."""

from __future__ import annotations

import csv
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_file
from nsmc_lightning.run.results import result_path
from nsmc_lightning.types import Prediction

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


class PredictionWriter(Callback):
    """Write id, text, label and a probability for each class, one row for each input row.

    A test's file also holds ``target``, the label of the corpus. A row without text has no label and no probabilities.

    Args:
        output: file to write, csv, tsv, jsonl or parquet by its ending; None is ``predictions.csv`` (or ``test.csv``)
            in the run's folder, with the checkpoint's name unless that is best.ckpt (see
            :func:`~nsmc_lightning.run.results.result_path`), and no file in a trial run (``fast_dev_run``).

    Attributes:
        path: the file that was written; None before.
        gathered: row numbers int64 (N,) and probabilities float32 (N, classes) of all processes, in any order; None
            before.

    Raises:
        UserError: ``output`` has another ending, or cannot be written, which is tried before the run.
    """

    def __init__(self, output: str | None = None) -> None:
        if output is not None and Path(output).suffix.lower() not in FORMATS:
            raise UserError(f"--output {output}: the ending decides the format; give one of {', '.join(FORMATS)}.")
        self.output = output
        self.path: Path | None = None
        self.gathered: tuple[np.ndarray, np.ndarray] | None = None
        self._collected: list[Prediction] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Try to write next to ``output``, before a prediction that may take hours."""
        if self.output is None or stage not in ("test", "predict") or not trainer.is_global_zero:
            return
        path = Path(self.output)
        with _writing(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx > 0:  # the same rows, perturbed
            return
        self._collected.append(Prediction(*(tensor.cpu() for tensor in outputs)))

    on_predict_batch_end = on_test_batch_end

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "test", "test.csv")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "predict", "predictions.csv")

    def _write(self, trainer: Trainer, part: str, default_name: str) -> None:
        self.gathered = rows, probabilities = self._gather()
        self._collected = []
        default = result_path(trainer, default_name)  # on every process, as Lightning broadcasts the folder
        if not trainer.is_global_zero or (self.output is None and trainer.fast_dev_run):  # type: ignore[attr-defined]
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        table = prediction_table(data.parts.rows(part), data.corpus.label_names, rows, probabilities)
        self.path = Path(self.output) if self.output else default
        with _writing(self.path):
            write_table(table, self.path)

    def _gather(self) -> tuple[np.ndarray, np.ndarray]:
        """Return row numbers (N,) and probabilities (N, classes) of all processes."""
        rows = torch.cat([prediction.rows for prediction in self._collected]).numpy()
        probabilities = torch.cat([prediction.probabilities for prediction in self._collected]).numpy()
        if not torch.distributed.is_initialized():
            return rows, probabilities
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, (rows, probabilities))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write a file into a user's mistake."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: the predictions cannot be written ({error.strerror or error}); name another file with --output."
        ) from error


def prediction_table(
    frame: pd.DataFrame, labels: list[str], rows: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    """Return the file's rows, in the order of ``frame``.

    *Shape:* ``rows`` int64 (N,), row numbers in ``frame``; ``probabilities`` float (N, classes). Rows of ``frame`` that
    are not among ``rows`` (a run with ``limit_test_batches``), or have no text, get no label and no probabilities.
    """
    import pandas as pd  # here, or --help would wait for it

    every = np.full((len(frame), len(labels)), np.nan, dtype=np.float64)
    every[rows] = probabilities
    every[(frame["text"].fillna("").str.strip() == "").to_numpy()] = np.nan
    known = ~np.isnan(every[:, 0])
    predicted = pd.Series([None] * len(frame), dtype=object)
    predicted[known] = [labels[i] for i in every[known].argmax(axis=1)]
    table = pd.DataFrame({"id": frame["id"], "text": frame["text"].map(_writable), "label": predicted})
    if "label" in frame:
        table["target"] = [labels[i] for i in frame["label"]]
    for i, label in enumerate(labels):
        table[f"probability_{label}"] = every[:, i]
    return table


def _writable(text: object) -> object:
    """Replace half a surrogate pair, from broken JSON, by a question mark: no encoding can write it."""
    return text.encode(errors="replace").decode() if isinstance(text, str) else text


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of the path's ending; an older file is replaced once the new one is complete."""
    suffix = path.suffix.lower()
    with whole_file(path) as partial:
        if suffix == ".parquet":
            table.to_parquet(partial, index=False)
        elif suffix == ".jsonl":
            table.to_json(partial, orient="records", lines=True, force_ascii=False, double_precision=15)
        else:
            # Texts in quotes: the csv module does not quote a carriage return, which readers take for a line's end.
            separator = "\t" if suffix == ".tsv" else ","
            table.to_csv(partial, index=False, sep=separator, quoting=csv.QUOTE_NONNUMERIC)
