"""Cutting an encoder's embedding: the same states as transformers' own model of the whole vocabulary."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, ElectraForPreTraining, PreTrainedModel

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.vocabulary import Size, cut_encoder, largest_difference, load_stored, special_ids

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {"pad_token_id": 0, "bos_token_id": 7, "eos_token_id": [8, 9]},
    "roberta": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "xlm-roberta": {"pad_token_id": 4},  # positions are counted from it
    "mpnet": {"pad_token_id": 1},
    "electra": {"embedding_size": 8},
    "albert": {"embedding_size": 8, "num_hidden_groups": 1},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    "modernbert": {"pad_token_id": 3, "cls_token_id": 5, "sep_token_id": 6, "bos_token_id": 5, "eos_token_id": 6},
}
USED = (11, 12, 20, 33, 34, 35, 59)


def random_encoder(family: str, folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**SIZES, **FAMILIES[family]})
    encoder = AutoModel.from_config(config).to(dtype).eval()
    encoder.save_pretrained(folder)
    return encoder


def kept_of(encoder: PreTrainedModel) -> np.ndarray:
    return np.array(sorted({*USED, *special_ids(encoder.config)}), dtype=np.int64)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_of_the_whole_encoder(tmp_path: Path, family: str) -> None:
    whole = random_encoder(family, tmp_path / "whole")
    stored = load_stored(str(tmp_path / "whole"))
    kept = kept_of(stored)
    cut_encoder(stored, kept)
    stored.save_pretrained(tmp_path / "cut")
    trimmed = AutoModel.from_pretrained(tmp_path / "cut").eval()
    assert trimmed.config.vocab_size == len(kept) == len(trimmed.get_input_embeddings().weight)
    places = {old: new for new, old in enumerate(kept.tolist())}
    pad = whole.config.pad_token_id
    for text in [list(USED), [*USED[:2], pad, pad]]:
        ids = torch.tensor([text])
        mask = (ids != pad).long()
        expected = whole(input_ids=ids, attention_mask=mask)[0]
        states = trimmed(input_ids=torch.tensor([[places[i] for i in text]]), attention_mask=mask)[0]
        torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=0)


def test_ids_in_the_configuration_are_renumbered(tmp_path: Path) -> None:
    random_encoder("bert", tmp_path)
    encoder = load_stored(str(tmp_path))
    kept = kept_of(encoder)
    assert kept.tolist() == [0, 7, 8, 9, *USED]
    cut_encoder(encoder, kept)
    assert (encoder.config.pad_token_id, encoder.config.bos_token_id, encoder.config.eos_token_id) == (0, 1, [2, 3])


def test_ids_below_padding_stay_where_positions_are_counted_from_it(tmp_path: Path) -> None:
    assert special_ids(random_encoder("xlm-roberta", tmp_path).config) >= {0, 1, 2, 3, 4}
    assert special_ids(random_encoder("modernbert", tmp_path).config) == {3, 5, 6}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_keep_their_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    random_encoder("bert", tmp_path, dtype)
    keys = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**keys, "dtype": "bfloat16"}), encoding="utf-8")
    encoder = load_stored(str(tmp_path))
    cut_encoder(encoder, kept_of(encoder))
    encoder.save_pretrained(tmp_path / "cut")
    weights = load_file(tmp_path / "cut" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {dtype}
    assert AutoConfig.from_pretrained(tmp_path / "cut").dtype == dtype
    size = Size.of(encoder)
    assert size.file_bytes == sum(weight.nbytes for weight in weights.values())
    assert size.parameters == sum(weight.numel() for weight in weights.values())
    assert size.embedding == weights["embeddings.word_embeddings.weight"].numel()


def test_only_the_encoder_of_a_checkpoint_with_heads_is_loaded(tmp_path: Path) -> None:
    """The pooler, which a model for masked words lacks, is not made up."""
    config = AutoConfig.for_model("bert", **SIZES)
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "bert")
    encoder = load_stored(str(tmp_path / "bert"))
    assert not [name for name in encoder.state_dict() if name.startswith(("cls.", "pooler."))]
    electra = AutoConfig.for_model("electra", **{**SIZES, **FAMILIES["electra"]})
    ElectraForPreTraining(electra).save_pretrained(tmp_path / "electra")
    encoder = load_stored(str(tmp_path / "electra"))
    assert not [name for name in encoder.state_dict() if "discriminator" in name]
    random_encoder("bert", tmp_path / "pooled")
    assert "pooler.dense.weight" in load_stored(str(tmp_path / "pooled")).state_dict()


def test_incomplete_and_other_models_are_refused(tmp_path: Path) -> None:
    encoder = random_encoder("bert", tmp_path / "incomplete")
    weights = {name: weight for name, weight in encoder.state_dict().items() if "layer.1" not in name}
    encoder.save_pretrained(tmp_path / "incomplete", state_dict=weights)
    with pytest.raises(UserError, match=r"--backbone .*incomplete: lacks 16 of the encoder's tensors"):
        load_stored(str(tmp_path / "incomplete"))
    AutoConfig.for_model("gpt2").save_pretrained(tmp_path / "gpt2")
    with pytest.raises(UserError, match=r"gpt2.* is not an encoder"):
        load_stored(str(tmp_path / "gpt2"))
    (tmp_path / "pooled").mkdir()
    AutoConfig.for_model("bert", **SIZES).save_pretrained(tmp_path / "pooled")
    with pytest.raises(UserError, match="weights cannot be loaded"):
        load_stored(str(tmp_path / "pooled"))


def test_largest_difference_ignores_padding(tmp_path: Path) -> None:
    one, other = (random_encoder("bert", tmp_path / name) for name in ("one", "other"))
    ids, mask = torch.tensor([[11, 12, 0], [20, 33, 34]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert largest_difference(one, other, (ids, ids), mask) == 0
    with torch.no_grad():
        other.embeddings.word_embeddings.weight[0] += 1  # that of padding
    assert largest_difference(one, other, (ids, ids), mask) == 0
    assert largest_difference(one, other, (ids, ids.clamp(max=33)), mask) > 1e-3
