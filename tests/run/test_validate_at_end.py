"""The last step of a run is validated and is in last.ckpt, however training ends."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.run.save_last import SaveLast
from nsmc_lightning.run.validate_at_end import ValidateAtEnd

pytestmark = pytest.mark.filterwarnings("ignore")


class Validated(Callback):
    """Records the step of each validation."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_epochs": 1, "check_val_every_n_epoch": 2}, [6]),
        ({"max_epochs": 3, "check_val_every_n_epoch": 2}, [12, 18]),
        ({"max_epochs": 2, "val_check_interval": 4}, [4, 10, 12]),
        ({"max_epochs": 2, "val_check_interval": 5, "check_val_every_n_epoch": None}, [5, 10, 12]),
        ({"max_epochs": 2, "val_check_interval": "00:01:00:00"}, [12]),
        ({"max_epochs": 2, "max_steps": 8}, [6, 8]),
        ({"max_epochs": 4, "max_steps": 8, "min_epochs": 3}, [6, 8]),
        ({"max_epochs": 4, "max_steps": 2, "check_val_every_n_epoch": 2}, [2]),
        ({"max_epochs": 2, "accumulate_grad_batches": 4, "check_val_every_n_epoch": 3}, [4]),
        ({"max_epochs": 2}, [6, 12]),
        ({"max_epochs": 2, "limit_val_batches": 0}, []),
    ],
)
def test_the_last_step_is_validated_and_saved(tmp_path: Path, settings: dict[str, Any], steps: list[int]) -> None:
    fitted = fit(tmp_path, settings, validated := Validated())
    assert validated.steps == steps
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == fitted.global_step
    assert fitted.check_val_every_n_epoch == settings.get("check_val_every_n_epoch", 1)


class StopAtThree(Callback):
    """Stops training at a batch's end, as Lightning's Timer does."""

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        trainer.should_stop = trainer.should_stop or trainer.global_step == 3


@pytest.mark.parametrize(("min_epochs", "steps"), [(None, [3]), (2, [12])])
def test_a_stop_at_a_batch_s_end_is_validated(tmp_path: Path, min_epochs: int | None, steps: list[int]) -> None:
    settings = {"max_epochs": 9, "check_val_every_n_epoch": 5, "min_epochs": min_epochs}
    fit(tmp_path, settings, validated := Validated(), StopAtThree())
    assert validated.steps == steps


def fit(folder: Path, settings: dict[str, Any], *callbacks: Callback) -> Trainer:
    common: dict[str, Any] = {"limit_train_batches": 6, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    ours = [*callbacks, ValidateAtEnd(), SaveLast(timedelta(hours=1))]
    trainer = Trainer(default_root_dir=folder, accelerator="cpu", callbacks=ours, **quiet, **{**common, **settings})
    trainer.fit(BoringModel())
    return trainer
