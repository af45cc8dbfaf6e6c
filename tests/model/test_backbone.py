"""Encoders: which ones load, in which state, with which warnings, and which are refused."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.families import encoder_limits
from nsmc_lightning.types import TRAINED_PAD_ID, EncoderLimits


@pytest.fixture
def folder(bert: dict[str, Any], tmp_path: Path) -> Path:
    """A checkpoint of a masked language model: in float16, with a head and without a pooler."""
    path = tmp_path / "mlm"
    BertForMaskedLM(BertConfig(**bert)).half().save_pretrained(path)
    return path


def test_from_scratch_in_training_mode_and_float32(family: dict[str, Any]) -> None:
    encoder = load_encoder(family, pretrained=True, need_pooler=False)
    assert encoder.config.model_type == family["model_type"]
    assert getattr(encoder, "pooler", None) is None
    assert all(module.training for module in encoder.modules())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_from_scratch_says_random_in_one_line(bert: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    load_encoder(bert, pretrained=True, need_pooler=True)
    assert [record.message for record in caplog.records] == [
        "random weights: no pretrained encoder, --model.backbone is a from-scratch configuration"
    ]


def test_half_precision_checkpoint_trains_in_float32_with_dropout(folder: Path) -> None:
    encoder = load_encoder(str(folder), pretrained=True, need_pooler=False)
    stored = BertModel.from_pretrained(folder, add_pooling_layer=False)
    assert stored.dtype == torch.float16
    assert encoder.dtype == encoder.config.dtype == torch.float32
    for (name, ours), theirs in zip(encoder.named_parameters(), stored.parameters(), strict=True):
        assert torch.equal(ours, theirs.float()), name
    ids = torch.arange(10).view(2, 5)
    first, second = (encoder(input_ids=ids).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)


def test_dropout_keys_replace_the_configuration_s(family: dict[str, Any]) -> None:
    encoder = load_encoder(family, pretrained=False, need_pooler=False, hidden_dropout=0.0, attention_dropout=0.0)
    ids = torch.arange(5, 15).view(2, 5)
    first, second = (encoder(input_ids=ids).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    encoder = load_encoder(family, pretrained=False, need_pooler=False, hidden_dropout=0.0, attention_dropout=0.5)
    first, second = (encoder(input_ids=ids).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)


def test_dropout_that_a_family_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"--model\.attention_dropout: fnet configurations have no such dropout"):
        load_encoder({"model_type": "fnet"}, pretrained=False, need_pooler=False, attention_dropout=0.1)


def test_whole_checkpoint_loads_without_a_word(
    folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    load_encoder(str(folder), pretrained=True, need_pooler=False)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_new_tensors_are_named_in_one_line(
    folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    load_encoder(str(folder), pretrained=True, need_pooler=True)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "lacks 2 of the encoder's tensors (pooler.dense.bias, pooler.dense.weight)" in record.message
    assert capfd.readouterr() == ("", "")


def test_unpretrained_reads_the_configuration_only(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    encoder = load_encoder(str(folder), pretrained=False, need_pooler=True)
    assert encoder.config.hidden_size == 16
    assert encoder.dtype == torch.float32  # the configuration says float16
    assert encoder.pooler is not None
    assert encoder.training
    assert not caplog.records


def test_quiet_is_undone(folder: Path) -> None:
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_encoder(str(folder), pretrained=True, need_pooler=False)
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before


def test_from_scratch_pads_as_a_vocabulary_that_is_trained_here(family: dict[str, Any]) -> None:
    assert load_encoder(family, pretrained=False, need_pooler=False).config.pad_token_id == TRAINED_PAD_ID
    family["pad_token_id"] = 3
    assert load_encoder(family, pretrained=False, need_pooler=False).config.pad_token_id == 3


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "ibert", "mpnet"])
def test_a_row_that_the_configuration_calls_padding_learns_too(kind: str) -> None:
    keys = {"model_type": kind, "vocab_size": 50, "pad_token_id": 1, "hidden_size": 24, "num_hidden_layers": 1}
    encoder = load_encoder(keys, pretrained=False, need_pooler=False)
    encoder(input_ids=torch.tensor([[2, 1, 5, 3]])).last_hidden_state.square().sum().backward()
    gradient = encoder.get_input_embeddings().weight.grad
    assert torch.equal(gradient.any(dim=1).nonzero().flatten(), torch.tensor([1, 2, 3, 5]))


@pytest.mark.parametrize("named", ["eager", "flash_attention_2"])
def test_what_is_packed_attends_by_sdpa_whatever_the_configuration_names(folder: Path, named: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": named}))
    for pretrained in (True, False):
        encoder = load_encoder(str(folder), pretrained, need_pooler=False)
        assert encoder.config._attn_implementation == "sdpa"


def test_keys_that_only_the_family_s_code_knows() -> None:
    keys = {"model_type": "deberta-v2", "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 2,
            "num_hidden_layers": 1, "relative_attention": True}  # fmt: skip
    known = {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    encoder: Any = load_encoder({**keys, **known}, pretrained=False, need_pooler=False)
    assert encoder.encoder.position_buckets == 8
    assert encoder.encoder.rel_embeddings.num_embeddings == 16
    assert encoder.encoder.norm_rel_ebd == ["layer_norm"]
    assert "no 'position_bucket', 'norm_rel'" in refusal({**keys, "position_bucket": 8, "norm_rel": "layer_norm"})


@pytest.mark.parametrize("kind", ["electra", "distilbert"])
def test_missing_pooler_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match=rf"--model.pooling pooler: .*{kind}.* use cls or mean"):
        load_encoder({"model_type": kind, "vocab_size": 50}, pretrained=True, need_pooler=True)


def refusal(backbone: str | dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        load_encoder(backbone, pretrained=True, need_pooler=False)
    message = str(caught.value)
    assert message.count("\n") <= 1
    return message


def test_unreachable_hub_names_key_and_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = refusal("nobody/has-this-encoder")
    assert message.startswith("--model.backbone nobody/has-this-encoder: no such folder")
    assert "Give the folder of a downloaded checkpoint" in message


def test_weights_of_other_sizes_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 60}))
    message = refusal(str(folder))
    for part in ("embeddings.word_embeddings.weight", "(600, 16)", "(60, 16)"):
        assert part in message


def test_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in refusal(str(tmp_path / "nowhere"))
    assert "no such folder" in refusal("./nowhere")


def test_broken_folders(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    broken: dict[str, dict[str, bytes]] = {
        "empty": {},
        "no JSON": {"config.json": b"{", "model.safetensors": weights},
        "no weights": {"config.json": json.dumps(config).encode()},
        "truncated": {"config.json": json.dumps(config).encode(), "model.safetensors": weights[:1000]},
        "other sizes": {
            "config.json": json.dumps({**config, "hidden_size": 8}).encode(),
            "model.safetensors": weights,
        },
        "other kind": {"config.json": json.dumps({**config, "model_type": "no-such"}).encode()},
        "own code": {
            "config.json": json.dumps(
                {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
            ).encode()
        },
    }
    for name, files in broken.items():
        path = tmp_path / name
        path.mkdir()
        for file, data in files.items():
            (path / file).write_bytes(data)
        assert refusal(str(path)).startswith(f"--model.backbone {path}: cannot load this folder"), name
        shutil.rmtree(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "burt"}, "'burt'"),
        ({"hidden_sise": 16}, "no 'hidden_sise'"),
        ({"save_pretrained": 1}, "no 'save_pretrained'"),
        ({"hidden_size": 17}, "17"),
        ({"hidden_size": "wide"}, "'hidden_size' expected int"),
        ({"model_type": ["bert"]}, "needs model_type"),
        ({"vocab_size": 0}, "cannot build an encoder"),
        ({"is_decoder": True}, "is_decoder true"),
        ({"model_type": "roberta", "pad_token_id": None}, "needs a pad_token_id"),
    ],
)
def test_bad_configurations(bert: dict[str, Any], change: dict[str, Any], message: str) -> None:
    found = refusal({**bert, **change})
    assert found.startswith("--model.backbone")
    assert message in found


def test_configuration_without_model_type() -> None:
    assert "needs model_type" in refusal({"vocab_size": 50})


@pytest.mark.parametrize("kind", ["gpt2", "t5", "bart", "perceiver"])
def test_other_models_are_refused(kind: str) -> None:
    assert "not an encoder" in refusal({"model_type": kind})


def test_shared_backbone(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_encoder(str(shared / "models" / "e5-small-ko"), pretrained=True, need_pooler=True)
    assert encoder.dtype == torch.float32
    assert encoder_limits(encoder.config) == EncoderLimits(10645, 512, 1)
    assert not caplog.records
