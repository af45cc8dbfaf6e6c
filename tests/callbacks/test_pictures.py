"""The pictures in TensorBoard's event file of a tiny run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from nsmc_lightning.callbacks import pictures
from nsmc_lightning.callbacks.figures import draw_confusion
from nsmc_lightning.callbacks.pictures import Pictures
from nsmc_lightning.types import Batch, Prediction

CLASSES = 3
ROWS = 20


class TinyModule(LightningModule):
    """Predicts the same random probabilities for a row each time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.probabilities = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(0)).softmax(1)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return self.weight**2

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        return Prediction(batch.rows, self.probabilities[batch.rows])

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        return self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class TinyData(LightningDataModule):
    """Twenty rows in batches of eight."""

    def __init__(self, max_length: int = 64) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.corpus = SimpleNamespace(label_names=["negative", "positive", "글쎄"])
        self.labels = torch.arange(ROWS) % CLASSES
        reviews = SimpleNamespace(full_lengths=np.arange(50, 90, 2))
        self.encoded = {"train": SimpleNamespace(characters=np.arange(1, 21), reviews=reviews)}
        self.max_length = max_length

    def _loader(self) -> DataLoader[Any]:
        return DataLoader(range(ROWS), batch_size=8, collate_fn=self._batch)  # type: ignore[arg-type]

    def _batch(self, rows: list[int]) -> Batch:
        ids = torch.tensor(rows)
        column, places = ids[:, None], torch.arange(len(rows))
        return Batch(
            ids,
            column,
            places[:, None] + 1,
            self.labels[ids],
            len(rows),
            torch.zeros_like(column),
            places,
            packed=False,
        )

    train_dataloader = val_dataloader = test_dataloader = _loader


def trainer(folder: Path, loggers: list[Any]) -> Trainer:
    """A trainer of two epochs that prints nothing."""
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=loggers,
        callbacks=[Pictures()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


def steps(folder: Path) -> dict[str, list[int]]:
    """Steps of each picture in an event file."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The confusion matrices that are drawn, in order."""
    matrices: list[np.ndarray] = []

    def spy(matrix: np.ndarray, names: list[str]) -> Figure:
        matrices.append(matrix)
        return draw_confusion(matrix, names)

    monkeypatch.setattr(pictures, "draw_confusion", spy)
    return matrices


# A run


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_fit_and_test_log_pictures(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    module, data = TinyModule(), TinyData()
    run = trainer(tmp_path, [CSVLogger(tmp_path), logger])
    run.fit(module, datamodule=data)
    run.test(module, datamodule=data, verbose=False)
    logger.experiment.flush()
    assert steps(tmp_path / "run") == {
        "train/lengths": [0],
        "val/confusion_matrix": [3, 6],  # two epochs of three batches, and none from the sanity check
        "test/confusion_matrix": [6],
    }
    expected = confusion_matrix(data.labels, module.probabilities.argmax(1))
    assert len(drawn) == 3
    for matrix in drawn:  # equal: each count starts from zero
        assert matrix.tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_without_tensorboard_nothing_happens(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    run = trainer(tmp_path, [CSVLogger(tmp_path)])
    run.fit(TinyModule(), datamodule=TinyData())
    assert drawn == []
    assert list(tmp_path.rglob("events.*")) == []
