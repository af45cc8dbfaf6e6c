"""BertClassifierModule: an encoder, a head, a loss, and how they are trained and measured."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal, Self

import torch
from lightning.fabric.utilities.cloud_io import _load
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import encoder_limits, load_encoder
from nsmc_lightning.model.fast.dropout import use_fast_dropout
from nsmc_lightning.model.fast.linear import use_fast_linear
from nsmc_lightning.model.fast.probe import padded_inputs, probe
from nsmc_lightning.model.fast.states import first_token_states, token_states
from nsmc_lightning.model.head import ClassifierHead, mean_of_tokens, through_pooler
from nsmc_lightning.model.loss import build_loss
from nsmc_lightning.model.metrics import WeightedMean, build_metrics
from nsmc_lightning.model.optim import parameter_groups, remaining_steps, replan, resolve_warmup, warmup_schedule
from nsmc_lightning.model.step_mean import StepMean
from nsmc_lightning.model.stored import ENCODER_CONFIG, config_text, stored_backbone
from nsmc_lightning.types import Batch, EncoderLimits, Prediction

_CHOICES = {
    "pooling": ("cls", "pooler", "mean"),
    "loss": ("cross_entropy", "binary_cross_entropy"),
    "schedule": ("linear", "cosine", "constant"),
}
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "num_labels": (lambda value: value >= 2, "2 or more"),
    "dropout": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "hidden_dropout": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "attention_dropout": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "label_smoothing": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "lr": (lambda value: value > 0, "above 0"),
    "weight_decay": (lambda value: value >= 0, "0 or more"),
    "layer_decay": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "warmup_ratio": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "warmup_steps": (lambda value: value >= 0, "0 or more"),
}
_OPTIONAL = ("hidden_dropout", "attention_dropout", "warmup_steps")


class BertClassifierModule(LightningModule):
    """A BERT-family encoder with a classification head, fine-tuned as a whole.

    Args:
        backbone: hub id or folder of a pretrained encoder, or a configuration for one from scratch (model_type: …).
        num_labels: number of classes; follows from the corpus on the command line.
        pretrained: False reads the backbone's configuration only and leaves its weights random.
        pooling: cls (first token), pooler (the encoder's own), or mean (over all tokens).
        dropout: dropout before the last linear layer.
        hidden_dropout: dropout on the encoder's hidden states; None leaves it as its configuration has it.
        attention_dropout: dropout on the encoder's attention weights, likewise; 0 trains faster.
        loss: cross_entropy, or binary_cross_entropy on one sigmoid output.
        label_smoothing: share of each label that is spread over all classes.
        class_weights: weight of each class in the loss.
        lr: learning rate at the end of the warm-up.
        weight_decay: AdamW's, for all but biases and norms.
        layer_decay: factor on the learning rate from each layer to the one below.
        schedule: what follows the warm-up: linear or cosine to 0, or constant.
        warmup_ratio: share of all steps over which the learning rate rises from 0.
        warmup_steps: number of such steps, in place of warmup_ratio.

    Raises:
        UserError: a value that cannot be, or a backbone that cannot be loaded.
    """

    def __init__(
        self,
        backbone: str | dict[str, Any],
        num_labels: int = 2,
        pretrained: bool = True,
        pooling: Literal["cls", "pooler", "mean"] = "cls",
        dropout: float = 0.1,
        hidden_dropout: float | None = None,
        attention_dropout: float | None = None,
        loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy",
        label_smoothing: float = 0.0,
        class_weights: list[float] | None = None,
        lr: float = 5e-5,
        weight_decay: float = 0.01,
        layer_decay: float = 1.0,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        warmup_ratio: float = 0.1,
        warmup_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # RunRecord logs them once, with the metrics reached
        _refuse_bad_values(self.hparams)
        self.pooling = pooling
        self.loss = build_loss(loss, label_smoothing, class_weights, num_labels)
        self.encoder = load_encoder(backbone, pretrained, pooling == "pooler", hidden_dropout, attention_dropout)
        num_outputs = 1 if loss == "binary_cross_entropy" else num_labels
        self.head = ClassifierHead(self.encoder.config.hidden_size, num_outputs, dropout)
        use_fast_dropout(self.encoder)
        use_fast_linear(self.encoder)
        found = probe(self.encoder)
        self.packed_rows, self._layer_by_layer = found.packs, found.layer_by_layer
        metrics = build_metrics(num_labels)
        self.train_metrics = metrics.clone(prefix="train/")
        self.train_metrics.persistent(True)  # a run that goes on within an epoch counts on
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self.val_loss = WeightedMean()
        self.test_loss = WeightedMean()
        self._step_mean = StepMean()
        self._compiled: Callable[..., Tensor] | None = None
        self._compiled_batch_size = 0
        self._compiled_shape: tuple[int, ...] | None = None
        self.example_input_array = _example_input(self.limits)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        first_tokens: Tensor,
        packed: bool = False,
    ) -> Tensor:
        """Encodes and classifies texts, one to a row or packed in rows; a graph is traced of one to a row.

        *Shape:* as in :class:`~nsmc_lightning.types.Batch`: int64 (R, W) each, ``first_tokens`` (B,); result (B, C)
        logits, C = 1 with binary cross-entropy.
        """
        if self.pooling == "mean":
            hidden = token_states(self.encoder, input_ids, attention_mask, position_ids, packed)
            return self.head(mean_of_tokens(hidden, attention_mask, first_tokens, packed))
        states = first_token_states(
            self.encoder, input_ids, attention_mask, position_ids, first_tokens, packed, self._layer_by_layer
        )
        return self.head(through_pooler(self.encoder, states) if self.pooling == "pooler" else states)

    def compile_training(self, batch_size: int) -> None:
        """Has the forward pass of training compiled at its first packed batch of ``batch_size`` reviews, for its shape.

        Batches of another shape, the smaller one at an epoch's end above all, and evaluation run as they do without:
        compiling anew for each of them would cost more than it gives. The weights' names stay, so checkpoints load
        with and without it.
        """
        self._compiled = torch.compile(self.forward, dynamic=False)
        self._compiled_batch_size = batch_size

    def classify(self, batch: Batch) -> Tensor:
        """Logits of a batch.

        *Shape:* (B, C).
        """
        forward: Callable[..., Tensor] = self
        full = batch.packed and len(batch.rows) == self._compiled_batch_size
        if self.training and self._compiled is not None and full:
            shape = tuple(batch.input_ids.shape)
            self._compiled_shape = self._compiled_shape or shape
            forward = self._compiled if shape == self._compiled_shape else self
        return forward(batch.input_ids, batch.attention_mask, batch.position_ids, batch.first_tokens, batch.packed)

    def _step(self, batch: Batch, stage: Literal["train", "val", "test"]) -> tuple[Tensor, Tensor]:
        """What training, validation and test share: loss and probabilities, and the stage's metrics fed.

        *Shape:* loss float32 (); probabilities float32 (B, classes).
        """
        assert batch.labels is not None, "labels are missing only from prediction"
        logits = self.classify(batch)
        loss = self.loss(logits, batch.labels)
        probabilities = to_probabilities(logits)
        getattr(self, f"{stage}_metrics").update(probabilities.argmax(dim=1), batch.labels)
        if stage != "train":
            # Weighted as the loss itself is: the mean is that of all texts at once, whatever the batches and processes.
            getattr(self, f"{stage}_loss").update(loss, self.loss.total_weight(batch.labels))
        return loss, probabilities

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        loss, _ = self._step(batch, "train")
        self.log("train/loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        assert batch.labels is not None, "_step has looked at them"
        weighted = self.loss.weight is not None
        if self.trainer.accumulate_grad_batches == 1 and not (weighted and self.trainer.world_size > 1):
            return loss
        weight = self.loss.total_weight(batch.labels) if weighted else len(batch.labels)
        return self._step_mean.add(loss, weight)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Makes the gradient of several batches the mean over their texts; clipping follows."""
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self._step_mean.correct(
            parameters,
            self.trainer.accumulate_grad_batches,
            lambda weight: self.trainer.strategy.reduce(weight.clone(), reduce_op="mean"),
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """Probabilities of a batch, counted in the dev metrics."""
        _, probabilities = self._step(batch, "val")
        return Prediction(batch.rows, probabilities)

    def test_step(self, batch: Batch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """Probabilities of a batch, counted in the test metrics."""
        _, probabilities = self._step(batch, "test")
        return Prediction(batch.rows, probabilities)

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Probabilities of a batch; labels are not looked at."""
        return Prediction(batch.rows, to_probabilities(self.classify(batch)))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW (Loshchilov and Hutter 2019) with a learning rate that is warmed up and stepped with each update.

        Raises:
            UserError: training has no known end, or the encoder cannot take ``layer_decay``.
        """
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise UserError("training has no known end to plan the learning rate for: give --trainer.max_steps or "
                            "--trainer.max_epochs.")  # fmt: skip
        options = self.hparams
        groups = parameter_groups(
            self.encoder, self.head, options["lr"], options["weight_decay"], options["layer_decay"]
        )
        optimizer = torch.optim.AdamW(groups, lr=options["lr"], fused=True)
        # A fused optimizer offers to unscale the gradients of 16-mixed itself, for which Lightning would refuse to clip
        # them in every mixed precision. Declined, the trainer unscales before it clips, as for any other.
        optimizer._step_supports_amp_scaling = False
        warmup = resolve_warmup(options["warmup_ratio"], options["warmup_steps"], int(steps))
        scheduler = warmup_schedule(optimizer, options["schedule"], warmup, int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """Plans a resumed run's learning rates over all steps, those done and those to come.

        The settings may be others than those that the checkpoint's rates were planned with: more epochs, fewer batches.
        """
        self._step_mean.reset()
        if self.trainer.global_step == 0:
            return
        steps = self.trainer.global_step + remaining_steps(self.trainer)
        warmup = resolve_warmup(self.hparams["warmup_ratio"], self.hparams["warmup_steps"], steps)
        scheduler: Any = self.lr_schedulers()
        replan(scheduler, self.hparams["schedule"], warmup, steps)

    # Metrics are logged once an epoch, as objects: Lightning computes them over all processes and resets them.

    def on_train_epoch_start(self) -> None:
        """Forgets the epoch before; a run that goes on from a checkpoint of an epoch's end has its counts."""
        self.train_metrics.reset()

    def on_train_epoch_end(self) -> None:
        """Logs the metrics of the batches trained on, with dropout as it was."""
        # Lightning counts the steps of its logs apart, and miscounts where a run resumes at an epoch's end.
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.trainer.global_step
        self.log_dict(self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Logs loss and metrics of the dev part."""
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log_dict(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Logs loss and metrics of the test part."""
        self.log("test/loss", self.test_loss)
        self.log_dict(self.test_metrics)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the encoder's ``config.json``: with it the weights load where the backbone cannot be had.

        The counts of the training metrics are those of all processes.
        """
        weights = checkpoint.get("state_dict", {})
        for key in [key for key in weights if key.startswith("train_metrics.")]:
            weights[key] = self.trainer.strategy.reduce(weights[key].clone(), reduce_op="sum")
        checkpoint[ENCODER_CONFIG] = config_text(self.encoder.config)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the counts of the training metrics to the first process: they are summed over all."""
        if self._trainer is not None and self._trainer.global_rank:
            weights = checkpoint["state_dict"]
            weights |= {key: torch.zeros_like(weights[key]) for key in weights if key.startswith("train_metrics.")}

    @_restricted_classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Lightning's own, but the encoder is built from the checkpoint: the backbone it started from is not needed.

        Raises:
            UserError: it is no checkpoint of this class.
        """
        checkpoint = _load(checkpoint_path, "cpu", weights_only=weights_only)
        if not isinstance(checkpoint_path, str | Path):
            checkpoint_path.seek(0)
        arguments = {"backbone": stored_backbone(checkpoint), "pretrained": False, **kwargs}
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, weights_only, **arguments
        )

    @property
    def limits(self) -> EncoderLimits:
        """What the encoder accepts, for the data module."""
        return encoder_limits(self.encoder.config, self.packed_rows)


def to_probabilities(logits: Tensor) -> Tensor:
    """Softmax, or the two sides of a sigmoid where there is one logit, in float32.

    *Shape:* ``logits`` (B, C) of any float dtype; result float32 (B, C), or (B, 2) for C = 1.
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return torch.softmax(logits, dim=1)


def _example_input(limits: EncoderLimits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two texts of a few tokens, for TensorBoard's graph and the summary's sizes."""
    width = min(8, limits.max_length or 8)
    ids = torch.arange(2 * width).view(2, width) % limits.vocab_size
    return padded_inputs(list(ids), pad_token_id=0)


def _refuse_bad_values(values: Mapping[str, Any]) -> None:
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            raise UserError(f"model.{key} is {values[key]!r}: must be one of {', '.join(choices)}.")
    for key, (allowed, words) in _RANGES.items():
        value = values[key]
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value) or not allowed(value):
            raise UserError(f"model.{key} is {value!r}: must be {words}.")
    if values["loss"] == "binary_cross_entropy" and values["num_labels"] != 2:
        raise UserError(f"model.loss binary_cross_entropy is for 2 classes, and there are {values['num_labels']}.")
