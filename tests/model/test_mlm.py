"""MaskedLanguageModel: its logits are those of the family's own model for one text at a time."""

import pytest
import torch
import transformers
from torch import Tensor

from nsmc_lightning.model.backbone import load_masked_lm
from nsmc_lightning.model.families import TESTED_FAMILIES
from nsmc_lightning.model.mlm import MaskedLanguageModel
from nsmc_lightning.types import MaskedBatch
from tests.model.conftest import small

LENGTHS = [9, 4, 13, 6]
HIDDEN = [[1, 5], [2], [3, 4, 11], [1]]  # places in each text
WIDTH = 20
MASKED = {config.model_type for config in transformers.MODEL_FOR_MASKED_LM_MAPPING}
FAMILIES = sorted(TESTED_FAMILIES & MASKED)


def texts() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randint(5, 600, (length,), generator=random) for length in LENGTHS]


def batch_of(packed: bool, pad_token_id: int) -> MaskedBatch:
    """The texts one a row, or two a row."""
    rows = [[0], [1], [2], [3]] if not packed else [[0, 1], [2, 3]]
    ids = torch.full((len(rows), WIDTH), pad_token_id)
    mask, positions = torch.zeros_like(ids), torch.zeros_like(ids)
    first, hidden = [], []
    for row, members in enumerate(rows):
        place = 0
        for number in members:
            length = LENGTHS[number]
            ids[row, place : place + length] = texts()[number]
            mask[row, place : place + length] = number + 1
            positions[row, place : place + length] = torch.arange(length)
            first.append(row * WIDTH + place)
            hidden += [row * WIDTH + place + offset for offset in HIDDEN[number]]
            place += length
    targets = torch.cat([text[places] for text, places in zip(texts(), HIDDEN, strict=True)])
    return MaskedBatch(
        rows=torch.arange(4),
        input_ids=ids,
        attention_mask=mask,
        num_tokens=sum(LENGTHS),
        position_ids=positions,
        first_tokens=torch.tensor(first),
        packed=packed,
        hidden=torch.tensor(hidden),
        targets=targets,
        num_hidden=len(targets),
        ratings=None,
    )


def build(model_type: str) -> MaskedLanguageModel:
    torch.manual_seed(0)
    keys = small(model_type)
    return MaskedLanguageModel(*load_masked_lm(keys, False, 0.0 if model_type == "bert" else None)).eval()


def one_at_a_time(model: MaskedLanguageModel) -> Tensor:
    """Logits of the family's own model, in its own attention."""
    plain = model.as_pretrained().eval()
    with torch.no_grad():
        each = [plain(input_ids=text[None]).logits[0, places] for text, places in zip(texts(), HIDDEN, strict=True)]
    return torch.cat(each)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_logits_are_those_of_the_familys_own_model(model_type: str) -> None:
    model = build(model_type)
    pad = model.encoder.config.pad_token_id or 0
    with torch.no_grad():
        expected = one_at_a_time(model)
        for packed in (False, True) if model.limits.packs_rows else (False,):
            logits, first = model(batch_of(packed, pad))
            torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-5)
            assert first.shape == (4, model.encoder.config.hidden_size)


def test_the_decoder_is_tied_to_the_embeddings_and_both_learn() -> None:
    model = build("bert")
    logits, _ = model(batch_of(True, 0))
    logits.sum().backward()
    embedding = model.encoder.get_input_embeddings().weight
    assert model.head.model.get_output_embeddings().weight is embedding
    assert embedding.grad is not None
    assert (embedding.grad.abs().sum(dim=1) > 0).all()
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len({id(parameter) for parameter in model.parameters()})


def test_the_copy_has_the_weights_of_now_and_none_of_the_fast_layers() -> None:
    model = build("bert")
    with torch.no_grad():
        model.encoder.get_input_embeddings().weight.add_(1.0)
    copy = model.as_pretrained()
    assert torch.equal(copy.get_input_embeddings().weight, model.encoder.get_input_embeddings().weight)
    assert {type(module).__module__.split(".")[0] for module in copy.modules()} <= {"torch", "transformers"}
