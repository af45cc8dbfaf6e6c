"""The lines on kernels and precision at the start of a run on a CPU."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nsmc_lightning.callbacks import kernel_report
from nsmc_lightning.callbacks.kernel_report import KernelReport
from nsmc_lightning.model.fast.kernels import Kernels
from tests.conftest import SMALL
from tests.model.conftest import build_network


def lines(precision: str, speed: float, device: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> list[str]:
    monkeypatch.setattr(kernel_report, "bfloat16_speed", lambda encoder: speed)
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer: Any = SimpleNamespace(strategy=strategy, is_global_zero=True, precision=precision)
    module: Any = build_network(SMALL)
    caplog.clear()
    with caplog.at_level(logging.INFO, "nsmc_lightning"):
        KernelReport().on_fit_start(trainer, module)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("precision", "speed", "word"),
    [
        ("32-true", 1.6, "bf16-mixed would train about 1.6 times as fast"),
        ("32-true", 0.01, None),
        ("bf16-mixed", 0.01, "about 100.0 times as slow as float32 here: give --trainer.precision 32-true"),
        ("bf16-mixed", 1.6, None),
        ("bf16-true", 0.01, None),
    ],
)
def test_the_kernels_and_the_faster_precision(
    precision: str, speed: float, word: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = lines(precision, speed, "cpu", monkeypatch, caplog)
    assert first == str(Kernels())
    assert word in others[0] if word else not others, others


def test_nothing_on_a_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert lines("32-true", 1.6, "cuda", monkeypatch, caplog) == []
