"""What the probe finds in encoders of several families, and in broken ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.fast import probe as tried
from nsmc_lightning.model.fast import states as hidden
from nsmc_lightning.model.fast.attention import attention_of
from nsmc_lightning.model.fast.paths import use_fast_paths
from nsmc_lightning.model.fast.probe import Probe, padded_inputs, probe
from tests.conftest import SIZES
from tests.model.conftest import build_network, small


def everything(attention_mask: Tensor, added: bool, window: int | None = None) -> Tensor:
    rows, width = attention_mask.shape
    return torch.ones(rows, 1, width, width, dtype=torch.bool)


def all_tokens(attention_mask: Tensor, added: bool, window: int | None = None) -> Tensor:
    return attention_mask[:, None, None, :].bool().expand(-1, -1, attention_mask.shape[1], -1)


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


@pytest.mark.parametrize("wrong", [False, True])
def test_either_kind_of_mask_is_tried(bert: dict[str, Any], wrong: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    right = hidden.same_text  # training uses one kind on a CPU, the other elsewhere
    monkeypatch.setattr(hidden, "same_text", lambda mask, added: right(mask * 0 if added == wrong else mask, added))
    assert not probe(load_encoder(bert, pretrained=False, need_pooler=False)).packs


def test_an_encoder_that_takes_no_texts_of_different_lengths_is_refused() -> None:
    keys = {**SIZES, "model_type": "nystromformer", "num_landmarks": 4, "segment_means_seq_len": 16}
    with pytest.raises(UserError, match=r"--model\.backbone: this nystromformer encoder fails on texts of"):
        probe(load_encoder(keys, pretrained=False, need_pooler=False))


NOT_PACKED = {
    "big_bird": {},  # its token types are a table by slot, as wide as that of positions
    "convbert": {},  # its convolutions reach into the next text
    "deberta-v2": {"conv_kernel_size": 3},  # so does this one
    "esm": {},
    "mobilebert": {},  # a token's embedding contains those of its neighbours
    "roformer": {},  # its table of positions is by slot
}


@pytest.mark.parametrize("model_type", sorted(NOT_PACKED))
def test_what_is_not_packed_is_padded(model_type: str) -> None:
    module = build_network(small(model_type, **NOT_PACKED[model_type]))
    assert not module.limits.packs_rows
    ids = torch.randint(3, 50, (2, 7))
    expected = module.head.linear(module.encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0][:, 0])
    torch.testing.assert_close(module(*padded_inputs(list(ids), 0)), expected)


def test_a_window_that_the_mask_replaces_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "attention_window", lambda config: None)
    keys = small("modernbert", local_attention=8)  # four tokens to each side: not reached by texts of five
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).packs


def test_positions_that_do_not_restart_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_explicit_positions", lambda encoder, positions, packed: None)
    keys = small("deberta-v2", position_biased_input=True)
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).packs


# Families that no test knows


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "TESTED_FAMILIES", frozenset())


@pytest.mark.usefixtures("unknown")
def test_an_unknown_family_is_packed_if_long_texts_and_wide_rows_are_exact() -> None:
    assert probe(load_encoder(small("ernie"), pretrained=False, need_pooler=False)).packs
    assert probe(load_encoder(small("deberta-v2"), pretrained=False, need_pooler=False)).packs


@pytest.mark.usefixtures("unknown")
def test_a_position_table_that_is_too_long_to_try_is_not_packed() -> None:
    keys = small("ernie", max_position_embeddings=5000)
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).packs


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("window", [8, 60])
def test_a_window_that_no_key_names_is_found_out(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "attention_window", lambda config: None)
    monkeypatch.setattr(tried, "_reach", lambda config: 0)
    keys = small("modernbert", local_attention=window, max_position_embeddings=100)
    assert not probe(load_encoder(keys, pretrained=False, need_pooler=False)).packs


@pytest.mark.usefixtures("unknown")
def test_states_without_their_gradients_are_found_out() -> None:
    encoder: Any = load_encoder(small("ernie"), pretrained=False, need_pooler=False)
    wide = SIZES["max_position_embeddings"] + 1
    encoder.embeddings.register_forward_hook(lambda _, args, out: out.detach() if out.shape[1] > wide else out)
    assert not probe(encoder).packs


@pytest.mark.usefixtures("unknown")
def test_a_wrong_bucket_that_new_weights_hardly_show_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DebertaV2Encoder.get_rel_pos

    def wrong(self: DebertaV2Encoder, states: Tensor, *args: Any) -> Tensor:
        buckets = right(self, states, *args)
        return buckets - (buckets > 5).long() if states.shape[1] > 600 else buckets  # in rows, not in texts

    monkeypatch.setattr(DebertaV2Encoder, "get_rel_pos", wrong)
    assert not probe(load_encoder(small("deberta-v2"), pretrained=False, need_pooler=False)).packs


# Whatever the layout


def test_an_encoder_that_does_not_leave_padding_out_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    keys = {"model_type": "fnet", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
    assert not use_fast_paths(load_encoder(keys, pretrained=False, need_pooler=False)).pads
    (record,) = caplog.records
    assert "fnet encoders do not ignore padding" in record.message


def test_padding_whose_new_embedding_is_zero_is_still_found_out() -> None:
    assert not probe(load_encoder(small("mobilebert"), pretrained=False, need_pooler=False)).pads


def test_a_family_s_own_attention_is_packed_too(bert: dict[str, Any]) -> None:
    encoder = load_encoder(bert, pretrained=False, need_pooler=False)
    encoder.set_attn_implementation("eager")  # would add a boolean mask as numbers
    assert probe(encoder) == Probe(pads=True, packs=True, layer_by_layer=False)


def test_attention_that_a_family_cannot_use_is_replaced_by_torch_s() -> None:
    # Fewer keys than queries, which ours does not know.
    keys = small("eurobert", num_attention_heads=4, num_key_value_heads=2)
    encoder = load_encoder(keys, pretrained=False, need_pooler=False)
    assert use_fast_paths(encoder).packs
    assert attention_of(encoder) == "sdpa"


def test_trying_an_encoder_changes_nothing(bert: dict[str, Any]) -> None:
    encoder = load_encoder(bert, pretrained=False, need_pooler=False)
    state = torch.get_rng_state()
    probe(encoder)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in encoder.modules())
