"""The families' own heads, compared with transformers' whole classifiers on one text at a time."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.families import TESTED_FAMILIES
from nsmc_lightning.model.family_head import load_parts
from nsmc_lightning.model.fast.probe import padded_inputs
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.model.network import SequenceClassifier
from tests.model.conftest import TINY, small

KEYS = {
    **{name: small(name) for name in sorted(TESTED_FAMILIES & CONFIG_MAPPING_NAMES.keys())},
    "eurobert": small("eurobert", classifier_pooling="bos"),
    "eurobert-mean": small("eurobert", classifier_pooling="mean"),
    "modernbert-mean": small("modernbert", classifier_pooling="mean"),
    "big_bird": small("big_bird"),  # its encoder has a pooler, which its head leaves out
}
LENGTHS = [3, 9, 4, 12, 6]


def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2, 50, (length,), generator=generator) for length in LENGTHS]


def packed_row() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All texts end to end in a row, and two empty slots."""
    numbers = [torch.full((length,), number) for number, length in enumerate(LENGTHS, start=1)]
    rows = [torch.cat(texts()), torch.cat(numbers), torch.cat([torch.arange(length) for length in LENGTHS])]
    ids, mask, positions = (F.pad(row, (0, 2))[None] for row in rows)
    return ids, mask, positions, torch.tensor([0, *LENGTHS[:-1]]).cumsum(0)


def whole_classifier(keys: dict[str, Any], num_labels: int = 3) -> PreTrainedModel:
    """A family's classifier, with weights far enough from zero to tell inputs apart."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(**{"pad_token_id": 0, **keys}, num_labels=num_labels)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def network_of(folder: Path, num_labels: int = 3) -> SequenceClassifier:
    encoder, head = load_parts(str(folder), True, "head", num_labels, 0.0)
    return SequenceClassifier(encoder, num_labels, "head", family_head=head).eval()


def alone(model: PreTrainedModel) -> Tensor:
    """Logits of transformers' classifier, one text at a time."""
    return torch.cat(
        [model(input_ids=text[None], attention_mask=torch.ones_like(text[None])).logits for text in texts()]
    )


@pytest.mark.parametrize("name", sorted(KEYS))
def test_logits_are_those_of_the_family_s_classifier(name: str, tmp_path: Path) -> None:
    if KEYS[name]["model_type"] not in CONFIG_MAPPING_NAMES:
        pytest.skip("not in this version of transformers")
    model = whole_classifier(KEYS[name])
    model.save_pretrained(tmp_path)
    network = network_of(tmp_path)
    with torch.no_grad():
        expected = alone(model)
        assert expected.std() > 0.01
        torch.testing.assert_close(network(*padded_inputs(texts(), 0)), expected, atol=1e-5, rtol=1e-5)
        if network.limits.packs_rows:
            torch.testing.assert_close(network(*packed_row(), packed=True), expected, atol=1e-5, rtol=1e-5)
    assert network.limits.packs_rows == (KEYS[name]["model_type"] in TESTED_FAMILIES)


@pytest.mark.parametrize("name", ["bert", "big_bird", "deberta-v2", "roberta"])
def test_gradients_of_a_training_step_are_those_of_the_family_s_classifier(name: str, tmp_path: Path) -> None:
    model = whole_classifier(KEYS[name])
    model.save_pretrained(tmp_path)
    network, labels = network_of(tmp_path), torch.arange(len(LENGTHS)) % 3
    row = (*packed_row(), True) if network.limits.packs_rows else padded_inputs(texts(), 0)
    F.cross_entropy(network(*row), labels).backward()
    F.cross_entropy(alone(model), labels).backward()
    prefix = f"{model.base_model_prefix}."
    expected = {
        f"encoder.{key.removeprefix(prefix)}" if key.startswith(prefix) else f"head.model.{key}": weight.grad
        for key, weight in model.named_parameters()
    }
    largest = max(float(gradient.norm()) for gradient in expected.values() if gradient is not None)
    for key, weight in network.named_parameters():
        if expected[key] is None:
            assert not weight.requires_grad, key  # under DDP, every weight that may learn must
        else:
            assert (weight.grad - expected[key]).norm() <= 1e-5 * largest, key


# Dropout


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("roberta", "classifier_dropout"),
        ("albert", "classifier_dropout_prob"),
        ("distilbert", "seq_classif_dropout"),
        ("deberta-v2", "cls_dropout"),
    ],
)
def test_dropout_is_that_of_the_configuration(name: str, key: str) -> None:
    module = BertClassifierModule(TINY.get(name) or small(name), pooling="head", dropout=0.4)
    assert getattr(module.encoder.config, key) == 0.4
    assert 0.4 in {part.p for part in module.head.modules() if isinstance(part, nn.Dropout)}


def test_dropout_of_a_family_without_a_key() -> None:
    module = BertClassifierModule(small("mpnet"), pooling="head", dropout=0.4, hidden_dropout=0.2)
    assert [part.p for part in module.head.modules() if isinstance(part, nn.Dropout)] == [0.4]
    assert {part.p for part in module.encoder.modules() if isinstance(part, nn.Dropout)} == {0.1, 0.2}  # 0.1: attention


def test_a_head_without_dropout_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nsmc_lightning"):
        load_parts(KEYS["eurobert"], False, "head", 2, dropout=0.1)
    assert [record.message for record in caplog.records] == ["model.dropout 0.1: the head of eurobert has no dropout"]


# Pretrained weights


def test_a_checkpoint_s_head_is_loaded_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model: Any = whole_classifier(TINY["electra"])
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "nsmc_lightning"):
        _, head = load_parts(str(tmp_path), True, "head", 3)
    assert head is not None
    for key, weight in head.model.state_dict().items():
        assert torch.equal(weight, model.state_dict()[key]), key
    (record,) = caplog.records
    assert "starts from the head of" in record.message


def test_a_head_for_other_labels_is_replaced_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole_classifier(TINY["roberta"]).save_pretrained(tmp_path)
    _, head = load_parts(str(tmp_path), True, "head", 2)
    assert head is not None
    assert head.model.classifier.out_proj.out_features == 2
    found = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(found) == 2
    assert all("random weights: classifier.out_proj" in message for message in found)


def test_an_encoder_without_a_head_gets_a_random_one_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    model: Any = whole_classifier(TINY["bert"])
    model.bert.save_pretrained(tmp_path)
    capfd.readouterr()
    encoder, _ = load_parts(str(tmp_path), True, "head", 2)
    for key, weight in encoder.state_dict().items():
        assert torch.equal(weight, model.bert.state_dict()[key]), key
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_a_missing_pooler_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transformers.BertModel(AutoConfig.for_model(**TINY["bert"]), add_pooling_layer=False).save_pretrained(tmp_path)
    load_parts(str(tmp_path), True, "head", 2)
    (record,) = caplog.records
    assert "lacks 2 of the encoder's tensors (pooler.dense.bias, pooler.dense.weight)" in record.message


# Refusals


@pytest.mark.parametrize(
    "keys",
    [
        small("longformer"),  # its class gives the encoder a mask of its own
        small("eurobert", classifier_pooling="late"),  # means of logits
        {"model_type": "funnel", "vocab_size": 50, "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 16},  # shortens
    ],
    ids=lambda keys: keys["model_type"],
)
def test_other_heads_are_refused_by_name(keys: dict[str, Any]) -> None:
    if keys["model_type"] not in CONFIG_MAPPING_NAMES:
        pytest.skip("not in this version of transformers")
    with pytest.raises(UserError, match=rf"--model\.pooling head: not for {keys['model_type']} .*\n.* cls or mean"):
        load_parts(keys, False, "head", 2)
