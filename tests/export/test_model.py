"""Networks as classes of transformers: the same logits, or a refusal by name."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.errors import UserError
from nsmc_lightning.export.model import Exported, family_model
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.model.stored import config_text
from tests.model.conftest import TINY, small

Pooling = Literal["cls", "pooler", "mean", "head"]
LENGTHS = [3, 9, 4, 12]
TOKENIZER: Any = SimpleNamespace(pad_token_id=0)


def trained(keys: dict[str, Any], pooling: Pooling, **settings: Any) -> tuple[Checkpoint, BertClassifierModule]:
    """A checkpoint's content and its network, with weights as after some training."""
    torch.manual_seed(0)
    module = BertClassifierModule({"pad_token_id": 0, **keys}, pooling=pooling, **settings).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    names = ["negative", "positive", "neutral"][: settings.get("num_labels", 2)]
    content = {
        "cli_config": yaml.safe_dump({"model": {**module.hparams, "pooling": pooling}}),
        "NSMCDataModule": {
            "corpus": {"labels": [{"name": name, "korean": ""} for name in names], "korean_unit": "문장"}
        },
        "encoder_config": config_text(module.encoder.config),
        "state_dict": module.state_dict(),
    }
    return Checkpoint("runs/best.ckpt", content), module


def largest_difference(exported: Exported, module: BertClassifierModule) -> float:
    """Between the logits of the two, the network's calibrated and a sigmoid's as (0, z), relative to the largest."""
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(2, 50, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        expected: Tensor = module(*padded_inputs(texts, 0))
        expected = (F.pad(expected, (1, 0)) if expected.shape[1] == 1 else expected) / module.temperature
        found = torch.cat([exported.model(input_ids=text[None]).logits for text in texts])
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


FILLED: list[tuple[str, Pooling]] = [
    *(
        (name, "cls")
        for name in ("bert", "roberta", "electra", "distilbert", "albert", "deberta", "deberta-v2", "mpnet")
    ),
    *((name, "pooler") for name in ("bert", "roberta", "albert", "rembert", "squeezebert")),
]


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize(("name", "pooling"), FILLED)
def test_a_linear_head_is_computed_by_the_family_s_class(name: str, pooling: Pooling, loss: str) -> None:
    keys = TINY.get(name) or small(name, **({"pad_token_id": 1} if name == "mpnet" else {}))
    checkpoint, module = trained(keys, pooling, loss=loss)
    tokenizer: Any = SimpleNamespace(pad_token_id=keys.get("pad_token_id", 0))
    exported = family_model(checkpoint, module, tokenizer)
    assert largest_difference(exported, module) < 1e-5
    assert exported.passed_on == (pooling == "cls")


def test_a_head_that_reads_the_mean(tmp_path: Path) -> None:
    if "eurobert" not in CONFIG_MAPPING_NAMES:
        pytest.skip("not in this version of transformers")
    checkpoint, module = trained(small("eurobert", classifier_pooling="mean"), "mean", num_labels=3)
    assert largest_difference(family_model(checkpoint, module, TOKENIZER), module) < 1e-5


CALIBRATED: list[tuple[str, Pooling]] = [
    *((name, "head") for name in ("bert", "roberta", "electra", "distilbert", "deberta-v2", "modernbert", "mpnet")),
    *[("bert", "cls"), ("electra", "cls"), ("distilbert", "cls"), ("bert", "pooler"), ("albert", "pooler")],
]


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize(("name", "pooling"), CALIBRATED)
def test_the_last_layer_takes_the_temperature(name: str, pooling: Pooling, loss: str) -> None:
    keys = TINY.get(name) or small(name, **({"pad_token_id": 1} if name == "mpnet" else {}))
    checkpoint, module = trained(keys, pooling, loss=loss)
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    for module.temperature in (0.05, 1.7, 20.0):
        tokenizer: Any = SimpleNamespace(pad_token_id=keys.get("pad_token_id", 0))
        assert largest_difference(family_model(checkpoint, module, tokenizer), module) < 1e-5
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in weights.items())


def test_norms_of_large_weights_are_passed_on_too() -> None:
    for name in ("bert", "electra"):
        checkpoint, module = trained(TINY[name], "cls")
        norms = [part for part in module.encoder.modules() if isinstance(part, torch.nn.LayerNorm)]
        with torch.no_grad():
            norms[-1].weight[:4] = torch.tensor([-30.0, 20.0, 0.0, 100.0])
            norms[-1].bias[:4] = torch.tensor([-50.0, 0.0, 10.0, 1.0])
        assert largest_difference(family_model(checkpoint, module, TOKENIZER), module) < 1e-5


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert"])
def test_the_family_s_own_head_stays_as_it_is(name: str, loss: str) -> None:
    checkpoint, module = trained(TINY[name], "head", loss=loss, dropout=0.3)
    exported = family_model(checkpoint, checkpoint.network(), TOKENIZER)
    assert largest_difference(exported, module) < 1e-5
    assert not exported.passed_on
    config = json.loads(exported.model.config.to_json_string())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert 0.3 in config.values()  # model.dropout, under the family's name


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("bert", "mean"), ("electra", "mean"), ("distilbert", "mean"), ("modernbert", "cls"), ("modernbert", "mean")],
)
def test_what_no_class_computes_is_refused(name: str, pooling: Pooling) -> None:
    checkpoint, module = trained(TINY.get(name) or small(name), pooling)
    with pytest.raises(UserError, match=rf"runs/best\.ckpt: .* {name} .*model\.pooling {pooling}.*\n.*pooling head"):
        family_model(checkpoint, module, TOKENIZER)


def test_an_encoder_that_takes_another_id_for_padding_is_refused() -> None:
    checkpoint, _ = trained(TINY["roberta"], "head")
    with pytest.raises(UserError, match="pads with 3"):
        family_model(checkpoint, checkpoint.network(), SimpleNamespace(pad_token_id=3))  # type: ignore[arg-type]
    checkpoint, _ = trained(TINY["bert"], "head")
    exported = family_model(checkpoint, checkpoint.network(), SimpleNamespace(pad_token_id=3))  # type: ignore[arg-type]
    assert exported.model.config.pad_token_id == 3
