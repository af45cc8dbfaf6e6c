"""A loss that is infinite or not a number ends the run, before it reaches a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from nsmc_lightning.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_WAYS_OUT = "Try a smaller --model.lr, a larger --model.warmup_ratio, or --trainer.precision 32-true or bf16-mixed."
_UNLOGGED = 50  # batches between two checks of a run that logs no steps: Lightning's default of log_every_n_steps


class StopAtNonFinite(Callback):
    """Stop training where the loss is infinite or not a number, and write a file that names the reviews of its batch.

    A single process on a CPU checks before the backward pass, so that its weights stay finite. On another device, to
    check every batch would be to wait for it: each loss leaves a flag there, and all processes fetch the flags together
    every ``log_every_n_steps`` batches and before every checkpoint. Weights spoilt in between, or by a gradient that is
    not finite, reach no file: a checkpoint is refused unless all its weights are finite.
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0)
        self._seen: list[tuple[int, Tensor, Tensor]] = []  # step, whether its loss is not finite, rows of its batch

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._rows = batch.rows

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Flag the loss; a single process on a CPU checks it at once."""
        self._seen.append((trainer.global_step, ~loss.detach().isfinite(), self._rows))
        if trainer.world_size == 1 and loss.device.type == "cpu":
            self._check(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the flags every ``log_every_n_steps`` batches."""
        every = trainer.log_every_n_steps or _UNLOGGED  # type: ignore[attr-defined]
        if (batch_idx + 1) % every == 0:
            self._check(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check the flags and the weights.

        Raises:
            UserError: a loss or a weight is not finite.
        """
        self._check(trainer)
        if not all(bool(weight.isfinite().all()) for weight in checkpoint["state_dict"].values()):
            raise UserError(
                f"the weights are not finite at step {trainer.global_step}, although the loss was; this checkpoint is "
                f"not written. {_WAYS_OUT}"
            )

    def _check(self, trainer: Trainer) -> None:
        """Fetch the flags; all processes call this together."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        flags = torch.stack([flag for _, flag, _ in seen])
        if not trainer.strategy.reduce(flags.any().float(), reduce_op="sum"):
            return
        folder = Path(trainer.log_dir or ".")  # read on every process, as Lightning broadcasts it
        message = f"the loss is not finite in another process; see {folder}/non_finite_*.json."
        if flags.any():
            step, _, rows = seen[int(flags.int().argmax())]  # the first
            path = folder / f"non_finite_{trainer.global_rank}.json"
            _write(path, trainer.datamodule.parts.rows("train"), step, rows.tolist())  # type: ignore[attr-defined]
            message = f"the loss is not finite at step {step}; its reviews are in {path}."
        trainer.strategy.barrier()  # until every process has written its file
        raise UserError(f"{message} {_WAYS_OUT}")


def _write(path: Path, reviews: pd.DataFrame, step: int, rows: list[int]) -> None:
    ids = [str(value) for value in reviews["id"].iloc[rows]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"step": step, "part": "train", "rows": rows, "ids": ids}, ensure_ascii=False), "utf-8")
