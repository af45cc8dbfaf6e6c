"""Which parameter learns how fast, and how the learning rates change over the steps."""

import math
import re
from typing import Any, Literal

import transformers
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from nsmc_lightning.errors import UserError

_LAYER = re.compile(r"(?:layer|layers)\.(\d+)\.")  # bert, electra, roberta: layer.N; distilbert: transformer.layer.N


def parameter_groups(
    encoder: nn.Module, head: nn.Module, lr: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Sort the trainable parameters into groups of equal learning rate and weight decay.

    Biases and norms are not decayed (Devlin et al. 2019). The learning rate falls layer by layer from the top (Howard
    and Ruder 2018; Sun et al. 2019): the head and the pooler learn at ``lr``, the last of L layers at
    ``lr · layer_decay``, the first at ``lr · layer_decay ** L``, the embeddings at ``lr · layer_decay ** (L + 1)``.

    Returns:
        Groups for an optimizer, each with ``params``, ``lr``, ``weight_decay`` and a unique ``name``.

    Raises:
        UserError: ``layer_decay`` is not 1, and the names of the encoder's parameters contain no layers.
    """
    both = nn.ModuleDict({"encoder": encoder, "head": head})  # named_parameters yields a shared parameter once
    num_layers = _count_layers(both)
    if layer_decay != 1.0 and num_layers == 0:
        raise UserError(f"model.layer_decay: {type(encoder).__name__} has no numbered layers; set it to 1.0.")
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in both.named_parameters():
        if not parameter.requires_grad:
            continue
        place, depth = _place(name, num_layers)
        rate, decay = lr * layer_decay**depth, weight_decay if _is_decayed(name, parameter) else 0.0
        label = f"{place if layer_decay != 1.0 else 'all'}_{'decay' if decay else 'no_decay'}"
        new = {"params": [], "lr": rate, "weight_decay": decay, "name": label}
        groups.setdefault((rate, decay), new)["params"].append(parameter)
    return list(groups.values())


def _count_layers(module: nn.Module) -> int:
    found = (_LAYER.search(name) for name, _ in module.named_parameters())
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _place(name: str, num_layers: int) -> tuple[str, int]:
    """Return the part of the model that a parameter belongs to, and the number of parts above it."""
    layer = _LAYER.search(name)
    if layer:
        return f"layer_{layer[1]}", num_layers - int(layer[1])
    if name.startswith("encoder.") and "embedding" in name:
        return "embeddings", num_layers + 1
    return "head", 0


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    # Norms are vectors; the biases of ConvBERT and Funnel have two dimensions.
    return parameter.ndim >= 2 and not name.endswith("bias")


def resolve_warmup(warmup_ratio: float, warmup_steps: int | None, total_steps: int) -> int:
    """Return ``warmup_steps`` if given, otherwise ``warmup_ratio`` of all steps, rounded up."""
    if warmup_steps is not None:
        return warmup_steps
    return math.ceil(warmup_ratio * total_steps - 1e-6)  # 0.1 · 30 is a little more than 3 in floating point


def warmup_schedule(
    optimizer: Optimizer, schedule: Literal["linear", "cosine", "constant"], warmup_steps: int, total_steps: int
) -> LambdaLR:
    """Schedule learning rates that rise from 0 over ``warmup_steps``, then fall to 0 at ``total_steps`` or stay."""
    name = "constant_with_warmup" if schedule == "constant" else schedule
    return transformers.get_scheduler(name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=total_steps)


def replan(scheduler: LambdaLR, planned: LambdaLR) -> None:
    """Give a restored scheduler the plan of another, and the optimizer the learning rates of its current step."""
    scheduler.lr_lambdas = planned.lr_lambdas
    groups = scheduler.optimizer.param_groups
    for group, rate, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = rate * factor(scheduler.last_epoch)


def remaining_steps(trainer: Trainer) -> int:
    """Count the optimizer steps still to take, from the trainer's place in the epoch and its current settings.

    Lightning's ``estimated_stepping_batches`` counts from the start of training, as if a resumed run's earlier epochs
    had had the current number of batches and the current accumulation.
    """
    left = trainer.max_steps - trainer.global_step if trainer.max_steps != -1 else math.inf
    if trainer.max_epochs is not None and trainer.max_epochs != -1:
        epochs: Any = trainer.fit_loop.epoch_progress.current
        batches = trainer.fit_loop.epoch_loop.batch_progress
        steps_an_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        steps = steps_an_epoch * (trainer.max_epochs - epochs.processed)
        if epochs.ready > epochs.processed:  # within an epoch, or at its end
            done = batches.current.ready // trainer.accumulate_grad_batches
            steps -= steps_an_epoch if batches.is_last_batch else min(done, steps_an_epoch)
        left = min(left, steps)
    return max(0, int(left))
