"""The speed of each stage in reviews and tokens, and as a share of the device's speed."""

import math
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from nsmc_lightning.model.fast.linear import FastLinear, has_onednn
from nsmc_lightning.types import Batch

RATES = ("reviews_per_second", "tokens_per_second", "wasted_tokens", "mfu")

# Families whose operations forward_flops was found to count; others multiply more, or less, than weights by tokens.
KNOWN_FAMILIES = frozenset(
    {"bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie", "megatron-bert", "roberta",
     "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"}
)  # fmt: skip

_SHORTEST_SECONDS = 1.0  # a shorter stage measures its own start rather than the device
_BURSTS = 3
_BURST_SECONDS = 0.1
_SIDE_ON_CPU = 1024  # of the matrices: large enough for full speed, small enough for several products in a burst
_SIDE_ON_ACCELERATOR = 8192


class Throughput(Callback):
    """Log the speed of training, validation, test and prediction, once an epoch and over all processes.

    * ``<stage>/reviews_per_second``.
    * ``<stage>/tokens_per_second``: tokens of the reviews, without padding.
    * ``<stage>/wasted_tokens``: share of padding among the computed tokens.
    * ``<stage>/mfu``: model FLOP utilisation (Chowdhery et al. 2022, PaLM, appendix B): the operations that the model
      needs for the reviews' tokens (:func:`forward_flops`) as a share of what the device computes in matrix products
      alone (:func:`matmul_peak`). Computing padding, or anything twice, lowers it. Not logged for families whose
      operations are not known, for stages of less than a second, and where it exceeds 1, as the device was then slower
      while its peak was measured.

    A stage lasts from the start of an epoch to the end of its last batch, loading of batches included; training does
    not include the validations within the epoch. No step waits for the device: batches know their counts.

    Attributes:
        rates: the values last logged for each stage, by name.
    """

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}
        self._meters: dict[str, Meter] = {}

    def _start(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        _peak(trainer, pl_module)  # measured before the clock runs
        self._meters[stage] = Meter(pl_module.device)
        self._meters[stage].run()

    def _stop(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> dict[str, float]:
        """Return the stage's rates over all processes, by name."""
        meter = self._meters.pop(stage)
        meter.pause()
        flops = forward_flops(pl_module.encoder, meter.tokens, meter.pairs) * (3 if stage == "train" else 1)
        totals = [meter.reviews, meter.tokens, meter.slots, meter.seconds, flops, _peak(trainer, pl_module)]
        if trainer.world_size > 1:
            own = torch.tensor(totals, dtype=torch.float64, device=pl_module.device)
            totals = trainer.strategy.reduce(own, reduce_op="sum").tolist()
        rates = {f"{stage}/{name}": rate for name, rate in _rates(totals, trainer.world_size).items()}
        self.rates |= rates
        return rates

    def _log(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        rates = self._stop(trainer, pl_module, stage)
        pl_module.log_dict(rates, on_step=False, on_epoch=True, sync_dist=True)  # already equal on all processes

    # Training: validations within an epoch pause its clock, until the next batch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, also of a run that resumes within an epoch and so has no start of one."""
        self._start(trainer, pl_module, "train")

    on_train_epoch_start = on_train_start

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restart the clock after a validation and its checkpoint."""
        self._meters["train"].run()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._meters["train"].count(batch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if "train" in self._meters:
            self._meters["train"].pause()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the rates of training; a run that resumes at an epoch's last batch has none."""
        if self._meters["train"].reviews:
            self._log(trainer, pl_module, "train")

    # Validation, test and prediction

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, pl_module, _stage(trainer))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._meters[_stage(trainer)].count(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(trainer, pl_module, _stage(trainer))

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the rates to the loggers, as Lightning logs nothing in prediction."""
        rates = self._stop(trainer, pl_module, "predict")
        for logger in trainer.loggers:
            logger.log_metrics(rates, step=trainer.global_step)
            logger.save()


def _stage(trainer: Trainer) -> str:
    """Return train, val, test or predict; a sanity check is val too."""
    assert trainer.state.stage is not None, "hooks are called while the trainer runs"
    return str(trainer.state.stage.dataloader_prefix)


def _peak(trainer: Trainer, pl_module: LightningModule) -> float:
    return matmul_peak(pl_module.device, compute_dtype(str(trainer.precision), pl_module.device))


class Meter:
    """Counts of batches, and the seconds while a clock runs.

    Args:
        device: waited for when the clock starts or stops, and not in between.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reviews = 0
        self.tokens = 0
        self.slots = 0
        self.pairs = 0.0  # of each token and a token that it attends to
        self.seconds = 0.0
        self._started: float | None = None

    def run(self) -> None:
        """Start the clock unless it runs."""
        if self._started is None:
            _wait_for(self.device)
            self._started = time.perf_counter()

    def pause(self) -> None:
        """Stop the clock if it runs."""
        if self._started is not None:
            _wait_for(self.device)
            self.seconds += time.perf_counter() - self._started
            self._started = None

    def count(self, batch: Batch) -> None:
        """Add a batch; attention is counted as if its reviews were equally long, which is slightly too low."""
        reviews = len(batch.rows)
        self.reviews += reviews
        self.tokens += batch.num_tokens
        self.slots += batch.input_ids.numel()
        self.pairs += batch.num_tokens**2 / reviews


def _rates(totals: Sequence[float], processes: int) -> dict[str, float]:
    """Return rates from sums over all processes: reviews, tokens, slots, seconds, operations, operations a second."""
    reviews, tokens, slots, seconds, flops, peak = totals
    elapsed = max(seconds / processes, 1e-9)
    mfu = flops / elapsed / peak
    rates = dict(zip(RATES, (reviews / elapsed, tokens / elapsed, 1 - tokens / max(slots, 1), mfu), strict=True))
    if not 0 < mfu <= 1 or elapsed < _SHORTEST_SECONDS:
        del rates["mfu"]
    return rates


# Operations


def forward_flops(encoder: Any, tokens: int, pairs: float) -> float:
    """Return the floating-point operations of an encoder's forward pass; a backward pass takes twice as many more.

    2 for each weight of a linear layer and each token (Kaplan et al. 2020, section 2.1, without embeddings, which are
    looked up), and 4 · layers · width for each pair of a token and one that it attends to (Chowdhery et al. 2022,
    appendix B, whose 6 N + 12 L H Q T is for training). Pooler and head, one token a review, are not counted.

    Args:
        encoder: a transformers encoder.
        tokens: number of tokens.
        pairs: sum over all tokens of the number of tokens that each attends to.

    Returns:
        The number; 0 for an encoder of another family than :data:`KNOWN_FAMILIES`.
    """
    config = encoder.config
    if config.model_type not in KNOWN_FAMILIES:
        return 0.0
    linear = [m for name, m in encoder.named_modules() if isinstance(m, nn.Linear) and "pooler" not in name]
    weights = sum(module.in_features * module.out_features for module in linear)
    return 2.0 * weights * tokens + 4.0 * config.num_hidden_layers * config.hidden_size * pairs


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype in which matrix products are computed under a trainer's precision."""
    if precision.startswith("16") and device.type != "cpu":
        return torch.float16
    if precision.startswith(("bf16", "16", "transformer-engine")):  # Lightning turns 16-mixed into bf16 on a CPU
        return torch.bfloat16
    return torch.float64 if precision.startswith("64") else torch.float32


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the operations a second of large square matrix products: the best of bursts of a tenth of a second.

    A data sheet's number would be of other clocks, and of all cores where a process may have two. Each library that
    may compute the encoder's linear layers is tried.
    """
    side = _SIDE_ON_CPU if device.type == "cpu" else _SIDE_ON_ACCELERATOR
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        values = torch.randn(side, side, device=device).to(dtype)
        multiply = FastLinear(side, side, bias=False, device=device, dtype=dtype)
        fastest = math.inf
        for multiply.onednn in (False, True) if has_onednn() and device.type == "cpu" else (False,):
            _time_products(multiply, values, 1)  # the first loads kernels and fills caches
            repeats = max(1, math.ceil(_BURST_SECONDS / _time_products(multiply, values, 1)))
            fastest = min(fastest, *(_time_products(multiply, values, repeats) / repeats for _ in range(_BURSTS)))
    return 2.0 * side**3 / fastest


def _time_products(multiply: nn.Linear, values: torch.Tensor, repeats: int) -> float:
    _wait_for(values.device)
    start = time.perf_counter()
    for _ in range(repeats):
        multiply(values)
    _wait_for(values.device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
