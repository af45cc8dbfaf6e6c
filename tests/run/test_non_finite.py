"""A loss or a weight that is not finite ends the run and reaches no file."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.non_finite import StopAtNonFinite


class Rows:
    """A batch of two reviews, of which only the rows matter here."""

    def __init__(self, first: int) -> None:
        self.rows = torch.tensor([first, first + 1])


class Reviews(LightningDataModule):
    """Ten reviews in batches of two."""

    def setup(self, stage: str) -> None:
        self.parts = SimpleNamespace(rows=lambda part: pd.DataFrame({"id": [f"id-{i}" for i in range(10)]}))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader([Rows(first) for first in range(0, 10, 2)], batch_size=None, num_workers=0)


class Weight(LightningModule):
    """A weight of 1 whose loss is infinite at one row, and whose gradient is infinite at another."""

    def __init__(self, bad_loss: int = -1, bad_gradient: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.bad_loss, self.bad_gradient = bad_loss, bad_gradient

    def training_step(self, batch: Rows, batch_idx: int) -> Tensor:
        if self.bad_loss in batch.rows:
            return self.weight.sum() * float("inf")
        if self.bad_gradient in batch.rows:
            return (self.weight - self.weight.detach()).sum().sqrt()  # 0, with an infinite slope
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder: Path, model: Weight) -> tuple[Path, str]:
    """Trains with a checkpoint after each step until the callback stops it; the log folder and the message."""
    save = ModelCheckpoint(folder / "checkpoints", "{step}", save_top_k=-1, every_n_train_steps=1)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=CSVLogger(folder, "", "logs"),
        callbacks=[StopAtNonFinite(), save],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(UserError) as refused:
        trainer.fit(model, datamodule=Reviews())
    return folder / "logs", str(refused.value)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_stops_training_before_the_weights_change(tmp_path: Path) -> None:
    model = Weight(bad_loss=5)
    logs, message = train(tmp_path, model)
    found = json.loads((logs / "non_finite_0.json").read_text(encoding="utf-8"))
    assert found == {"step": 2, "part": "train", "rows": [4, 5], "ids": ["id-4", "id-5"]}
    assert model.weight.item() == pytest.approx(0.8)  # two steps of 0.1
    assert "step 2" in message
    assert str(logs / "non_finite_0.json") in message
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step=1.ckpt", "step=2.ckpt"}


@pytest.mark.filterwarnings("ignore")
def test_weights_spoilt_by_a_gradient_reach_no_file(tmp_path: Path) -> None:
    model = Weight(bad_gradient=2)
    _, message = train(tmp_path, model)
    assert not model.weight.isfinite()
    assert "weights" in message
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step=1.ckpt"}
