"""The choice of kernels: from measurements, once a processor, and with equal results."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.fast import kernels
from nsmc_lightning.model.fast.kernels import (
    OURS,
    Kernels,
    bfloat16_speed,
    choose_kernels,
    measured_once,
    stored_kernels,
    use_kernels,
)
from nsmc_lightning.model.fast.linear import has_onednn
from nsmc_lightning.model.fast.paths import use_fast_paths
from nsmc_lightning.model.fast.timing import AttentionSpeed
from nsmc_lightning.types import Batch
from tests.model.conftest import TINY, build_network


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def build_encoder(**options: Any) -> Any:
    encoder = load_encoder({**TINY["bert"], **options}, pretrained=False, need_pooler=False)
    use_fast_paths(encoder)
    return encoder


@pytest.mark.parametrize(
    ("linear", "attention", "expected"),
    [(1.2, 256, Kernels("float32", "onednn", 256, 256, 256)), (1.1, 0, Kernels("float32", "mkl", 0, 0, 0))],
)
def test_what_measures_faster_is_chosen(
    linear: float, attention: int, expected: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "linear_speed", lambda hidden_size: linear)
    monkeypatch.setattr(AttentionSpeed, "longest_faster", lambda *_, **__: attention)
    encoder = build_encoder()
    assert choose_kernels(encoder, torch.float32) == expected
    assert choose_kernels(encoder, torch.bfloat16) == Kernels("bfloat16", "mkl", attention, attention, attention)
    encoder.set_attn_implementation("sdpa")  # as where ours was found inexact
    assert choose_kernels(encoder, torch.float32) == Kernels("float32", expected.linear)


def test_a_measurement_is_kept_and_leaves_random_numbers_as_they_were(folder: Path) -> None:
    counts = []

    def measure() -> dict[str, float]:
        counts.append(torch.rand(1))
        return {"speed": 1.5}

    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    assert torch.rand(1) == expected[0]
    for _ in range(2):
        assert measured_once({"what": "a"}, measure) == {"speed": 1.5}
    assert torch.rand(1) == expected[1]
    assert len(counts) == 1
    measured_once({"what": "b"}, measure)
    for file in folder.iterdir():
        file.write_text("{")
    measured_once({"what": "b"}, measure)
    assert len(counts) == 3, "another question, and a broken file"


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path) -> None:
    folder.parent.write_text("a file")
    assert measured_once({}, lambda: {"speed": 2.0}) == {"speed": 2.0}


@pytest.mark.parametrize("name", sorted(TINY))
def test_all_kernels_compute_the_same(name: str) -> None:
    network = build_network(TINY[name])
    numbers = torch.tensor([[1] * 9 + [2] * 5 + [0, 0], [3] * 16])
    positions = torch.tensor([[*range(9), *range(5), 0, 0], [*range(16)]])
    ids = torch.randint(5, 500, (2, 16)) * (numbers > 0)
    batch = Batch(torch.arange(3), ids, numbers, None, 30, positions, torch.tensor([0, 9, 16]), packed=True)
    found = []
    for choice in (Kernels(), OURS):
        use_kernels(network.encoder, choice)
        logits = network.classify(batch)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad((logits * torch.arange(6).view(3, 2)).sum(), parameters, allow_unused=True)
        found.append([logits, *(gradient for gradient in gradients if gradient is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert has_onednn() is False or not all(torch.equal(*pair) for pair in zip(*found, strict=True)), "OURS was used"


def test_only_kernels_of_the_same_precision_are_taken_from_a_checkpoint() -> None:
    stored = {"kernels": asdict(Kernels("float32", packed=96))}
    assert stored_kernels(stored, "float32") == Kernels("float32", packed=96)
    assert stored_kernels(stored, "bfloat16") is None
    assert stored_kernels({}, "float32") is None, "an earlier version, or a run on a GPU"


def test_the_speed_of_bfloat16_is_that_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_encoder()
    use_kernels(encoder, Kernels(packed=7))
    before = [parameter.clone() for parameter in encoder.parameters()]
    assert bfloat16_speed(encoder) > 0
    assert encoder.kernels == Kernels(packed=7)
    assert all(torch.equal(*pair) for pair in zip(before, encoder.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in encoder.parameters())
