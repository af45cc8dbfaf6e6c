"""Parameter groups of four families, and the learning rate's curve."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.head import ClassifierHead
from nsmc_lightning.model.optim import parameter_groups, resolve_warmup, warmup_schedule


def build(config: dict[str, Any], pooler: bool = False) -> tuple[nn.Module, ClassifierHead]:
    return load_encoder(config, pretrained=True, need_pooler=pooler), ClassifierHead(16, 2, 0.1)


def settings(groups: list[dict[str, Any]]) -> dict[int, tuple[float, float]]:
    return {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_each_parameter_once(family: dict[str, Any]) -> None:
    encoder, head = build(family)
    for layer_decay in (1.0, 0.9):
        groups = parameter_groups(encoder, head, 1e-3, 0.01, layer_decay)
        listed = [id(p) for group in groups for p in group["params"]]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(p) for module in (encoder, head) for p in module.parameters()}
        names = [group["name"] for group in groups]
        assert len(names) == len(set(names))
        torch.optim.AdamW(groups)


def test_no_decay_on_biases_and_norms(family: dict[str, Any]) -> None:
    encoder, head = build(family)
    groups = parameter_groups(encoder, head, 1e-3, 0.01, 1.0)
    assert {group["name"]: group["weight_decay"] for group in groups} == {"all_decay": 0.01, "all_no_decay": 0.0}
    found = settings(groups)
    kinds = {nn.LayerNorm: 0.0, nn.Linear: 0.01, nn.Embedding: 0.01}
    for module in [*encoder.modules(), *head.modules()]:
        if type(module) in kinds:
            assert found[id(module.weight)] == (1e-3, kinds[type(module)])
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            assert found[id(module.bias)] == (1e-3, 0.0)


def test_no_decay_on_biases_of_whatever_shape() -> None:
    sizes = {"vocab_size": 50, "num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4}
    encoder, head = build({"model_type": "convbert", **sizes})  # whose convolution's bias has two dimensions
    found = settings(parameter_groups(encoder, head, 1e-3, 0.01, 1.0))
    biases = {name: p for name, p in encoder.named_parameters() if name.endswith("bias")}
    assert any(p.ndim > 1 for p in biases.values())
    assert {found[id(p)] for p in biases.values()} == {(1e-3, 0.0)}


def test_layer_decay(family: dict[str, Any]) -> None:
    encoder, head = build(family)
    groups = parameter_groups(encoder, head, 1e-3, 0.01, 0.5)
    found = settings(groups)
    layers = encoder.transformer.layer if family["model_type"] == "distilbert" else encoder.encoder.layer
    for module, factor in [(head, 1), (layers[1], 0.5), (layers[0], 0.25), (encoder.embeddings, 0.125)]:
        assert {found[id(p)][0] for p in module.parameters()} == {1e-3 * factor}
    if family["model_type"] == "electra":  # its embeddings are narrower, and projected
        assert found[id(encoder.embeddings_project.weight)] == (1e-3 * 0.125, 0.01)
    assert [group["name"] for group in groups][:4] == [
        "embeddings_decay", "embeddings_no_decay", "layer_0_decay", "layer_0_no_decay"
    ]  # fmt: skip


def test_pooler_learns_with_the_head(bert: dict[str, Any]) -> None:
    encoder, head = build(bert, pooler=True)
    found = settings(parameter_groups(encoder, head, 1e-3, 0.01, 0.5))
    assert found[id(encoder.pooler.dense.weight)] == (1e-3, 0.01)
    assert found[id(encoder.pooler.dense.bias)] == (1e-3, 0.0)


def test_frozen_parameters_are_left_out(bert: dict[str, Any]) -> None:
    encoder, head = build(bert)
    encoder.requires_grad_(False)
    found = settings(parameter_groups(encoder, head, 1e-3, 0.01, 0.5))
    assert set(found) == {id(p) for p in head.parameters()}


def test_layer_decay_needs_layers() -> None:
    with pytest.raises(UserError, match=r"model\.layer_decay"):
        parameter_groups(nn.Linear(2, 2), nn.Linear(2, 2), 1e-3, 0.01, 0.9)
    parameter_groups(nn.Linear(2, 2), nn.Linear(2, 2), 1e-3, 0.01, 1.0)


def test_resolve_warmup() -> None:
    assert resolve_warmup(0.1, None, 30) == 3
    assert resolve_warmup(0.1, None, 31) == 4
    assert resolve_warmup(0.0, None, 30) == 0
    assert resolve_warmup(1.0, None, 30) == 30
    assert resolve_warmup(0.1, 7, 30) == 7
    assert resolve_warmup(0.1, 0, 30) == 0


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedule(schedule: Any) -> None:
    warmup, total = 4, 20
    optimizer = torch.optim.AdamW([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.5)])
    scheduler = warmup_schedule(optimizer, schedule, warmup, total)
    falls = {
        "linear": lambda x: 1 - x,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "constant": lambda x: 1.0,
    }
    for step in range(total + 1):
        factor = step / warmup if step < warmup else falls[schedule]((step - warmup) / (total - warmup))
        assert scheduler.get_last_lr() == pytest.approx([factor, factor / 2], abs=1e-12)
        optimizer.step()
        scheduler.step()
