"""Checkpoints in the layouts that the recipes' are published in: every tensor of an encoder is that of the file."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.network import SequenceClassifier, forward_arguments
from nsmc_lightning.model.vocabulary import load_stored
from nsmc_lightning.types import Batch
from tests.model.published import GOOGLE, LAYOUTS

UNUSED = {"torch_dtype", "transformers_version", "architectures", "tokenizer_class"}
WITHOUT_POOLER = ("electra", "deberta-v2")


def by_hand(config: dict[str, Any], tensors: dict[str, Tensor]) -> transformers.PreTrainedModel:
    """transformers' own encoder with given weights, by none of its loading; it refuses other names than its own."""
    keys = {"model_type": "bert", **{key: value for key, value in config.items() if key not in UNUSED}}
    pooler = {} if keys["model_type"] in WITHOUT_POOLER else {"add_pooling_layer": "pooler.dense.weight" in tensors}
    built = transformers.AutoConfig.for_model(**keys)
    encoder = transformers.AutoModel.from_config(built, attn_implementation="eager", **pooler)
    encoder.load_state_dict(tensors)
    return encoder.eval()


def packed(texts: list[Tensor]) -> Batch:
    """A batch of texts in rows of 16 tokens, as the data module packs it."""
    lengths = torch.tensor([len(text) for text in texts])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    encoded = Encoded(torch.cat(texts).numpy(), offsets.numpy(), lengths.numpy())
    return collate(encoded, None, range(len(texts)), pad_token_id=0, shape=(2, 16))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_tensor_is_that_of_the_file(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    written = LAYOUTS[name].write(tmp_path)
    loaded = load_encoder(str(tmp_path), pretrained=True, need_pooler=False).state_dict()
    assert (caplog.messages, *capfd.readouterr()) == ([], "", "")  # no word of random weights, nor of unused heads
    assert loaded.keys() == {key for key in written if not key.startswith("pooler.")}
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert all(torch.equal(tensor, written[key]) for key, tensor in loaded.items())


@pytest.mark.parametrize("name", [name for name in LAYOUTS if "-" not in name])
def test_packed_texts_have_the_states_of_an_encoder_with_weights_put_in_by_hand(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    written = layout.write(tmp_path)
    network = SequenceClassifier(load_encoder(str(tmp_path), True, need_pooler=False), 2, "cls", dropout=0.0).eval()
    reference = by_hand(layout.config, written)
    assert network.limits.packs_rows
    texts = [torch.arange(5, 5 + length) for length in (7, 3, 12)]
    with torch.no_grad():
        states = torch.stack([reference(input_ids=text[None]).last_hidden_state[0, 0] for text in texts])
        logits = network(*forward_arguments(packed(texts)))
    assert states.std(dim=0).mean() > 1e-3  # the texts differ
    torch.testing.assert_close(logits, network.head(states), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.pooler({"hidden_size": 8})])
def test_a_published_pooler_is_loaded_where_the_head_uses_it(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = LAYOUTS[name].write(tmp_path)
    pooler: Any = load_encoder(str(tmp_path), pretrained=True, need_pooler=True).pooler
    assert torch.equal(pooler.dense.weight, written["pooler.dense.weight"])
    assert torch.equal(pooler.dense.bias, written["pooler.dense.bias"])
    assert not caplog.messages


def test_a_file_that_was_pickled_with_code_is_refused(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    LAYOUTS["koelectra"].write(tmp_path)
    torch.save({"electra.embeddings.word_embeddings.weight": Code()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot load this folder"):
        load_encoder(str(tmp_path), pretrained=True, need_pooler=False)
    assert not (tmp_path / "ran").exists()


# A config.json from before there was model_type


def test_trim_loads_a_checkpoint_without_model_type_too(tmp_path: Path) -> None:
    written = LAYOUTS["small_bert"].write(tmp_path)
    assert torch.equal(load_stored(str(tmp_path)).pooler.dense.weight, written["pooler.dense.weight"])


@pytest.mark.parametrize("change", [{"embedding_size": 8}, {"hidden_size": None}])
def test_another_config_without_model_type_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    keys = {key: value for key, value in {**GOOGLE, **change}.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(keys), encoding="utf-8")
    with pytest.raises(UserError, match="model_type"):
        load_encoder(str(tmp_path), pretrained=False, need_pooler=False)
