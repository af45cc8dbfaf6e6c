"""MaskedLanguageModule: its losses, against scikit-learn, and batches without hidden tokens or ratings."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from sklearn.metrics import log_loss

from nsmc_lightning.model.mlm_module import MaskedLanguageModule
from nsmc_lightning.types import NO_TARGET, MaskedBatch
from tests.conftest import SMALL
from tests.model.test_mlm import batch_of


def build(rating_weight: float = 0.0) -> MaskedLanguageModule:
    torch.manual_seed(0)
    module = MaskedLanguageModule(SMALL, False, rating_weight=rating_weight, hidden_dropout=0.0)
    module.trainer = Trainer(logger=False, enable_checkpointing=False)
    module.log = lambda *args, **options: None  # type: ignore[assignment, method-assign]
    return module


def without_hidden_tokens() -> MaskedBatch:
    nothing = torch.zeros(0, dtype=torch.int64)
    return batch_of(True, 0)._replace(hidden=nothing, targets=nothing, num_hidden=0)


def test_losses_and_accuracy_are_those_of_scikit_learn() -> None:
    module, batch = build(rating_weight=0.5), batch_of(True, 0)
    batch = batch._replace(ratings=torch.tensor([0.0, float("nan"), 1.0, 0.25]))
    with torch.no_grad():
        module.eval()
        logits, first = module(batch)
        rating = torch.sigmoid(module.head.rating(first)[:, 0]).numpy()
        loss = module.training_step(batch, 0)
    token_loss = log_loss(batch.targets.numpy(), logits.softmax(-1).numpy(), labels=np.arange(600))
    rated = [0, 2, 3]
    soft = np.array([0.0, 1.0, 0.25])
    each = -(soft * np.log(rating[rated]) + (1 - soft) * np.log(1 - rating[rated]))
    assert float(loss) == pytest.approx(token_loss + 0.5 * each.mean(), rel=1e-5)
    module.validation_step(batch, 0)
    assert float(module.val_loss.compute()) == pytest.approx(token_loss, rel=1e-5)
    right = (logits.argmax(-1) == batch.targets).float().mean()
    assert float(module.val_accuracy.compute()) == pytest.approx(float(right))
    assert float(module.val_rating_loss.compute()) == pytest.approx(each.mean(), rel=1e-5)


def test_a_batch_without_hidden_tokens_or_ratings_has_no_loss() -> None:
    module = build(rating_weight=1.0)
    batch = without_hidden_tokens()._replace(ratings=torch.full((4,), float("nan")))
    loss = module.training_step(batch, 0)
    loss.backward()
    assert loss == 0
    module.validation_step(batch, 0)
    module.validation_step(batch_of(False, 0)._replace(ratings=torch.full((4,), float("nan"))), 0)
    assert module.val_loss.compute().isfinite()


def test_filled_up_places_count_for_nothing() -> None:
    batch = batch_of(True, 0)
    filled = batch._replace(
        hidden=torch.cat([batch.hidden, torch.zeros(9, dtype=torch.int64)]),
        targets=torch.cat([batch.targets, torch.full((9,), NO_TARGET)]),
    )
    losses, gradients = [], []
    for each in (batch, filled):
        module = build()
        losses.append(module.training_step(each, 0))
        losses[-1].backward()
        gradients.append(module.encoder.get_input_embeddings().weight.grad)
        module.validation_step(each, 0)
        losses += [module.val_loss.compute(), module.val_accuracy.compute()]
    assert [float(loss) for loss in losses[:3]] == pytest.approx([float(loss) for loss in losses[3:]], rel=1e-6)
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-5)
