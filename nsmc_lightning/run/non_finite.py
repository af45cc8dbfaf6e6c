"""A loss that is no number ends the run, before it reaches a checkpoint."""

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
_UNLOGGED = 50  # batches between two looks where nothing is logged: Lightning's default of log_every_n_steps


class StopAtNonFinite(Callback):
    """Stops training where the loss is infinite or not a number, and writes down which reviews it was computed on.

    One process on a CPU looks before the backward pass: its weights are never spoilt. A device would have to be
    waited for, so there each loss leaves a flag on it, and the flags are fetched every ``log_every_n_steps`` batches
    and ahead of every checkpoint, in all processes together. Weights spoilt in between are in no file, also where the
    loss was finite and a gradient was not: a checkpoint is refused unless all its weights are finite.
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0)
        self._seen: list[tuple[int, Tensor, Tensor]] = []  # step, whether its loss is not finite, rows of its batch

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keeps the batch's rows."""
        self._rows = batch.rows

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Flags the loss."""
        self._seen.append((trainer.global_step, ~loss.detach().isfinite(), self._rows))
        if trainer.world_size == 1 and loss.device.type == "cpu":
            self._look(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks, once in a while."""
        every = trainer.log_every_n_steps or _UNLOGGED  # type: ignore[attr-defined]
        if (batch_idx + 1) % every == 0:
            self._look(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks a last time, for a run that keeps no checkpoints."""
        self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Looks, and refuses weights that are not finite.

        Raises:
            UserError: there is such a loss or weight.
        """
        self._look(trainer)
        if not all(bool(weight.isfinite().all()) for weight in checkpoint["state_dict"].values()):
            raise UserError(
                f"the weights are not finite at step {trainer.global_step}, after a loss that was; this checkpoint is "
                f"not written. {_WAYS_OUT}"
            )

    def _look(self, trainer: Trainer) -> None:
        """Fetches the flags; called by all processes or by none."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        flags = torch.stack([flag for _, flag, _ in seen])
        if not trainer.strategy.reduce(flags.any().float(), reduce_op="sum"):
            return
        folder = Path(trainer.log_dir or ".")  # asked on every process: Lightning broadcasts it
        said = f"the loss is not finite in another process; see {folder}/non_finite_*.json."
        for (step, _, rows), flag in zip(seen, flags.tolist(), strict=True):
            if flag:
                path = folder / f"non_finite_{trainer.global_rank}.json"
                _write(path, trainer.datamodule.parts.rows("train"), step, rows.tolist())  # type: ignore[attr-defined]
                said = f"the loss is not finite at step {step}; its reviews are in {path}."
                break
        trainer.strategy.barrier()  # until every process has written its file
        raise UserError(f"{said} {_WAYS_OUT}")


def _write(path: Path, reviews: pd.DataFrame, step: int, rows: list[int]) -> None:
    ids = [str(value) for value in reviews["id"].iloc[rows]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"step": step, "part": "train", "rows": rows, "ids": ids}, ensure_ascii=False), "utf-8")
