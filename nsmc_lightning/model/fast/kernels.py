"""The implementations of an encoder's operations on a CPU, chosen by what is faster on this processor."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import torch

from nsmc_lightning.files import default_cache_dir, whole_file
from nsmc_lightning.model.families import ATTENTION_DROPOUT
from nsmc_lightning.model.fast.attention import uses_short_texts
from nsmc_lightning.model.fast.linear import FastLinear, has_onednn
from nsmc_lightning.model.fast.states import has_known_layers
from nsmc_lightning.model.fast.timing import AttentionSpeed, layer_speed, linear_speed

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

KERNELS = "kernels"  # the checkpoint's key
_FASTER = 1.15  # by how much another implementation than torch's default must be faster


@dataclass(frozen=True)
class Kernels:
    """Which implementation computes an operation of an encoder; by default torch's own.

    Args:
        dtype: of the operations: float32 or bfloat16.
        linear: library that multiplies float32 matrices in linear layers: MKL or oneDNN.
        packed: length in tokens of the longest text in packed rows for which our attention is used; 0 for none.
        padded: the same for training on padded rows.
        evaluation: the same for evaluation, whose rows are padded.
    """

    dtype: str = "float32"
    linear: Literal["mkl", "onednn"] = "mkl"
    packed: int = 0
    padded: int = 0
    evaluation: int = 0

    def __str__(self) -> str:
        names = ("packed", "padded", "evaluation")
        lengths = [f"{name} texts up to {getattr(self, name)}" for name in names if getattr(self, name)]
        attention = f"by groups of like length for {', '.join(lengths)} tokens" if lengths else "torch's"
        linear = f"linear layers by {self.linear}, " if self.dtype == "float32" else ""
        return f"{self.dtype} on this CPU: {linear}attention {attention}"


OURS = Kernels(linear="onednn", packed=sys.maxsize, padded=sys.maxsize, evaluation=sys.maxsize)
"""Our implementations wherever there is one."""


def use_kernels(encoder: PreTrainedModel, kernels: Kernels) -> None:
    """Make an encoder compute with ``kernels``."""
    target: Any = encoder
    target.kernels = kernels
    for module in encoder.modules():
        if isinstance(module, FastLinear):
            module.onednn = kernels.linear == "onednn" and has_onednn()


def stored_kernels(checkpoint: Mapping[str, Any], dtype: str) -> Kernels | None:
    """Return the kernels that a checkpoint was trained with; None if that was in another dtype or not on a CPU."""
    stored = checkpoint.get(KERNELS)
    return Kernels(**stored) if stored is not None and stored["dtype"] == dtype else None


def choose_kernels(encoder: PreTrainedModel, dtype: torch.dtype) -> Kernels:
    """Return the faster kernels for an encoder on this processor, measured once and then read from the user's cache.

    Args:
        encoder: its shape, dropout and kind of attention decide.
        dtype: of the operations: float32 or bfloat16.
    """
    # The names of the fields: a cache written by another version may have others.
    key = {"dtype": str(dtype), "fields": [field.name for field in fields(Kernels)], **_shape(encoder)}
    return Kernels(**measured_once(key, lambda: asdict(_measured(encoder, dtype))))


def bfloat16_speed(encoder: PreTrainedModel) -> float:
    """Return how many times as fast bf16-mixed is as float32 in training a layer of an encoder on this processor.

    Measured once, with the kernels that are faster in each, and then read from the user's cache; 1 for an encoder whose
    layers are not known to :func:`~nsmc_lightning.model.fast.states.has_known_layers`.
    """
    if not has_known_layers(encoder):
        return 1.0
    before: Any = encoder.kernels
    kernels = {dtype: choose_kernels(encoder, dtype) for dtype in (torch.float32, torch.bfloat16)}

    def measure() -> dict[str, float]:
        try:
            return {"bfloat16_speed": layer_speed(encoder, lambda dtype: use_kernels(encoder, kernels[dtype]))}
        finally:
            use_kernels(encoder, before)

    return measured_once({"kernels": str(kernels), **_shape(encoder)}, measure)["bfloat16_speed"]


def measured_once(key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``measure`` found on this processor, now or when the user's cache was written.

    Args:
        key: what was measured.
        measure: returns plain types; torch's random state is as before afterwards.
    """
    key = {**key, "cpu": _capabilities(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    name = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = default_cache_dir() / "kernels" / f"{name}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # missing or broken
        return json.loads(path.read_text(encoding="utf-8"))["found"]
    with torch.random.fork_rng(devices=[]):
        found = measure()
    with suppress(OSError), whole_file(path) as partial:  # a cache that cannot be written costs a second each time
        partial.write_text(json.dumps({"key": key, "found": found}, indent=2) + "\n", encoding="utf-8")
    return found


def _capabilities() -> dict[str, Any]:
    # Not in all versions of torch before 2.13.
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {"name": platform.processor()}
    return dict(found)


def _shape(encoder: PreTrainedModel) -> dict[str, Any]:
    """Return what decides about the speed of an encoder's kernels."""
    config = encoder.config
    return {
        "hidden_size": config.hidden_size,
        "heads": getattr(config, "num_attention_heads", None),
        "short_texts": uses_short_texts(encoder),
        "dropout": _attention_dropout(config) > 0,
    }


def _attention_dropout(config: PretrainedConfig) -> float:
    for name in ATTENTION_DROPOUT:
        if hasattr(config, name):
            return float(getattr(config, name))
    return 0.0


def _measured(encoder: PreTrainedModel, dtype: torch.dtype) -> Kernels:
    name, config = str(dtype).removeprefix("torch."), encoder.config
    onednn = dtype == torch.float32 and linear_speed(config.hidden_size) >= _FASTER
    linear: Literal["mkl", "onednn"] = "onednn" if onednn else "mkl"
    if not uses_short_texts(encoder):
        return Kernels(name, linear)
    heads = config.num_attention_heads
    attention = AttentionSpeed(heads, config.hidden_size // heads, dtype, _attention_dropout(config))
    return Kernels(
        name,
        linear,
        packed=attention.longest_faster(_FASTER, packed=True, training=True),
        padded=attention.longest_faster(_FASTER, packed=False, training=True),
        evaluation=attention.longest_faster(_FASTER, packed=False, training=False),
    )
