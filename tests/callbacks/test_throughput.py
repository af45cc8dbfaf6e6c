"""Speed: what is counted, when the clock runs, and operations against torch's own count."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, BertConfig, BertModel

from nsmc_lightning.callbacks import throughput
from nsmc_lightning.callbacks.throughput import Meter, Throughput, compute_dtype, forward_flops, matmul_peak
from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.types import Batch, Prediction
from tests.conftest import SIZES

REVIEWS, TOKENS, SLOTS = 4, 30, 40  # of each batch
STEP, VALIDATION, LOADING = 1.0, 100.0, 0.25  # seconds


class Clock:
    """Stands in for the time module; it advances only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(throughput, "matmul_peak", lambda device, dtype: 1e6)
    return clock


class SlowModule(LightningModule):
    """A module whose steps take a known time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.encoder = BertModel(BertConfig(**SMALL), add_pooling_layer=False)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.clock.now += STEP
        return self.encoder.embeddings.word_embeddings.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        self.clock.now += VALIDATION
        return Prediction(batch.rows, torch.zeros(REVIEWS, 2))

    test_step = predict_step = validation_step  # type: ignore[assignment]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


SMALL = {**SIZES, "num_hidden_layers": 3, "intermediate_size": 24}


def loader(clock: Clock, batches: int) -> DataLoader[Any]:
    def batch(rows: list[int]) -> Batch:
        clock.now += LOADING
        ids = torch.zeros(2, SLOTS // 2, dtype=torch.int64)
        return Batch(torch.tensor(rows), ids, ids, None, TOKENS, ids, torch.zeros(REVIEWS), packed=True)

    return DataLoader(range(batches * REVIEWS), batch_size=REVIEWS, collate_fn=batch)  # type: ignore[arg-type]


def encoded_of(lengths: list[int]) -> Encoded:
    """Reviews of those lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Encoded(np.zeros(offsets[-1], dtype=np.int32), offsets, np.asarray(lengths, np.int32))


def trainer(folder: Path, **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=CSVLogger(folder, name="", version="run"), callbacks=[Throughput()],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **settings,
    )  # fmt: skip


def logged(folder: Path, name: str) -> list[float]:
    """The values of a metric in the order in which they were logged."""
    return pd.read_csv(folder / "run" / "metrics.csv")[name].dropna().tolist()


# When the clock runs


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers", "ignore:The number of training")
def test_training_time_is_without_validations_within_the_epoch(tmp_path: Path, clock: Clock) -> None:
    run = trainer(tmp_path, max_epochs=2, val_check_interval=2)
    run.fit(SlowModule(clock), loader(clock, 6), loader(clock, 2))
    per_epoch = 6 * (STEP + LOADING)
    assert logged(tmp_path, "train/reviews_per_second") == pytest.approx([6 * REVIEWS / per_epoch] * 2, rel=0.1)
    # The first batch of a validation may be loaded before its clock starts.
    assert logged(tmp_path, "val/reviews_per_second") == pytest.approx([REVIEWS / VALIDATION] * 6, rel=0.01)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers", "ignore:The number of training")
@pytest.mark.parametrize("end", [{"max_steps": 4}, {"max_epochs": 1, "limit_train_batches": 4}])
def test_training_that_ends_within_the_data_is_logged(tmp_path: Path, clock: Clock, end: dict[str, int]) -> None:
    run = trainer(tmp_path, **end)
    run.fit(SlowModule(clock), loader(clock, 9))
    assert logged(tmp_path, "train/tokens_per_second") == pytest.approx([TOKENS / (STEP + LOADING)], rel=0.1)
    assert logged(tmp_path, "train/wasted_tokens") == pytest.approx([1 - TOKENS / SLOTS])


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_every_stage_logs_its_rates(tmp_path: Path, clock: Clock, stage: str) -> None:
    run, module = trainer(tmp_path), SlowModule(clock)
    options = {} if stage == "predict" else {"verbose": False}
    getattr(run, stage)(module, loader(clock, 3), **options)
    prefix = {"validate": "val"}.get(stage, stage)
    assert logged(tmp_path, f"{prefix}/reviews_per_second") == pytest.approx([REVIEWS / VALIDATION], rel=0.01)
    operations = forward_flops(module.encoder, TOKENS, TOKENS**2 / REVIEWS)
    assert logged(tmp_path, f"{prefix}/mfu") == pytest.approx([operations / VALIDATION / 1e6], rel=0.01)
    assert run.callbacks[0].rates.keys() == {f"{prefix}/{name}" for name in throughput.RATES}  # type: ignore[attr-defined]


# What is counted


def test_rates_of_two_processes() -> None:
    one, other = [10, 200, 250, 2.0, 5e3, 1e4], [6, 100, 150, 2.0, 3e3, 1e4]
    totals = [a + b for a, b in zip(one, other, strict=True)]
    assert throughput._rates(totals, 2) == pytest.approx(
        {"reviews_per_second": 8, "tokens_per_second": 150, "wasted_tokens": 0.25, "mfu": 0.2}
    )
    assert "mfu" not in throughput._rates([*totals[:4], 0.0, 2e4], 2)  # unknown, rather than zero


@pytest.mark.parametrize(("seconds", "flops"), [(2.0, 2.1e4), (0.9, 10.0)])
def test_a_utilisation_that_cannot_be_or_was_hardly_measured_is_left_out(seconds: float, flops: float) -> None:
    rates = throughput._rates([10, 200, 250, seconds, flops, 1e4], 1)
    assert rates.keys() == {*throughput.RATES} - {"mfu"}


@pytest.mark.parametrize(("training", "factor"), [(False, 1), (True, 3)])
@pytest.mark.parametrize("family", sorted(throughput.KNOWN_FAMILIES))
def test_operations_are_those_that_torch_counts(family: str, training: bool, factor: int) -> None:
    default = AutoConfig.for_model(family)
    keys = {"model_type": family, **{key: value for key, value in SMALL.items() if hasattr(default, key)}}
    encoder = load_encoder(keys, pretrained=False, need_pooler=False)
    encoder.set_attn_implementation("eager")  # whose products torch counts on every device
    reviews, length = 3, 11
    meter = Meter(torch.device("cpu"))
    meter.count(collate(encoded_of([length] * reviews), None, range(reviews), 0))
    ids = torch.ones(reviews, length, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        hidden = encoder(input_ids=ids, attention_mask=ids).last_hidden_state
        if training:
            hidden.sum().backward()
    assert factor * forward_flops(encoder, meter.tokens, meter.pairs) == counter.get_total_flops()


def test_operations_are_not_guessed() -> None:
    for family in ("albert", "deberta-v2", "squeezebert", "modernbert"):
        encoder = torch.nn.Linear(2, 2)
        encoder.config = AutoConfig.for_model(family)  # type: ignore[assignment]
        assert forward_flops(encoder, 10, 10) == 0


# The device's peak


@pytest.mark.parametrize(("onednn", "expected"), [(False, 5 * 2 * 1024**3 / 0.1), (True, 10 * 2 * 1024**3 / 0.15)])
def test_peak_is_the_best_burst_of_the_faster_library(
    onednn: bool, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkl = [9.0, 0.02, 0.5, 0.1, 0.3]  # loading, one product, three bursts of five
    seconds = iter([*mkl, *([9.0, 0.01, 0.2, 0.15, 0.3] if onednn else [])])
    monkeypatch.setattr(throughput, "_time_products", lambda left, right, repeats: next(seconds))
    monkeypatch.setattr(throughput, "has_onednn", lambda: onednn)
    matmul_peak.cache_clear()
    assert matmul_peak(torch.device("cpu"), torch.float32) == pytest.approx(expected)
    assert matmul_peak(torch.device("cpu"), torch.float32) == pytest.approx(expected)  # and is measured once
    matmul_peak.cache_clear()


@pytest.mark.parametrize(
    ("precision", "device", "dtype"),
    [
        ("32-true", "cuda", torch.float32),
        ("bf16-mixed", "cpu", torch.bfloat16),
        ("16-mixed", "cuda", torch.float16),
        ("16-mixed", "cpu", torch.bfloat16),
        ("64-true", "cpu", torch.float64),
    ],
)
def test_products_are_measured_as_they_are_computed(precision: str, device: str, dtype: torch.dtype) -> None:
    assert compute_dtype(precision, torch.device(device)) == dtype
