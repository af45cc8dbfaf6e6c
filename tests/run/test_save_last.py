"""When last.ckpt is written: between steps, and by all processes together."""

import multiprocessing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.errors import UserError
from nsmc_lightning.run import save_last
from nsmc_lightning.run.save_last import SaveLast


class Pending(Callback):
    """Notes whether a validation found gradients that no step had used yet."""

    found = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.found |= any(weight.grad is not None and weight.grad.any() for weight in pl_module.parameters())


class Model(BoringModel):
    def on_validation_model_zero_grad(self) -> None:
        """Leaves it to the optimizer to clear the gradients after a step."""

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


class Written(Callback):
    """Keeps the step of each checkpoint."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.filterwarnings("ignore")
def test_between_validations_a_file_is_written_when_the_interval_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_000_000, 2_000_000, 60))  # a machine that has been up for days; each reading is a minute later
    monkeypatch.setattr(save_last, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=8,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        callbacks=[written := Written(), SaveLast(timedelta(minutes=3))],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(BoringModel())
    assert written.steps == [3, 6, 8]


def _save_by_own_clock(rank: int, folder: Path, saved: Any) -> None:
    """Trains one batch as one of two processes; only the second's interval is over."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    loop = SimpleNamespace(total_batch_idx=0, batch_idx=0)
    trainer: Any = SimpleNamespace(
        world_size=2,
        val_check_interval=1.0,
        val_check_batch=10,
        check_val_every_n_epoch=1,
        num_training_batches=10,
        limit_val_batches=1,
        accumulate_grad_batches=1,
        log_every_n_steps=10,
        max_steps=-1,
        max_epochs=1,
        current_epoch=0,
        global_step=1,
        should_stop=False,
        is_last_batch=False,
        fast_dev_run=False,
        fit_loop=SimpleNamespace(epoch_loop=loop),
        save_checkpoint=lambda path: saved.put(rank),
    )
    callback = SaveLast(timedelta(days=9999) if rank == 0 else timedelta(0))
    callback.on_train_start(trainer, BoringModel())
    callback.on_train_batch_end(trainer, BoringModel(), None, None, 0)
    torch.distributed.destroy_process_group()


def test_processes_whose_clocks_differ_save_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    saved = context.Queue()
    processes = [context.Process(target=_save_by_own_clock, args=(rank, tmp_path, saved)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(saved.get(timeout=10) for _ in range(2)) == [0, 1]
