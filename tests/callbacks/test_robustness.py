"""Accuracies and flip rates of perturbed texts, counted again from the predictions of each row."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from nsmc_lightning.callbacks.robustness import NAME, Robustness
from nsmc_lightning.types import Prediction

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = 30
PREDICTED = np.random.default_rng(0).integers(3, size=(3, ROWS))  # of the clean texts and of two perturbations
LABELS = np.where(np.arange(ROWS) % 4 == 0, 0, PREDICTED[0])


class Predicts(LightningModule):
    """Predicts the given class of each row, by dataloader."""

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        predicted = torch.from_numpy(PREDICTED[dataloader_idx])[batch.rows]
        return Prediction(batch.rows, torch.nn.functional.one_hot(predicted, 3).float())


class Data(LightningDataModule):
    """A dataloader for clean texts and one for each perturbation, with the same rows in each batch."""

    def __init__(self, *perturbations: str) -> None:
        super().__init__()
        self.perturbations = perturbations
        self.changed_texts = {"typos": 15, "emoji": ROWS}
        self.datasets = {"test": range(ROWS)}

    def test_dataloader(self) -> Any:
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
        batches: Any = [SimpleNamespace(rows=rows, labels=torch.from_numpy(LABELS)[rows]) for rows in order.split(7)]
        loaders = [DataLoader(batches, batch_size=None) for _ in range(1 + len(self.perturbations))]
        return loaders if self.perturbations else loaders[0]


def measure(folder: Path, *perturbations: str, **settings: Any) -> Trainer:
    quiet: dict[str, Any] = {"enable_checkpointing": False, "enable_progress_bar": False}
    logger = CSVLogger(folder, name="", version="")
    trainer = Trainer(accelerator="cpu", devices=1, logger=logger, callbacks=[Robustness()], **{**quiet, **settings})
    trainer.test(Predicts(), datamodule=Data(*perturbations), verbose=False)
    return trainer


def test_accuracy_and_flips_are_those_of_each_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = measure(tmp_path, "typos", "emoji")
    found = json.loads((tmp_path / NAME).read_text(encoding="utf-8"))
    clean = PREDICTED[0]
    assert (found["texts"], found["accuracy"]) == (ROWS, pytest.approx((clean == LABELS).mean()))
    printed = capsys.readouterr().out
    for name, predicted, changed in zip(("typos", "emoji"), PREDICTED[1:], (0.5, 1.0), strict=True):
        values = found["perturbations"][name]
        expected = {"accuracy": (predicted == LABELS).mean(), "flip_rate": (predicted != clean).mean()}
        assert values == pytest.approx({**expected, "changed": changed})
        for key, value in expected.items():
            assert trainer.callback_metrics[f"robustness/{name}_{key}"].item() == pytest.approx(value)
        (line,) = (line for line in printed.splitlines() if name in line)
        assert [f"{value:.4f}" in line for value in expected.values()] == [True, True]


def test_limited_batches_are_compared_by_the_same_rows(tmp_path: Path) -> None:
    measure(tmp_path, "typos", limit_test_batches=2)
    found = json.loads((tmp_path / NAME).read_text(encoding="utf-8"))
    rows = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))[:14].numpy()
    assert found["texts"] == 14
    assert found["perturbations"]["typos"]["flip_rate"] == pytest.approx((PREDICTED[0] != PREDICTED[1])[rows].mean())


def test_without_perturbations_and_in_a_trial_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(tmp_path)
    assert "flip" not in capsys.readouterr().out
    measure(tmp_path, "typos", fast_dev_run=True)
    assert not list(tmp_path.rglob(NAME))
