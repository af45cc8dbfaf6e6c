"""Packed texts against the same texts one at a time: states, logits, gradients."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from nsmc_lightning.model.hidden import token_states
from nsmc_lightning.model.module import BertClassifierModule

LENGTHS = [3, 9, 1, 12, 6, 5]
# In rows of 16: text by text its row and its first slot there.
PLACES = [(0, 0), (1, 3), (1, 2), (2, 0), (0, 3), (0, 9)]
NO_DROPOUT = {"dropout": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture
def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2, 50, (length,), generator=generator) for length in LENGTHS]


def packed(texts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, mask, positions and first tokens of the texts in three rows of 16; what is left is padding."""
    ids, mask, positions = (torch.zeros(3, 16, dtype=torch.int64) for _ in range(3))
    for number, (text, (row, start)) in enumerate(zip(texts, PLACES, strict=True), start=1):
        place = slice(start, start + len(text))
        assert not mask[row, place].any()
        ids[row, place], mask[row, place] = text, number
        positions[row, place] = torch.arange(len(text))
    return ids, mask, positions, torch.tensor([row * 16 + start for row, start in PLACES])


def alone(module: BertClassifierModule, texts: list[Tensor]) -> Tensor:
    """Logits by transformers' own forward, a text at a time."""
    logits = []
    for text in texts:
        output = module.encoder(input_ids=text[None], attention_mask=torch.ones_like(text[None]))
        pooling = module.hparams["pooling"]
        vectors = {"cls": output.last_hidden_state[:, 0], "mean": output.last_hidden_state.mean(dim=1)}
        logits.append(module.head.linear(output.pooler_output if pooling == "pooler" else vectors[pooling]))
    return torch.cat(logits)


def gradients(module: BertClassifierModule, logits: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 2).backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_packed_logits_and_gradients_are_those_of_each_text_alone(
    family: dict[str, Any], pooling: Literal["cls", "mean", "pooler"], texts: list[Tensor]
) -> None:
    if pooling == "pooler" and family["model_type"] in ("distilbert", "electra"):
        pytest.skip("has no pooler")
    torch.manual_seed(0)
    module = BertClassifierModule(family, pooling=pooling, **NO_DROPOUT)
    with torch.no_grad():  # as far apart as trained weights are: new ones are all but zero
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    assert module.packed_rows
    expected = alone(module, texts)
    found = module(*packed(texts))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = gradients(module, found), gradients(module, alone(module, texts))
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def test_padded_logits_are_those_of_each_text_alone(family: dict[str, Any], texts: list[Tensor]) -> None:
    module = BertClassifierModule(family, **NO_DROPOUT)
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    torch.testing.assert_close(module(ids, mask), alone(module, texts), atol=1e-5, rtol=1e-5)


def test_packed_logits_of_a_real_encoder(shared: Path) -> None:
    module = BertClassifierModule(str(shared / "models" / "e5-small-ko"), **NO_DROPOUT)
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(5, 10_000, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        torch.testing.assert_close(module(*packed(texts)), alone(module, texts), atol=1e-5, rtol=1e-5)


class Counter:
    """Counts the vectors that a module is called with."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.vectors = 0
        module.register_forward_pre_hook(self.count)

    def count(self, module: torch.nn.Module, args: tuple[Tensor, ...]) -> None:
        self.vectors += args[0].shape[:-1].numel()


def last_layer(encoder: PreTrainedModel) -> torch.nn.Module:
    layers: Any = encoder.encoder
    return layers.layer[-1]


def test_the_last_feed_forward_is_computed_at_first_tokens_only(bert: dict[str, Any], texts: list[Tensor]) -> None:
    module = BertClassifierModule(bert, **NO_DROPOUT)
    counter = Counter(last_layer(module.encoder).intermediate)  # type: ignore[arg-type]
    module(*packed(texts))
    assert counter.vectors == len(texts)
    token_states(module.encoder, *packed(texts)[:3])
    assert counter.vectors == len(texts) + 3 * 16
