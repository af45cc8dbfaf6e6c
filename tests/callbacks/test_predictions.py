"""The predictions file: every row in input order; the file is complete or absent."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.callbacks.predictions import PredictionWriter, prediction_table, write_table
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Prediction

FRAME = pd.DataFrame({"id": ["a", "b", "c", "d"], "text": ["좋다", None, " ", "싫다"], "label": [1, 0, 1, 0]})


def test_rows_come_back_in_input_order_and_empty_ones_stay_empty() -> None:
    rows = np.array([3, 1, 0, 2])
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.5, 0.5]])
    table = prediction_table(FRAME, ["neg", "pos"], rows, probabilities)
    assert table["id"].tolist() == ["a", "b", "c", "d"]
    assert table["label"].tolist() == ["pos", None, None, "neg"]
    assert table["target"].tolist() == ["pos", "neg", "pos", "neg"]
    assert table["probability_pos"].tolist() == pytest.approx([0.8, np.nan, np.nan, 0.1], nan_ok=True)


def test_rows_without_a_prediction_have_no_label() -> None:
    table = prediction_table(FRAME.drop(columns="label"), ["neg", "pos"], np.array([3]), np.array([[0.9, 0.1]]))
    assert table["label"].tolist() == [None, None, None, "neg"]
    assert "target" not in table


def test_rows_of_another_loader_are_not_gathered() -> None:
    writer, trainer, module = PredictionWriter(), Trainer(accelerator="cpu", fast_dev_run=True), BoringModel()
    for loader in (0, 1):
        prediction = Prediction(torch.tensor([loader]), torch.tensor([[0.5, 0.5]]))
        writer.on_test_batch_end(trainer, module, prediction, None, 0, loader)
    writer.on_test_epoch_end(trainer, module)
    assert writer.gathered is not None
    assert writer.gathered[0].tolist() == [0]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    write_table(pd.DataFrame({"a": [1]}), path)
    old = path.read_bytes()

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(OSError, match="disk full"):
        write_table(pd.DataFrame({"a": [2]}), path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("name", "read"),
    [("x.CSV", pd.read_csv), ("x.Tsv", pd.read_table), ("x.JSONL", pd.read_json), ("x.PARQUET", pd.read_parquet)],
)
def test_the_case_of_an_ending_does_not_matter(name: str, read: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    assert PredictionWriter(name).output == name
    write_table(FRAME[["id", "label"]], tmp_path / name)
    back = read(tmp_path / name, lines=True) if name == "x.JSONL" else read(tmp_path / name)
    assert back.to_dict("list") == FRAME[["id", "label"]].to_dict("list")


def test_an_unknown_ending_is_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"out\.xlsx.*\.csv"):
        PredictionWriter("out.xlsx")


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    for output in (tmp_path / "file" / "out.csv", tmp_path / "folder.csv", Path("/proc/x/out.csv")):
        with pytest.raises(UserError, match=f"{re.escape(str(output))}: .* cannot be written .*--output"):
            PredictionWriter(str(output)).setup(trainer, BoringModel(), "predict")
    PredictionWriter(str(tmp_path / "new" / "out.csv")).setup(trainer, BoringModel(), "test")
    assert not any((tmp_path / "new").iterdir())  # the attempt left nothing
