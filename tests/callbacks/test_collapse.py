"""The warning of classes that are never predicted, over batches and processes, and the cause that it names."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from nsmc_lightning.callbacks.collapse import CollapseAlarm, likely_cause
from nsmc_lightning.types import Prediction

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = ["negative", "positive", "neutral"]
SETTINGS = {"lr": 0.01, "warmup_ratio": 0.1, "warmup_steps": None, "class_weights": None}


class Predicts(LightningModule):
    """Predicts given classes for the rows of each epoch's validation, and for the sanity check."""

    def __init__(self, predicted: list[list[int]]) -> None:
        super().__init__()
        self.save_hyperparameters(SETTINGS)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.predicted = predicted

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight**2

    def validation_step(self, batch: Any, batch_idx: int) -> Prediction:
        predicted = torch.tensor(self.predicted[self.current_epoch])[batch.rows]
        return Prediction(batch.rows, F.one_hot(predicted, len(NAMES)).float())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(LightningDataModule):
    """Rows with given labels, in batches of four."""

    def __init__(self, labels: list[int]) -> None:
        super().__init__()
        self.labels = torch.tensor(labels)
        self.corpus = SimpleNamespace(label_names=NAMES)

    def val_dataloader(self) -> DataLoader[Any]:
        batches = torch.arange(len(self.labels)).split(4)
        return DataLoader([SimpleNamespace(rows=rows, labels=self.labels[rows]) for rows in batches], batch_size=None)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(torch.zeros(2))  # type: ignore[arg-type]


def warnings_of(
    folder: Path, caplog: pytest.LogCaptureFixture, labels: list[int], *predicted: list[int], **settings: Any
) -> list[str]:
    """What is warned of in a run of as many epochs as there are predictions."""
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    common = {"accelerator": "cpu", "devices": 1, "default_root_dir": folder, "enable_model_summary": False}
    trainer = Trainer(max_epochs=len(predicted), callbacks=[CollapseAlarm()], **{**quiet, **common, **settings})
    trainer.fit(Predicts([*predicted]), datamodule=Data(labels))
    return [record.message for record in caplog.records if record.name == "nsmc_lightning"]


LABELS = [0, 0, 1, 2, 1, 0, 1, 0, 0]


def test_classes_that_are_not_predicted_are_named_with_their_texts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = LABELS, [0, 0, 1, 0, 1, 0, 0, 0, 0], [1] * 9
    found = warnings_of(tmp_path, caplog, LABELS, first, second, third)
    assert len(found) == 2  # nothing in the first epoch, in the sanity check or twice
    assert found[0].startswith("epoch 2, step 4: never predicted: neutral (1 of 9 dev texts)")
    assert "--model.class_weights balanced" in found[0]
    assert found[1].startswith("epoch 3, step 6: the model predicts positive for all 9 dev texts")
    assert "0.3333" in found[1]


def test_a_class_without_dev_texts_is_not_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not warnings_of(tmp_path, caplog, [0, 1, 0], [0, 1, 1])
    assert not warnings_of(tmp_path, caplog, LABELS, [0] * 9, limit_val_batches=0)
    assert not warnings_of(tmp_path, caplog, LABELS, [0] * 9, fast_dev_run=True)


def test_other_validations_are_not_judged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[CollapseAlarm()], enable_progress_bar=False)
    trainer.validate(Predicts([[0] * 9]), datamodule=Data(LABELS), verbose=False)
    assert not [record for record in caplog.records if record.name == "nsmc_lightning"]


@pytest.mark.parametrize(
    ("rows", "steps", "settings", "words"),
    [
        ({"a": 50, "b": 50}, 20, {}, r"20 steps are few.*--model\.lr \(now 0\.01\)"),
        ({"a": 50, "b": 50}, 2000, {}, r"--model\.lr \(now 0\.01.*--model\.warmup_ratio \(now 0\.1\)"),
        ({"a": 50, "b": 50}, 2000, {"warmup_steps": 7}, r"--model\.warmup_steps \(now 7\)"),
        ({"a": 92, "b": 8}, 2000, {}, r"92% .*--model\.class_weights balanced"),
        ({"a": 92, "b": 8}, 2000, {"class_weights": "balanced"}, r"--model\.lr"),
        ({"a": 8, "b": 92}, 2000, {}, r"--model\.lr"),
    ],
)
def test_the_likely_cause_names_the_key_to_change(
    rows: dict[str, int], steps: int, settings: dict[str, Any], words: str
) -> None:
    assert re.search(words, likely_cause("a", rows, steps, {**SETTINGS, **settings}))
