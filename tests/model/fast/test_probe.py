"""What the probe finds in encoders of several families, and in broken ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.fast import probe as tried
from nsmc_lightning.model.fast import states as hidden
from nsmc_lightning.model.fast.probe import Probe, padded_inputs, probe
from tests.conftest import SIZES
from tests.model.conftest import build_network


def everything(attention_mask: Tensor, added: bool) -> Tensor:
    rows, width = attention_mask.shape
    return torch.ones(rows, 1, width, width, dtype=torch.bool)


def all_tokens(attention_mask: Tensor, added: bool) -> Tensor:
    return attention_mask[:, None, None, :].bool()


def test_what_the_families_can_do(family: dict[str, Any]) -> None:
    by_layer = family["model_type"] != "distilbert"  # its layers have other names
    assert probe(load_encoder(family, pretrained=False, need_pooler=False)) == Probe(True, True, by_layer)


@pytest.mark.parametrize("mask", [everything, all_tokens])
def test_without_the_block_mask_rows_are_not_packed(
    family: dict[str, Any], mask: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden, "same_text", mask)
    assert not probe(load_encoder(family, pretrained=False, need_pooler=False)).packs


def test_an_encoder_that_ignores_positions_is_found_out(bert: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "first_position", lambda config: 1)
    assert not probe(load_encoder(bert, pretrained=False, need_pooler=False)).packs


def test_a_last_layer_that_does_more_is_called_as_it_is(bert: dict[str, Any]) -> None:
    encoder: Any = load_encoder(bert, pretrained=False, need_pooler=False)
    encoder.encoder.layer[-1].register_forward_hook(lambda layer, args, output: output + 1.0)  # its parts skip this
    assert probe(encoder) == Probe(pads=True, packs=True, layer_by_layer=False)


@pytest.mark.parametrize("pad_token_id", [0, 3, 19])
def test_what_a_configuration_calls_padding_is_a_token_like_any_other(pad_token_id: int) -> None:
    keys = {**SIZES, "model_type": "roberta", "vocab_size": 20, "pad_token_id": pad_token_id}
    assert probe(load_encoder(keys, pretrained=False, need_pooler=False)) == Probe(True, True, True)


def test_an_encoder_that_takes_an_id_for_padding_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        hidden, "_explicit_positions", lambda encoder, positions, packed: positions + 20 if packed else None
    )
    keys = {**SIZES, "model_type": "roberta", "vocab_size": 20, "pad_token_id": 19}  # not among the first ids
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).pads


@pytest.mark.parametrize("added", [False, True])
def test_either_kind_of_mask_is_tried(bert: dict[str, Any], added: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    right = hidden.same_text  # training uses one kind on a CPU, the other elsewhere
    for module in (hidden, tried):
        monkeypatch.setattr(module, "same_text", lambda mask, added: right(mask * 0 if added == wrong else mask, added))
    wrong = added
    assert not probe(load_encoder(bert, pretrained=False, need_pooler=False)).packs


def test_an_encoder_that_takes_no_texts_of_different_lengths_is_refused() -> None:
    keys = {**SIZES, "model_type": "nystromformer", "num_landmarks": 4, "segment_means_seq_len": 16}
    with pytest.raises(UserError, match=r"--model\.backbone: this nystromformer encoder fails on texts of"):
        probe(load_encoder(keys, pretrained=False, need_pooler=False))


@pytest.mark.parametrize("model_type", ["modernbert", "deberta-v2", "albert"])
def test_families_that_are_not_known_to_pack_are_padded(model_type: str) -> None:
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    keys = {**SIZES, "model_type": model_type, **(special if model_type == "modernbert" else {})}
    module = build_network(keys)
    assert not module.limits.packs_rows
    ids = torch.randint(3, 50, (2, 7))
    expected = module.head.linear(module.encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0][:, 0])
    torch.testing.assert_close(module(*padded_inputs(list(ids), 0)), expected)


def test_an_encoder_that_does_not_leave_padding_out_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    keys = {"model_type": "fnet", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).pads
    assert "fnet encoders do not ignore padding" in caplog.text


def test_eager_attention_is_not_packed(bert: dict[str, Any]) -> None:
    encoder = load_encoder(bert, pretrained=False, need_pooler=False)
    encoder.set_attn_implementation("eager")  # adds a boolean mask as numbers
    assert not probe(encoder).packs


def test_trying_an_encoder_changes_nothing(bert: dict[str, Any]) -> None:
    encoder = load_encoder(bert, pretrained=False, need_pooler=False)
    state = torch.get_rng_state()
    probe(encoder)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in encoder.modules())
