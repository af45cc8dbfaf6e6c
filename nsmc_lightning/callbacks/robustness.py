"""How much of a test's predictions survives perturbed texts: a table, a file and scalars."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nsmc_lightning.files import write_json
from nsmc_lightning.run.results import result_path

NAME = "robustness.json"


class Robustness(Callback):
    """Compare the predictions of a test with those of the same texts perturbed (``--data.perturb``).

    For each perturbation it gives the accuracy, the flip rate (the share of texts whose predicted label changes), and
    the share of texts that the perturbation changes at all: on the console, in ``robustness.json`` beside the other
    results of the checkpoint, and as scalars ``robustness/<name>_accuracy`` and ``robustness/<name>_flip_rate``.
    """

    def __init__(self) -> None:
        self._clean: list[Tensor] = []  # predicted classes of each batch
        self._counts: list[Tensor] = []  # of each dataloader: texts, correct ones, flipped ones
        self._found: dict[str, Any] = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        loaders = 1 + len(data.perturbations) if data.perturbations else 0
        self._clean, self._found = [], {}
        self._counts = [torch.zeros(3, dtype=torch.int64, device=pl_module.device) for _ in range(loaders)]

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch; the data module puts the same rows into a batch of each dataloader."""
        if not self._counts:
            return
        predicted = outputs.probabilities.argmax(dim=1)
        if dataloader_idx == 0:
            self._clean.append(predicted)
        correct, flipped = (predicted == batch.labels).sum(), (predicted != self._clean[batch_idx]).sum()
        self._counts[dataloader_idx] += torch.stack([torch.full_like(correct, len(predicted)), correct, flipped])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._counts:
            return
        counts = trainer.strategy.reduce(torch.stack(self._counts), reduce_op="sum").tolist()
        self._found = _shares(counts, trainer.datamodule)  # type: ignore[attr-defined]
        scalars = {
            f"robustness/{name}_{key}": values[key]
            for name, values in self._found["perturbations"].items()
            for key in ("accuracy", "flip_rate")
        }
        pl_module.log_dict(scalars, sync_dist=True)  # already equal on all processes
        path = result_path(trainer, NAME)  # on every process, as Lightning broadcasts the folder
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_json(path, self._found)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._found and trainer.is_global_zero:
            _print(self._found)


def _shares(counts: list[list[int]], data: Any) -> dict[str, Any]:
    """Return accuracies and flip rates.

    Args:
        counts: of the clean texts and of each perturbation: texts, correct ones, flipped ones.
        data: the data module.
    """
    (texts, correct, _), *perturbed = counts
    rows = len(data.datasets["test"])
    return {
        "texts": texts,
        "accuracy": correct / texts,
        "perturbations": {
            name: {
                "accuracy": right / texts,
                "flip_rate": flipped / texts,
                "changed": data.changed_texts[name] / rows,
            }
            for name, (_, right, flipped) in zip(data.perturbations, perturbed, strict=True)
        },
    }


def _print(found: dict[str, Any]) -> None:
    table = Table("test texts", "accuracy", "flip rate", "texts changed")
    table.add_row("as they are", f"{found['accuracy']:.4f}", "", "")
    for name, values in found["perturbations"].items():
        table.add_row(name, f"{values['accuracy']:.4f}", f"{values['flip_rate']:.4f}", f"{values['changed']:.1%}")
    Console().print(table)
