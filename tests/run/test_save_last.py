"""last.ckpt is written between steps, or not at all."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.save_last import SaveLast


class Pending(Callback):
    """Notes whether a validation found gradients that no step had used yet."""

    found = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.found |= any(weight.grad is not None and weight.grad.any() for weight in pl_module.parameters())


class Model(BoringModel):
    def on_validation_model_zero_grad(self) -> None:
        """Lightning would clear them after a step; here the optimizer's own clearing is waited for."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        optimizer.zero_grad()


def train(folder: Path, callback: Callback, batches: int, settings: dict[str, Any]) -> None:
    Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=3,
        limit_train_batches=batches,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        accumulate_grad_batches=2,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=isinstance(callback, SaveLast),
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    ).fit(Model())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("every", "interval"), [*((1, interval) for interval in (2, 3, 4, 0.5, 1.0)), *((None, n) for n in (2, 3, 4, 5, 6))]
)
@pytest.mark.parametrize("batches", [5, 6])
def test_a_validation_within_a_step_is_refused(
    tmp_path: Path, every: int | None, interval: float, batches: int
) -> None:
    settings = {"val_check_interval": interval, "check_val_every_n_epoch": every}
    train(tmp_path, pending := Pending(), batches, settings)
    if pending.found:
        with pytest.raises(UserError, match=r"val_check_interval .*accumulate_grad_batches 2.*\n.*multiple of 2"):
            train(tmp_path, SaveLast(timedelta(hours=1)), batches, settings)
        assert not list(tmp_path.rglob("*.ckpt"))
    else:
        train(tmp_path, SaveLast(timedelta(hours=1)), batches, settings)
        assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["last.ckpt"]


def test_processes_do_not_validate_by_their_clocks() -> None:
    trainer: Any = SimpleNamespace(val_check_interval="00:00:10:00", val_check_batch=None, world_size=2)
    with pytest.raises(UserError, match="00:00:10:00 is a time"):
        SaveLast(timedelta(hours=1)).on_train_start(trainer, BoringModel())
