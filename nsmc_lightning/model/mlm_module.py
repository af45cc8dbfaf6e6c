"""MaskedLanguageModule: how a MaskedLanguageModel is pretrained and measured."""

from typing import Any, Literal

import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from nsmc_lightning.model.backbone import load_masked_lm
from nsmc_lightning.model.encoder_module import EncoderModule
from nsmc_lightning.model.head import ClassifierHead
from nsmc_lightning.model.metrics import WeightedMean
from nsmc_lightning.model.mlm import MaskedLanguageModel
from nsmc_lightning.model.stored import ENCODER_CONFIG, config_text
from nsmc_lightning.signature import Probability, checked_settings
from nsmc_lightning.types import NO_TARGET, MaskedBatch


# Inherits from the network instead of containing it, as BertClassifierModule does.
class MaskedLanguageModule(MaskedLanguageModel, EncoderModule):
    """A BERT-family encoder that learns to predict hidden tokens, and if asked the texts' ratings.

    Args:
        backbone: hub id or folder of a pretrained encoder, or a configuration for one from scratch (model_type: …).
        pretrained: False reads only the backbone's configuration and leaves its weights random.
        hidden_dropout: dropout on the encoder's hidden states; None for that of its configuration.
        attention_dropout: dropout on the encoder's attention weights; None for that of its configuration, 0 is fastest.
        rating_weight: weight of a second loss, that of predicting a text's rating from its first token; 0 is none.
        lr: learning rate at the end of the warm-up.
        weight_decay: AdamW's, for all parameters but biases and norms.
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
        pretrained: bool = True,
        hidden_dropout: Probability | None = None,
        attention_dropout: Probability | None = None,
        rating_weight: NonNegativeFloat = 0.0,
        lr: PositiveFloat = 3e-4,
        weight_decay: NonNegativeFloat = 0.01,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        warmup_ratio: ClosedUnitInterval = 0.05,
        warmup_steps: NonNegativeInt | None = None,
    ) -> None:
        super().__init__(*load_masked_lm(backbone, pretrained, hidden_dropout, attention_dropout))
        self.save_hyperparameters(logger=False)
        self.val_loss, self.val_accuracy, self.val_rating_loss = WeightedMean(), WeightedMean(), WeightedMean()
        if rating_weight > 0:
            self.head.rating = ClassifierHead(self.encoder.config.hidden_size, num_outputs=1, dropout=0.0)

    def training_step(self, batch: MaskedBatch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch, scaled by its share of the step's hidden tokens."""
        logits, first = self(batch)
        loss = _token_loss(logits, batch)
        self.log("train/loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        if self.hparams["rating_weight"] > 0:
            rating_loss, _ = self._rating_loss(first, batch)
            self.log("train/rating_loss", rating_loss, on_step=True, on_epoch=False)
            loss = loss + self.hparams["rating_weight"] * rating_loss
        if self.trainer.accumulate_grad_batches == 1 and self.trainer.world_size == 1:
            return loss
        return self.step_mean.add(loss, torch.tensor(float(batch.num_hidden), device=self.device))

    def validation_step(self, batch: MaskedBatch, batch_idx: int) -> None:
        """Count a batch in the dev metrics."""
        logits, first = self(batch)
        weight = torch.tensor(float(batch.num_hidden), device=self.device)
        if batch.num_hidden:
            self.val_loss.update(_token_loss(logits, batch), weight)
            right = (logits.argmax(dim=-1) == batch.targets).float().sum()
            self.val_accuracy.update(right / batch.num_hidden, weight)
        if self.hparams["rating_weight"] > 0:
            self.val_rating_loss.update(*self._rating_loss(first, batch))

    def on_validation_epoch_end(self) -> None:
        """Log loss and accuracy of the hidden tokens of the texts held out."""
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)
        if self.hparams["rating_weight"] > 0:
            self.log("val/rating_loss", self.val_rating_loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what every module adds, with the backbone's own dropouts: a resumed run is given its own again."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[ENCODER_CONFIG] = config_text(self.config)

    def _rating_loss(self, first: Tensor, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy with the ratings from 0 to 1 as soft labels, and the number of rated texts.

        *Shape:* ``first`` (B, H); results float32 ().
        """
        assert batch.ratings is not None, "refused where the corpus has none"
        rated = ~batch.ratings.isnan()
        rating: Any = self.head.rating
        logits = rating(first)[:, 0].float()
        each = nn.functional.binary_cross_entropy_with_logits(logits, batch.ratings.nan_to_num(), reduction="none")
        number = rated.float().sum()
        return (each * rated).sum() / number.clamp(min=1), number


def _token_loss(logits: Tensor, batch: MaskedBatch) -> Tensor:
    """Mean cross-entropy of the hidden tokens, in float32; 0 for a batch without any.

    *Shape:* ``logits`` (M, vocabulary); result float32 ().
    """
    total = nn.functional.cross_entropy(logits.float(), batch.targets, ignore_index=NO_TARGET, reduction="sum")
    return total / max(batch.num_hidden, 1)
