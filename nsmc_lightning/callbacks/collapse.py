"""A warning where a classifier predicts one class for every text, or some class for none."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F

from nsmc_lightning.errors import warn
from nsmc_lightning.run.loop import is_fit_validation

_FEW_STEPS = 100
_MOST = 0.7  # share of the dev texts with which a class counts as much more frequent than the others
_SHOWN = 5  # classes named in a warning


class CollapseAlarm(Callback):
    """Warn after each validation of ``fit`` where a class of the dev part is not predicted at all.

    If one class is predicted for every text, the warning names the likely cause and the key to change. Training
    continues, as models were seen to leave a single class after two or three epochs (small encoders on the demo corpus,
    with a high learning rate or a rare class); early stopping ends a run that does not.
    """

    def __init__(self) -> None:
        self._counts: Tensor | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._counts = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count labels and predicted classes, where they are: the first row and the second of (2, classes)."""
        if is_fit_validation(trainer) and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            classes = outputs.probabilities.shape[1]
            both = torch.stack([batch.labels, outputs.probabilities.argmax(dim=1)])
            counts = F.one_hot(both, classes).sum(dim=1)
            self._counts = counts if self._counts is None else self._counts + counts

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._counts is None:
            return
        labels, predicted = trainer.strategy.reduce(self._counts, reduce_op="sum").tolist()
        names = trainer.datamodule.corpus.label_names  # type: ignore[attr-defined]
        rows = dict(zip(names, labels, strict=True))
        missing = {name: rows[name] for name, count in zip(names, predicted, strict=True) if not count and rows[name]}
        when = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
        if max(predicted) == sum(predicted):
            taken = names[predicted.index(max(predicted))]
            warn(
                f"{when}: {_all_one(taken, rows)}\n{likely_cause(taken, rows, trainer.global_step, pl_module.hparams)}"
            )
        elif missing:
            warn(f"{when}: {_never_predicted(missing, sum(labels))}")


def _all_one(taken: str, rows: Mapping[str, int]) -> str:
    total = sum(rows.values())
    return (
        f"the model predicts {taken} for all {total:,} dev texts, so that its accuracy is the share of that class, "
        f"{rows[taken] / total:.4f}."
    )


def likely_cause(taken: str, rows: Mapping[str, int], steps: int, settings: Mapping[str, Any]) -> str:
    """Return why a model may predict one class for every text, and what to change.

    Args:
        taken: the class that it predicts.
        rows: dev texts of each class, by its name.
        steps: training steps so far.
        settings: the model's: lr, warmup_ratio, warmup_steps and class_weights.
    """
    share = rows[taken] / sum(rows.values())
    if share > _MOST and settings["class_weights"] is None:
        return f"Likely cause: {share:.0%} of the texts are of that class; give --model.class_weights balanced."
    if steps < _FEW_STEPS:
        return (
            f"Likely cause: {steps} steps are few; if this lasts, train longer, or give a smaller --model.lr (now "
            f"{settings['lr']:g})."
        )
    key = "warmup_ratio" if settings["warmup_steps"] is None else "warmup_steps"
    return (
        f"Likely cause: the learning rate is too high, or its warm-up too short; give a smaller --model.lr (now "
        f"{settings['lr']:g}; 5e-5 is usual for pretrained encoders) or a larger --model.{key} (now {settings[key]:g})."
    )


def _never_predicted(missing: Mapping[str, int], total: int) -> str:
    shown = [f"{name} ({count:,} of {total:,} dev texts)" for name, count in list(missing.items())[:_SHOWN]]
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return (
        f"never predicted: {', '.join(shown)}{more}.\nIf this lasts: --model.class_weights balanced gives rare classes "
        "more weight."
    )
