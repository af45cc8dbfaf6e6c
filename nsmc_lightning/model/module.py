"""BertClassifierModule: how a SequenceClassifier is trained and measured."""

from pathlib import Path
from typing import IO, Any, Literal, Self, cast

import numpy as np
import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, NonNegativeInt, PositiveFloat
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.model_helpers import _restricted_classmethod
from torch import Tensor

from nsmc_lightning.errors import UserError, report
from nsmc_lightning.evaluation.calibration import calibrating_temperature, calibration_error, reliability
from nsmc_lightning.evaluation.scores import Answers
from nsmc_lightning.model.encoder_module import EncoderModule
from nsmc_lightning.model.family_head import load_parts
from nsmc_lightning.model.fast.compiled import CompiledForward
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.loss import balanced_weights, build_loss, r_drop_loss
from nsmc_lightning.model.metrics import Logits, WeightedMean, build_metrics
from nsmc_lightning.model.network import SequenceClassifier, forward_arguments, to_probabilities, twice
from nsmc_lightning.model.stored import CLASS_WEIGHTS, TEMPERATURE, stored_backbone, stored_temperature
from nsmc_lightning.signature import Factor, NumClasses, Probability, checked_settings
from nsmc_lightning.types import Batch, CountsLabels, EncoderLimits, Prediction


# Inherits from the network instead of containing it: the names of its weights begin with encoder. and head.
class BertClassifierModule(SequenceClassifier, EncoderModule):
    """A BERT-family encoder with a classification head, fine-tuned as a whole.

    Args:
        backbone: hub id or folder of a pretrained encoder, or a configuration for one from scratch (model_type: …).
        num_labels: number of classes; follows from the corpus on the command line.
        pretrained: False reads only the backbone's configuration and leaves its weights random.
        pooling: cls (first token), pooler (the encoder's own), mean (over all tokens), or head (the classification head
            that transformers has for the encoder's family).
        dropout: dropout before the last linear layer.
        hidden_dropout: dropout on the encoder's hidden states; None for that of its configuration.
        attention_dropout: dropout on the encoder's attention weights; None for that of its configuration, 0 is fastest.
        loss: cross_entropy, or binary_cross_entropy on one sigmoid output.
        label_smoothing: share of each label that is spread over all classes.
        class_weights: weight of each class in the loss; balanced weighs all classes alike, by their training rows.
        r_drop: weight of R-Drop's divergence between two passes of each text; 0 for a single pass.
        lr: learning rate at the end of the warm-up.
        weight_decay: AdamW's, for all parameters but biases and norms.
        layer_decay: factor on the learning rate from each layer to the one below.
        schedule: learning rate after the warm-up: linear or cosine to 0, or constant.
        warmup_ratio: share of all steps over which the learning rate rises from 0.
        warmup_steps: number of such steps, instead of warmup_ratio.

    Raises:
        UserError: an invalid value, or a backbone that cannot be loaded.
    """

    @checked_settings("model")
    def __init__(
        self,
        backbone: str | dict[str, Any],
        num_labels: NumClasses = 2,
        pretrained: bool = True,
        pooling: Literal["cls", "pooler", "mean", "head"] = "cls",
        dropout: Probability = 0.1,
        hidden_dropout: Probability | None = None,
        attention_dropout: Probability | None = None,
        loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy",
        label_smoothing: Probability = 0.0,
        class_weights: list[float] | Literal["balanced"] | None = None,
        r_drop: NonNegativeFloat = 0.0,
        lr: PositiveFloat = 5e-5,
        weight_decay: NonNegativeFloat = 0.01,
        layer_decay: Factor = 1.0,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        warmup_ratio: ClosedUnitInterval = 0.1,
        warmup_steps: NonNegativeInt | None = None,
    ) -> None:
        if loss == "binary_cross_entropy" and num_labels != 2:
            raise UserError(f"model.loss binary_cross_entropy is for 2 classes, and there are {num_labels}.")
        if r_drop and dropout == hidden_dropout == attention_dropout == 0:
            raise UserError(f"model.r_drop {r_drop} compares passes with different dropout, and all dropout is 0.")
        loss_function = build_loss(loss, label_smoothing, class_weights, num_labels)
        num_outputs = 1 if loss == "binary_cross_entropy" else num_labels
        encoder, head = load_parts(
            backbone, pretrained, pooling, num_outputs, dropout, hidden_dropout, attention_dropout
        )
        super().__init__(encoder, num_outputs, pooling, dropout, head)
        self.save_hyperparameters(logger=False)  # RunRecord logs them once, with the metrics reached
        self.loss = loss_function
        metrics = build_metrics(num_labels)
        self.train_metrics = metrics.clone(prefix="train/")
        self.train_metrics.persistent(True)  # a run that resumes within an epoch continues its counts
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self.val_loss, self.test_loss = WeightedMean(), WeightedMean()
        self.val_logits = Logits()
        self._compiled: CompiledForward | None = None
        self.example_input_array = _example_input(self.limits)

    def setup(self, stage: str) -> None:
        """Prepare the encoder, and for ``fit`` balanced class weights.

        Raises:
            UserError: ``class_weights`` is balanced, and the data module does not count the training rows, or finds a
                class without any.
        """
        super().setup(stage)
        if stage == "fit" and self.hparams["class_weights"] == "balanced":
            self.loss.set_weight(_balanced_weights(getattr(self.trainer, "datamodule", None)))

    def compile_training(self, batch_size: int) -> None:
        """Compile the forward pass of training at its first packed batch of ``batch_size`` reviews, for its shape.

        Evaluation and batches of other shapes run uncompiled. Checkpoints load with and without it.
        """
        self._compiled = CompiledForward(self, batch_size * (2 if self.hparams["r_drop"] else 1))

    def classify(self, batch: Batch) -> Tensor:
        """Compute the logits of a batch.

        *Shape:* (B, C), C = 1 with binary cross-entropy.
        """
        if self.training and self._compiled is not None:
            return self._compiled(*forward_arguments(batch))
        return super().classify(batch)

    def _step(self, batch: Batch, stage: Literal["train", "val", "test"]) -> tuple[Tensor, Prediction]:
        """Compute loss and prediction of a batch, and update the stage's metrics.

        *Shape:* loss float32 ().
        """
        assert batch.labels is not None, "labels are missing only from prediction"
        if stage == "train" and (alpha := self.hparams["r_drop"]):
            logits, others = self.classify(twice(batch)).chunk(2)
            loss = r_drop_loss(self.loss, logits, others, batch.labels, alpha)
        else:
            logits = self.classify(batch)
            loss = self.loss(logits, batch.labels)
        probabilities = to_probabilities(logits, self.temperature if stage == "test" else 1.0)
        getattr(self, f"{stage}_metrics").update(probabilities.argmax(dim=1), batch.labels)
        if stage != "train":
            # With the loss's own weights, the mean is that of all texts at once, however they are split into batches.
            getattr(self, f"{stage}_loss").update(loss, self.loss.total_weight(batch.labels))
        if stage == "val":
            self.val_logits.update(batch.rows, self.loss.class_logits(logits), batch.labels)
        return loss, Prediction(batch.rows, probabilities)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch, scaled by its weight in the optimizer step."""
        loss, _ = self._step(batch, "train")
        self.log("train/loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        assert batch.labels is not None, "_step requires them"
        weighted = self.loss.weight is not None
        if self.trainer.accumulate_grad_batches == 1 and not (weighted and self.trainer.world_size > 1):
            return loss
        weight = self.loss.total_weight(batch.labels) if weighted else len(batch.labels)
        return self.step_mean.add(loss, weight)

    def validation_step(self, batch: Batch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """Predict a batch, and count it in the dev metrics."""
        return self._step(batch, "val")[1]

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:  # type: ignore[override]
        """Predict a batch; the metrics count those of the first dataloader: others have the same texts, perturbed."""
        return self.predict_step(batch, batch_idx) if dataloader_idx else self._step(batch, "test")[1]

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Predict a batch, without its labels."""
        return Prediction(batch.rows, self.probabilities(batch))

    # Metrics are logged once an epoch, as objects: Lightning computes them over all processes and resets them.

    def on_train_epoch_start(self) -> None:
        """Reset the training metrics; a run that resumes at an epoch's end has restored those of that epoch."""
        self.train_metrics.reset()

    def on_train_epoch_end(self) -> None:
        """Log the metrics of the batches as they were trained on, with dropout."""
        self.log_dict(self.train_metrics)

    def on_validation_epoch_start(self) -> None:
        """Forget the logits of a validation that was interrupted."""
        self.val_logits.reset()

    def on_validation_epoch_end(self) -> None:
        """Log loss and metrics of the dev part, and in ``fit`` calibrate on it, before a checkpoint is written."""
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log_dict(self.val_metrics)
        logits, labels = self.val_logits.compute()  # on every process: it gathers them
        self.val_logits.reset()
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self.temperature = calibrating_temperature(logits, labels)
        self.log_dict(_calibration(logits, labels, self.temperature), sync_dist=True)  # equal on all processes

    def on_test_epoch_end(self) -> None:
        """Log loss and metrics of the test part."""
        self.log("test/loss", self.test_loss)
        self.log_dict(self.test_metrics)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the temperature and balanced class weights, and sum the training metrics over all processes."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[TEMPERATURE] = self.temperature
        if self.hparams["class_weights"] == "balanced":
            checkpoint[CLASS_WEIGHTS] = cast(Tensor, self.loss.weight).tolist()
        weights = checkpoint.get("state_dict", {})
        for key in [key for key in weights if key.startswith("train_metrics.")]:
            weights[key] = self.trainer.strategy.reduce(weights[key].clone(), reduce_op="sum")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what was added; the training metrics, a sum over all processes, in the first process only."""
        super().on_load_checkpoint(checkpoint)
        self.temperature = stored_temperature(checkpoint)
        if self.hparams["class_weights"] == "balanced" and CLASS_WEIGHTS in checkpoint:
            self.loss.set_weight(checkpoint[CLASS_WEIGHTS])
        if self.global_rank > 0:
            weights = checkpoint["state_dict"]
            weights |= {key: torch.zeros_like(weights[key]) for key in weights if key.startswith("train_metrics.")}

    @_restricted_classmethod  # Lightning 2.6's own: a call on an instance, whose result is easily lost, is an error
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load as Lightning does, but build the encoder from the checkpoint, without the backbone it started from.

        Raises:
            UserError: the file is not a checkpoint of this class.
        """
        arguments = {"backbone": _read_backbone(checkpoint_path, weights_only), "pretrained": False, **kwargs}
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, weights_only, **arguments
        )


def _balanced_weights(data: object) -> list[float]:
    """Return the class weights for the training rows of a data module."""
    if not isinstance(data, CountsLabels):
        raise UserError(
            "model.class_weights balanced: needs a data module that counts the training rows.\n"
            "Give Trainer.fit datamodule=NSMCDataModule(…), or the module a list of numbers."
        )
    counts = data.label_counts()
    weights = balanced_weights(counts)
    named = (f"{name} {weight:.4g}" for name, weight in zip(counts, weights, strict=True))
    report(f"class weights: {', '.join(named)}")
    return weights


def _calibration(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Return the temperature, and the calibration error of the dev part without it and with it, by logged name."""
    before, after = (
        calibration_error(reliability(Answers(labels, to_probabilities(torch.from_numpy(logits), each).numpy())))
        for each in (1.0, temperature)
    )
    return {"val/calibration_error": before, "val/calibration_error_after": after, "val/temperature": temperature}


def _read_backbone(checkpoint: str | Path | IO[bytes], weights_only: bool | None) -> dict[str, Any]:
    """Read the stored backbone from a checkpoint's path, URL or open file."""
    if isinstance(checkpoint, str | Path):
        return stored_backbone(TorchCheckpointIO().load_checkpoint(checkpoint, weights_only=weights_only))
    content = torch.load(checkpoint, map_location="cpu", weights_only=weights_only)
    checkpoint.seek(0)
    return stored_backbone(content)


def _example_input(limits: EncoderLimits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return two short texts, for TensorBoard's graph and the sizes in the model summary."""
    width = min(8, limits.max_length or 8)
    ids = torch.arange(2 * width).view(2, width) % limits.vocab_size
    return padded_inputs(list(ids), pad_token_id=0)
