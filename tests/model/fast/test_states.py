"""Packed texts against the same texts one at a time: states, logits, gradients."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES, model_type_to_module_name
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.families import PADDED_POSITIONS, TESTED_FAMILIES, encoder_limits
from nsmc_lightning.model.fast.kernels import OURS, Kernels, use_kernels
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.fast.states import token_states
from nsmc_lightning.model.network import SequenceClassifier
from tests.conftest import SIZES
from tests.model.conftest import build_network, small

LENGTHS = [3, 9, 1, 12, 6, 5]
# Row and first slot of each text, in rows of 16.
PLACES = [(0, 0), (1, 3), (1, 2), (2, 0), (0, 3), (0, 9)]
ROBERTA = {"model_type": "roberta", **SIZES}


@pytest.fixture
def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2, 50, (length,), generator=generator) for length in LENGTHS]


def packed(texts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, mask, positions and first tokens of the texts in three rows of 16, padded."""
    ids, mask, positions = (torch.zeros(3, 16, dtype=torch.int64) for _ in range(3))
    for number, (text, (row, start)) in enumerate(zip(texts, PLACES, strict=True), start=1):
        place = slice(start, start + len(text))
        assert not mask[row, place].any()
        ids[row, place], mask[row, place] = text, number
        positions[row, place] = torch.arange(len(text))
    return ids, mask, positions, torch.tensor([row * 16 + start for row, start in PLACES])


def alone(module: SequenceClassifier, texts: list[Tensor]) -> Tensor:
    """Logits by transformers' own forward, one text at a time."""
    logits = []
    for text in texts:
        output = module.encoder(input_ids=text[None], attention_mask=torch.ones_like(text[None]))
        pooling = module.pooling
        vectors = {"cls": output.last_hidden_state[:, 0], "mean": output.last_hidden_state.mean(dim=1)}
        logits.append(module.head.linear(output.pooler_output if pooling == "pooler" else vectors[pooling]))
    return torch.cat(logits)


def gradients(module: SequenceClassifier, logits: Tensor) -> dict[str, Tensor]:
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
    module = build_network(family, pooling)
    with torch.no_grad():  # new weights are close to zero
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    assert module.limits.packs_rows
    expected = alone(module, texts)
    found = module(*packed(texts), packed=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = gradients(module, found), gradients(module, alone(module, texts))
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def long_rows(seed: int, longest: int) -> tuple[list[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Texts of up to ``longest`` tokens in a row that is wider than that, and none of them at its start."""
    generator = torch.Generator().manual_seed(seed)
    texts = [torch.randint(2, 600, (min(n, longest),), generator=generator) for n in (100, 3, 17, 128, 1, 41)]
    ids, numbers, positions = (torch.zeros(2, 300, dtype=torch.int64) for _ in range(3))
    starts = []
    for number, text in enumerate(texts, start=1):
        row, start = number % 2, 2 + int((numbers[number % 2] > 0).sum())
        ids[row, start : start + len(text)], numbers[row, start : start + len(text)] = text, number
        positions[row, start : start + len(text)] = torch.arange(len(text))
        starts.append(row * 300 + start)
    return texts, (ids, numbers, positions, torch.tensor(starts))


VARIANTS = [
    *(small(family) for family in sorted(TESTED_FAMILIES) if family in CONFIG_MAPPING_NAMES),
    small("deberta-v2", position_biased_input=True, share_att_key=False, norm_rel_ebd="none"),
    small("deberta-v2", position_buckets=-1, max_relative_positions=6),
    small("modernbert", layer_types=["sliding_attention"] * 2),
    small("modernbert", layer_types=["full_attention"] * 2),
    small("modernbert", local_attention=2),
    small("modernbert", local_attention=300),
]


@pytest.mark.parametrize("kernels", [Kernels(), OURS], ids=["torch", "ours"])
@pytest.mark.parametrize("keys", VARIANTS, ids=lambda keys: keys["model_type"])
def test_texts_beyond_windows_in_rows_beyond_position_tables_are_those_of_each_text_alone(
    keys: dict[str, Any], kernels: Kernels
) -> None:
    torch.manual_seed(0)
    module = SequenceClassifier(load_encoder(keys, False, need_pooler=False), num_outputs=2, pooling="cls").eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    assert module.limits.packs_rows
    use_kernels(module.encoder, kernels)
    texts, row = long_rows(0, module.limits.max_length or 128)
    expected, found = alone(module, texts), module(*row, packed=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = gradients(module, found), gradients(module, expected)
    assert ours.keys() == theirs.keys()
    largest = max(gradient.norm() for gradient in theirs.values())
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-5 * largest, name


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("model_type", ["gte", "modernbert", "deberta-v2", "mpnet"])
def test_bfloat16_is_close_to_float32(model_type: str, packs: bool, texts: list[Tensor]) -> None:
    if model_type not in CONFIG_MAPPING_NAMES:
        pytest.skip("not in this version of transformers")
    module = SequenceClassifier(load_encoder(small(model_type), False, False), num_outputs=2, pooling="cls").eval()
    use_kernels(module.encoder, OURS)
    inputs = packed(texts) if packs else padded_inputs(texts, 0)
    expected = module(*inputs, packed=packs)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(*inputs, packed=packs)
    torch.testing.assert_close(found.float(), expected, atol=0.02 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padded_logits_are_those_of_each_text_alone(
    family: dict[str, Any], pooling: Literal["cls", "mean"], texts: list[Tensor]
) -> None:
    module = build_network(family, pooling)
    found = module(*padded_inputs(texts, 0))
    torch.testing.assert_close(found, alone(module, texts), atol=1e-5, rtol=1e-5)


def test_what_a_configuration_calls_padding_may_be_a_token() -> None:
    # Such as [UNK], 1 in a vocabulary that pads with 0: RoBERTa's own counting of positions skips it.
    keys = {**ROBERTA, "pad_token_id": 1}
    texts = [torch.tensor(ids) for ids in ([2, 1, 7, 1, 9, 3], [1, 8, 3], [2, 30, 1, 1, 5, 6, 9, 3])]
    generator = torch.Generator().manual_seed(0)
    for pooling in ("cls", "mean"):
        module = build_network(keys, pooling)  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        ids, numbers, positions, _ = padded_inputs(texts, 0)
        full = numbers > 0
        row = (ids[full][None], numbers[full][None], positions[full][None], torch.tensor([0, 6, 9]))
        torch.testing.assert_close(module(*padded_inputs(texts, 0)), module(*row, packed=True), atol=1e-5, rtol=1e-5)


def test_families_that_count_positions_by_ids_are_all_known() -> None:
    models = Path(transformers.__file__).parent / "models"
    found = set()
    for family in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        files = (models / model_type_to_module_name(family)).glob("modeling_*.py")
        if any("create_position_ids_from_input_ids" in file.read_text(encoding="utf-8") for file in files):
            found.add(family)
    assert found == PADDED_POSITIONS


@pytest.mark.parametrize("pad_token_id", [0, 1, 4])
@pytest.mark.parametrize("kind", sorted(PADDED_POSITIONS))
def test_positions_are_those_that_the_encoder_counts(kind: str, pad_token_id: int) -> None:
    special = {"attention_window": 4, "entity_vocab_size": 10, "entity_emb_size": 16, "default_language": "en_XX"}
    keys = {**ROBERTA, **special, "model_type": kind, "pad_token_id": pad_token_id}
    default = AutoConfig.for_model(kind)
    known = {key: value for key, value in keys.items() if hasattr(default, key)}
    encoder = load_encoder(known, pretrained=False, need_pooler=False).eval()
    texts = [torch.arange(5, 5 + length) for length in (3, encoder_limits(encoder.config).max_length or 0)]
    pad = 1 if kind == "mpnet" else pad_token_id
    with torch.no_grad():
        expected = [encoder(input_ids=text[None]).last_hidden_state[0] for text in texts]
        ids, numbers, positions, _ = padded_inputs(texts, pad)
        found = token_states(encoder, ids, numbers, positions, packed=False)
    torch.testing.assert_close(found[numbers > 0], torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_packed_logits_of_a_real_encoder(shared: Path) -> None:
    module = build_network(str(shared / "models" / "e5-small-ko"))
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(5, 10_000, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        torch.testing.assert_close(module(*packed(texts), packed=True), alone(module, texts), atol=1e-5, rtol=1e-5)


class Counter:
    """Count the vectors that a module is called with."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.vectors = 0
        module.register_forward_pre_hook(self.count)

    def count(self, module: torch.nn.Module, args: tuple[Tensor, ...]) -> None:
        self.vectors += args[0].shape[:-1].numel()


def last_layer(encoder: PreTrainedModel) -> torch.nn.Module:
    layers: Any = encoder.encoder
    return layers.layer[-1]


def test_the_last_feed_forward_is_computed_at_first_tokens_only(bert: dict[str, Any], texts: list[Tensor]) -> None:
    module = build_network(bert)
    counter = Counter(last_layer(module.encoder).intermediate)  # type: ignore[arg-type]
    module(*packed(texts), packed=True)
    assert counter.vectors == len(texts)
    token_states(module.encoder, *packed(texts)[:3], packed=True)
    assert counter.vectors == len(texts) + 3 * 16
