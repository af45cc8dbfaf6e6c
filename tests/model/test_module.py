"""The module under a Trainer: a plain loop as reference, schedules, metrics, checkpoints, precisions, processes."""

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from sklearn.metrics import f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassCalibrationError
from transformers import AutoConfig

from nsmc_lightning.data.batch import ReviewDataset, row_shape
from nsmc_lightning.data.encode import Encoded
from nsmc_lightning.data.sampler import StratifiedSampler
from nsmc_lightning.errors import UserError
from nsmc_lightning.model import encoder_module
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.fast.kernels import Kernels, use_kernels
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.model.network import to_probabilities, twice
from nsmc_lightning.model.stored import config_text, stored_backbone
from nsmc_lightning.types import Batch, EncoderLimits, Prediction
from tests.model.conftest import TINY

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*tensorboardX"),
]

SIZES = [4, 3, 4, 1, 4, 2, 4, 4]
CALIBRATION = {"val/calibration_error", "val/calibration_error_after", "val/temperature"}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def make_batches(sizes: list[int], num_labels: int = 2, seed: int = 0) -> list[Batch]:
    """Random texts of random lengths, padded with 0, in batches of those sizes."""
    generator = torch.Generator().manual_seed(seed)
    batches, row = [], 0
    for size in sizes:
        width = int(torch.randint(4, 12, (1,), generator=generator))
        lengths = torch.randint(2, width + 1, (size, 1), generator=generator)
        places = torch.arange(width)
        mask = (places < lengths).long()
        ids = torch.randint(2, 50, (size, width), generator=generator) * mask
        labels = torch.randint(num_labels, (size,), generator=generator)
        numbers, first_tokens = mask * torch.arange(1, size + 1)[:, None], torch.arange(size) * width
        rows = torch.arange(row, row + size)
        batches.append(Batch(rows, ids, numbers, labels, int(mask.sum()), mask * places, first_tokens, packed=False))
        row += size
    return batches


def packed_batches() -> list[Batch]:
    """Six batches of 8 texts in one shape, and one of 3."""
    lengths = np.random.default_rng(0).integers(3, 16, size=8 * 6 + 3)
    tokens = np.random.default_rng(1).integers(2, 50, size=lengths.sum(), dtype=np.int32)
    encoded = Encoded(tokens, np.concatenate([[0], np.cumsum(lengths)]), lengths.astype(np.int32))
    reviews = ReviewDataset(encoded, lengths % 2, 0, row_shape(lengths, 8))
    return [reviews[rows] for rows in StratifiedSampler(lengths, 8, seed=0)]


def loader(batches: list[Batch]) -> DataLoader[Batch]:
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def trainer(folder: Path, **settings: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "max_epochs": 1}
    bars = {"enable_progress_bar": False, "enable_model_summary": False}
    common = {"accelerator": "cpu", "devices": 1, "default_root_dir": folder}
    return Trainer(**{**common, **bars, **quiet, **settings})


def whole(batches: list[Batch], module: BertClassifierModule) -> tuple[Tensor, Tensor]:
    """Logits and labels of all batches, in evaluation mode."""
    module.eval()
    with torch.no_grad():
        logits = torch.cat([module.classify(batch) for batch in batches])
    return logits, torch.cat([batch.labels for batch in batches if batch.labels is not None])


# Training


def plain_loop(module: BertClassifierModule, batches: list[Batch], lr: float, warmup: int) -> list[float]:
    """Train one epoch without the module: AdamW, decay on matrices only, linear warm-up and fall."""
    named = list(module.named_parameters())
    matrices = [p for name, p in named if not (name.endswith("bias") or "LayerNorm" in name)]
    vectors = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0}])
    losses = []
    for step, batch in enumerate(batches):
        factor = step / warmup if step < warmup else (len(batches) - step) / (len(batches) - warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        hidden = module.encoder(batch.input_ids, attention_mask=batch.attention_mask.clamp(max=1)).last_hidden_state
        loss = F.cross_entropy(module.head.linear(hidden[:, 0]), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class LossRecorder(Callback):
    """Keep the loss of each batch, and whether dropout was on."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.training: list[bool] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self.training.append(all(module.training for module in pl_module.modules() if type(module) is nn.Dropout))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any) -> None:
        self.losses.append(float(outputs["loss"]))


def test_an_epoch_equals_a_plain_loop(bert: dict[str, Any], tmp_path: Path) -> None:
    ours = BertClassifierModule({**bert, **NO_DROPOUT}, dropout=0.0, lr=1e-3, warmup_steps=3)
    plain = BertClassifierModule({**bert, **NO_DROPOUT}, dropout=0.0)
    plain.load_state_dict(ours.state_dict())
    batches = make_batches(SIZES)
    recorder = LossRecorder()
    trainer(tmp_path, callbacks=[recorder]).fit(ours, loader(batches))
    assert recorder.losses == pytest.approx(plain_loop(plain, batches, 1e-3, 3), abs=1e-6)
    for (name, p), q in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=0, msg=name)


def test_dropout_is_on_in_training_also_after_validation(bert: dict[str, Any], tmp_path: Path) -> None:
    module, recorder = BertClassifierModule(bert), LossRecorder()
    trainer(tmp_path, callbacks=[recorder], max_epochs=2).fit(
        module, loader(make_batches([2, 2])), loader(make_batches([2]))
    )
    assert recorder.training == [True] * 4
    module.train()
    batch = make_batches([4])[0]
    logits = [module.classify(batch) for _ in range(2)]
    assert not torch.equal(*logits)


def test_training_learns(bert: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    batches = [batch._replace(labels=(batch.input_ids[:, 0] > 25).long()) for batch in make_batches([16] * 20)]
    fitted = trainer(tmp_path, max_epochs=10)
    fitted.fit(BertClassifierModule(bert, lr=1e-2), loader(batches), loader(batches))
    assert fitted.callback_metrics["val/accuracy"] > 0.95


@pytest.mark.parametrize("options", [{}, {"class_weights": [1.0, 4.0]}])
@pytest.mark.parametrize("batches", [5, 3, 8])  # of 8: with and without a shorter last step in an epoch
def test_an_accumulated_step_is_the_mean_over_its_texts(
    bert: dict[str, Any], tmp_path: Path, batches: int, options: dict[str, Any]
) -> None:
    class Recorded(BertClassifierModule):
        def configure_gradient_clipping(self, *args: Any, **clip: Any) -> None:  # the step's gradient is complete
            gradients.append(self.head.linear.weight.grad.clone())

    gradients: list[Tensor] = []
    module = Recorded({**NO_DROPOUT, **bert}, dropout=0.0, lr=1e-12, **options)
    made = make_batches(SIZES)
    trainer(tmp_path, accumulate_grad_batches=batches, gradient_clip_val=1.0).fit(module, loader(made))
    steps = [made[start : start + batches] for start in range(0, len(made), batches)]
    for step, found in zip(steps, gradients, strict=True):
        module.zero_grad()
        logits = torch.cat([module.classify(batch) for batch in step])
        weight = torch.tensor(options["class_weights"]) if options else None
        F.cross_entropy(logits, torch.cat([batch.labels for batch in step]), weight).backward()
        torch.testing.assert_close(found, module.head.linear.weight.grad)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("packed", [True, False])
def test_r_drop_compares_two_passes_of_each_text(
    bert: dict[str, Any], tmp_path: Path, alpha: float, packed: bool
) -> None:
    class Recorded(BertClassifierModule):
        def classify(self, batch: Batch) -> Tensor:
            logits = super().classify(batch)
            if self.training:
                passes.append(logits.detach())
            return logits

    passes: list[Tensor] = []
    batches, recorder = packed_batches() if packed else make_batches(SIZES), LossRecorder()
    module = Recorded(bert, dropout=0.5, r_drop=alpha, lr=1e-2)
    fitted = trainer(tmp_path, callbacks=[recorder])
    fitted.fit(module, loader(batches))
    assert len(passes) == len(batches)
    for logits, batch, found in zip(passes, batches, recorder.losses, strict=True):
        assert batch.labels is not None
        assert len(logits) == len(batch.labels) * (2 if alpha else 1)
        first, second = logits[: len(batch.labels)].double(), logits[-len(batch.labels) :].double()
        assert torch.equal(first, second) == (alpha == 0)
        loss = F.cross_entropy(torch.cat([first, second]), batch.labels.repeat(2))
        p, q = first.log_softmax(1), second.log_softmax(1)
        divergence = sum(F.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in ((p, q), (q, p)))
        assert found == pytest.approx((loss + alpha / 4 * divergence).item(), abs=1e-6)
    right = [logits[: len(batch.rows)].argmax(1) == batch.labels for logits, batch in zip(passes, batches, strict=True)]
    accuracy = fitted.callback_metrics["train/accuracy"].item()  # each text counts once
    assert accuracy == pytest.approx(torch.cat(right).float().mean().item(), abs=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_without_dropout_both_passes_are_equal(family: dict[str, Any], pooling: Literal["cls", "mean"]) -> None:
    module = BertClassifierModule(family, pooling=pooling).eval()
    for batch in (*packed_batches(), *make_batches(SIZES)):
        torch.testing.assert_close(module.classify(twice(batch)), module.classify(batch).repeat(2, 1))


def test_r_drop_without_dropout_is_refused(bert: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"model\.r_drop"):
        BertClassifierModule(bert, dropout=0.0, hidden_dropout=0.0, attention_dropout=0.0, r_drop=1.0)


# Learning rate


class RateRecorder(Callback):
    """Keep the learning rate of each update."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(
    ("settings", "total"),
    [
        ({"max_epochs": 3}, 24),
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, 6),
        ({"max_epochs": 2, "limit_train_batches": 5}, 10),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, 8),
        ({"max_epochs": 2, "limit_train_batches": 5, "accumulate_grad_batches": 2}, 6),
        ({"max_epochs": -1, "max_steps": 11}, 11),
        ({"max_epochs": -1, "max_steps": 7, "accumulate_grad_batches": 2, "limit_train_batches": 3}, 7),
        ({"max_epochs": 2, "max_steps": 5, "accumulate_grad_batches": 2}, 5),
    ],
)
def test_learning_rate_peaks_after_warmup_and_ends_at_zero(
    bert: dict[str, Any], tmp_path: Path, schedule: Any, settings: dict[str, Any], total: int
) -> None:
    recorder = RateRecorder()
    fitted = trainer(tmp_path, callbacks=[recorder], **settings)
    fitted.fit(BertClassifierModule(bert, lr=1e-3, schedule=schedule, warmup_ratio=0.3), loader(make_batches(SIZES)))
    warmup = math.ceil(0.3 * total - 1e-6)
    assert len(recorder.rates) == fitted.global_step == total
    assert recorder.rates[: warmup + 1] == pytest.approx([1e-3 * step / warmup for step in range(warmup + 1)])
    assert recorder.rates[warmup:] == sorted(recorder.rates[warmup:], reverse=True)
    (scheduler,) = fitted.lr_scheduler_configs
    assert scheduler.scheduler.get_last_lr() == pytest.approx([0.0, 0.0], abs=1e-12)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint")
@pytest.mark.parametrize(
    ("first", "then", "done", "total"),
    [
        ({"max_epochs": 2}, {"max_epochs": 3}, 16, 24),  # a finished run is extended
        ({"max_epochs": 2}, {"max_epochs": 4, "accumulate_grad_batches": 2}, 16, 24),
        ({"max_epochs": 2}, {"max_epochs": 4, "limit_train_batches": 0.5}, 16, 24),
        ({"max_epochs": 2}, {"max_epochs": 9, "max_steps": 19}, 16, 19),
        ({"max_epochs": 2, "max_steps": 12}, {"max_epochs": 2}, 12, 16),  # within an epoch
        ({"max_epochs": 2, "max_steps": 12}, {"max_epochs": 3, "accumulate_grad_batches": 4}, 12, 15),
    ],
)
def test_a_resumed_run_has_the_rates_of_its_own_plan(
    bert: dict[str, Any], tmp_path: Path, first: dict[str, Any], then: dict[str, Any], done: int, total: int
) -> None:
    def fit(ckpt_path: Path | None, **settings: Any) -> list[float]:
        recorder = RateRecorder()
        fitted = trainer(tmp_path, callbacks=[recorder, Saver()], **settings)
        module = BertClassifierModule(bert, lr=1e-3, warmup_steps=2)
        fitted.fit(module, loader(make_batches(SIZES)), ckpt_path=ckpt_path, weights_only=True)
        return recorder.rates

    class Saver(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    fit(None, **first)
    rates = fit(tmp_path / f"{done}.ckpt", **then)
    assert rates == pytest.approx([1e-3 * (total - step) / (total - 2) for step in range(done, total)])


def test_training_without_an_end_is_refused(bert: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--trainer\.max_steps"):
        trainer(tmp_path, max_epochs=-1).fit(BertClassifierModule(bert), loader(make_batches([2])))


# Evaluation


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_labels": 3, "label_smoothing": 0.1, "class_weights": [1.0, 0.2, 3.0], "pooling": "mean"},
        {"loss": "binary_cross_entropy", "class_weights": [0.5, 2.0], "pooling": "pooler"},
    ],
)
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_epoch_loss_and_metrics_are_those_of_all_texts_at_once(
    bert: dict[str, Any], tmp_path: Path, options: dict[str, Any], stage: str
) -> None:
    torch.manual_seed(1)
    module = BertClassifierModule(bert, **options)
    nn.init.normal_(module.head.linear.weight)  # so that the predictions differ
    batches = make_batches(SIZES, module.hparams["num_labels"])
    (found,) = getattr(trainer(tmp_path), stage)(module, loader(batches), verbose=False)
    logits, labels = whole(batches, module)
    predictions = to_probabilities(logits).argmax(1)
    average = "binary" if module.hparams["num_labels"] == 2 else "macro"
    prefix = "val" if stage == "validate" else "test"
    calibration = CALIBRATION if stage == "validate" else set()
    assert {*found} - calibration == {f"{prefix}/{name}" for name in ("loss", "accuracy", "f1", "precision", "recall")}
    assert found[f"{prefix}/loss"] == pytest.approx(module.loss(logits, labels).item(), abs=1e-6)
    assert found[f"{prefix}/accuracy"] == pytest.approx((predictions == labels).float().mean().item(), abs=1e-6)
    assert found[f"{prefix}/f1"] == pytest.approx(f1_score(labels, predictions, average=average), abs=1e-6)


def test_each_epoch_starts_its_metrics_anew(bert: dict[str, Any], tmp_path: Path) -> None:
    module = BertClassifierModule(bert, lr=1e-2, warmup_ratio=0.0)
    batches = make_batches(SIZES)
    expected: list[float] = []

    class Reference(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                logits, labels = whole(batches, module)
                expected.append(F.cross_entropy(logits, labels).item())

    class Found(Callback):
        def __init__(self) -> None:
            self.values: list[float] = []

        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if not trainer.sanity_checking:
                self.values.append(trainer.callback_metrics["val/loss"].item())

    found = Found()
    trainer(tmp_path, max_epochs=3, callbacks=[Reference(), found]).fit(module, loader(batches), loader(batches))
    assert len(expected) == 3
    assert found.values == pytest.approx(expected, abs=1e-6)


def test_logged_names(bert: dict[str, Any], tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fitted = trainer(tmp_path, logger=logger, log_every_n_steps=1)
    fitted.fit(BertClassifierModule(bert), loader(make_batches(SIZES)), loader(make_batches(SIZES)))
    logger.save()
    header = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()[0].split(",")
    measures = ("accuracy", "f1", "precision", "recall")
    names = {f"{stage}/{name}" for stage in ("train", "val") for name in (*measures, "loss")}
    assert set(header) == names | CALIBRATION | {"epoch", "step"}


@pytest.mark.parametrize("options", [{"num_labels": 3}, {"loss": "binary_cross_entropy"}])
def test_predictions(bert: dict[str, Any], tmp_path: Path, options: dict[str, Any]) -> None:
    module = BertClassifierModule(bert, **options)
    batches = make_batches(SIZES)
    unlabelled = [batch._replace(labels=None) for batch in batches]
    found = trainer(tmp_path).predict(module, loader(unlabelled))
    assert found is not None
    logits, _ = whole(batches, module)
    assert logits.shape[1] == (1 if "loss" in options else 3)
    offset = 0
    for batch, prediction in zip(batches, found, strict=True):
        assert isinstance(prediction, Prediction)
        assert torch.equal(prediction.rows, batch.rows)
        expected = logits[offset : offset + len(batch.rows)]
        if "loss" in options:
            expected = torch.cat([torch.zeros_like(expected), expected], dim=1)  # a sigmoid is the softmax of (0, z)
        torch.testing.assert_close(prediction.probabilities, torch.softmax(expected, 1))
        offset += len(batch.rows)


def test_validation_and_test_steps_return_predictions(bert: dict[str, Any]) -> None:
    module = BertClassifierModule(bert).eval()
    batch = make_batches([3])[0]
    for step in (module.validation_step, module.test_step, module.predict_step):
        rows, probabilities = step(batch, 0)
        assert torch.equal(rows, batch.rows)
        assert probabilities.shape == (3, 2)


def test_other_dataloaders_of_a_test_are_predicted_and_not_counted(bert: dict[str, Any], tmp_path: Path) -> None:
    module, tested = BertClassifierModule(bert), trainer(tmp_path)
    clean, others = make_batches(SIZES), make_batches(SIZES, seed=1)
    alone = tested.test(module, loader(clean), verbose=False)[0]
    both = tested.test(module, [loader(clean), loader(others)], verbose=False)
    assert both[0] == both[1] == alone


# Calibration


class Saver(Callback):
    """Writes a checkpoint after each batch, and after each validation, with the logits and the labels of that."""

    def __init__(self, folder: Path, batches: list[Batch]) -> None:
        self.folder, self.batches = folder, batches
        self.at_start: float | None = None
        self.dev: list[tuple[Tensor, Tensor]] = []
        self.metrics: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.at_start = pl_module.temperature  # type: ignore[assignment]

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step}.ckpt")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.dev.append(whole(self.batches, pl_module))  # type: ignore[arg-type]
            self.metrics.append({name: value.item() for name, value in trainer.callback_metrics.items()})
            trainer.save_checkpoint(self.folder / f"validation-{len(self.dev)}.ckpt")


def noisy_batches(sizes: list[int], num_labels: int, seed: int) -> list[Batch]:
    """Texts whose first token tells the class of most of them."""
    random = torch.Generator().manual_seed(seed)
    batches = []
    for batch in make_batches(sizes, num_labels, seed):
        assert batch.labels is not None
        told = torch.rand(len(batch.rows), generator=random) < 0.8
        batches.append(batch._replace(labels=torch.where(told, batch.input_ids[:, 0] * num_labels // 50, batch.labels)))
    return batches


def temperature_in(path: Path) -> float:
    return torch.load(path, weights_only=True)["temperature"]


def reference_temperature(logits: Tensor, labels: Tensor) -> float:
    """Minimize the cross-entropy by L-BFGS, as the code of Guo et al. does."""
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits.double() / log_temperature.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return math.exp(log_temperature.item())


@pytest.mark.parametrize("options", [{"num_labels": 3}, {"loss": "binary_cross_entropy"}])
def test_each_validation_fits_the_temperature_of_its_checkpoint(
    bert: dict[str, Any], tmp_path: Path, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    module = BertClassifierModule(bert, lr=1e-2, **options)
    classes = options.get("num_labels", 2)
    train, dev = noisy_batches([16] * 20, classes, seed=0), noisy_batches([16, 3, 16, 5], classes, seed=1)
    saver = Saver(tmp_path, dev)
    trainer(tmp_path, max_epochs=2, callbacks=[saver]).fit(module, loader(train), loader(dev))
    assert saver.at_start == 1.0  # after the sanity check
    temperatures = [temperature_in(tmp_path / f"validation-{number}.ckpt") for number in (1, 2)]
    between = [temperature_in(tmp_path / f"step-{step}.ckpt") for step in (1, 20, 21, 40)]
    assert between == [1.0, 1.0, temperatures[0], temperatures[0]]
    assert module.temperature == temperatures[1] != temperatures[0]
    for (logits, labels), temperature, metrics in zip(saver.dev, temperatures, saver.metrics, strict=True):
        logits = F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits
        assert temperature == pytest.approx(reference_temperature(logits, labels), rel=1e-3)
        assert metrics["val/temperature"] == pytest.approx(temperature)
        assert metrics["val/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
        for name, each in (("calibration_error", 1.0), ("calibration_error_after", temperature)):
            error = MulticlassCalibrationError(logits.shape[1], n_bins=15, norm="l1")
            expected = error((logits / each).softmax(1), labels).item()
            assert metrics[f"val/{name}"] == pytest.approx(expected, abs=1e-5)


@torch.inference_mode()
def test_test_and_prediction_are_calibrated_and_validation_is_not(bert: dict[str, Any], tmp_path: Path) -> None:
    module, (batch,) = BertClassifierModule(bert), make_batches([6])
    before, _ = module.eval()._step(batch, "test")
    module.temperature = 3.0
    trainer(tmp_path).validate(module, loader([batch]), verbose=False)
    assert module.temperature == 3.0  # fitted in fit alone
    logits, _ = whole([batch], module)
    after, tested = module._step(batch, "test")
    assert torch.equal(before, after)
    for found, temperature in (
        (tested, 3.0),
        (module.predict_step(batch, 0), 3.0),
        (module.validation_step(batch, 0), 1.0),
    ):
        torch.testing.assert_close(found.probabilities, (logits / temperature).softmax(1))


def test_a_resumed_run_has_the_temperature_of_one_that_was_not_interrupted(
    bert: dict[str, Any], tmp_path: Path
) -> None:
    def fit(folder: str, epochs: int, ckpt_path: Path | None = None, **settings: Any) -> float:
        torch.manual_seed(0)
        module = BertClassifierModule({**bert, **NO_DROPOUT}, dropout=0.0, lr=1e-2, schedule="constant")
        (tmp_path / folder).mkdir()
        fitted = trainer(tmp_path, max_epochs=epochs, callbacks=[Saver(tmp_path / folder, dev)], **settings)
        fitted.fit(module, loader(make_batches(SIZES)), loader(dev), ckpt_path=ckpt_path, weights_only=True)
        return module.temperature

    dev = make_batches([16, 3, 16, 5], seed=1)
    undisturbed = fit("whole", 2)
    assert fit("resumed", 2, tmp_path / "whole" / "validation-1.ckpt") == undisturbed
    first = temperature_in(tmp_path / "whole" / "validation-1.ckpt")
    unvalidated = fit("unvalidated", 2, tmp_path / "whole" / "validation-1.ckpt", limit_val_batches=0)
    assert unvalidated == first != undisturbed
    assert BertClassifierModule.load_from_checkpoint(tmp_path / "whole" / "step-12.ckpt").temperature == first


# Balanced class weights


class CountedData(LightningDataModule):
    """Batches of which the module learns how often each class occurs."""

    def __init__(self, **counts: int) -> None:
        super().__init__()
        self.counts = counts

    def label_counts(self) -> dict[str, int]:
        return self.counts

    def train_dataloader(self) -> DataLoader[Batch]:
        return loader(make_batches(SIZES))

    val_dataloader = test_dataloader = train_dataloader


def test_balanced_class_weights_are_those_of_the_training_rows_also_without_data(
    bert: dict[str, Any], tmp_path: Path
) -> None:
    module, recorder, data = BertClassifierModule(bert, class_weights="balanced"), LossRecorder(), CountedData(a=1, b=3)
    weights = [2.0, 2 / 3]
    fitted = trainer(tmp_path, callbacks=[recorder])
    fitted.fit(module, datamodule=data)
    logits, labels = whole(make_batches(SIZES), module)
    expected = F.cross_entropy(logits, labels, torch.tensor(weights)).item()
    assert fitted.callback_metrics["val/loss"].item() == pytest.approx(expected, abs=1e-6)
    fitted.save_checkpoint(tmp_path / "x.ckpt")
    again = BertClassifierModule.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert again.loss.weight.tolist() == pytest.approx(weights)
    (measured,) = trainer(tmp_path).test(again, loader(make_batches(SIZES)), verbose=False)
    assert measured["test/loss"] == pytest.approx(expected, abs=1e-6)
    resumed = BertClassifierModule(bert, class_weights="balanced")  # other rows do not change a run's loss
    trainer(tmp_path, max_epochs=2).fit(resumed, datamodule=CountedData(a=9, b=1), ckpt_path=tmp_path / "x.ckpt")
    assert resumed.loss.weight.tolist() == pytest.approx(weights)


def test_balanced_class_weights_need_rows_of_each_class(bert: dict[str, Any], tmp_path: Path) -> None:
    module = BertClassifierModule(bert, class_weights="balanced")
    with pytest.raises(UserError, match=r"class_weights balanced: .*\n.*datamodule="):
        trainer(tmp_path).fit(module, loader(make_batches(SIZES)))
    with pytest.raises(UserError, match=r"class_weights balanced: no training row has the label b"):
        trainer(tmp_path).fit(module, datamodule=CountedData(a=1, b=0))


# Checkpoints


def test_checkpoint_stands_alone(family: dict[str, Any], tmp_path: Path) -> None:
    module = BertClassifierModule(family, num_labels=3, class_weights=[1.0, 2.0, 3.0])
    fitted = trainer(tmp_path)
    fitted.fit(module, loader(make_batches(SIZES, 3)))
    fitted.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert {name.partition(".")[0] for name in checkpoint["state_dict"]} == {
        "encoder",
        "head",
        "train_metrics",  # so that a run that resumes within an epoch continues its counts
    }
    folder = tmp_path / "backbone"
    folder.mkdir()
    (folder / "config.json").write_text(checkpoint["encoder_config"])
    hparams = {**checkpoint["hyper_parameters"], "backbone": str(folder), "pretrained": False}
    restored = BertClassifierModule(**hparams)
    restored.load_state_dict(checkpoint["state_dict"])
    use_kernels(restored.encoder, Kernels(**checkpoint["kernels"]))
    batches = make_batches(SIZES)
    assert torch.equal(whole(batches, restored)[0], whole(batches, module)[0])
    reread: dict[str, Any] = {"state_dict": {}}
    restored.on_save_checkpoint(reread)
    assert reread["encoder_config"] == checkpoint["encoder_config"]  # the same from another folder


def test_a_resumed_run_computes_with_the_kernels_of_its_checkpoint(
    bert: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = Kernels("float32", packed=5), Kernels("bfloat16", packed=6)
    chosen = {torch.float32: first, torch.bfloat16: other}
    monkeypatch.setattr(encoder_module, "choose_kernels", lambda encoder, dtype: chosen[dtype])
    fitted = trainer(tmp_path)
    fitted.fit(BertClassifierModule(bert), loader(make_batches(SIZES)))
    fitted.save_checkpoint(tmp_path / "x.ckpt")
    chosen[torch.float32] = Kernels("float32", packed=7)
    kernels = []
    for precision in ("32-true", "bf16-mixed"):
        module = BertClassifierModule(bert)
        resumed = trainer(tmp_path, max_epochs=2, precision=precision)
        resumed.fit(module, loader(make_batches(SIZES)), ckpt_path=tmp_path / "x.ckpt")
        kernels.append(module.encoder.kernels)
    assert kernels == [first, other]


def test_load_from_checkpoint_needs_nothing_but_the_file(
    family: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_encoder(family, pretrained=True, need_pooler=False).save_pretrained(tmp_path / "backbone")
    module = BertClassifierModule(str(tmp_path / "backbone"), num_labels=3, pooling="mean", hidden_dropout=0.3)
    fitted = trainer(tmp_path)
    fitted.fit(module, loader(make_batches(SIZES, 3)))
    fitted.save_checkpoint(tmp_path / "x.ckpt", weights_only=False)
    shutil.rmtree(tmp_path / "backbone")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with (tmp_path / "x.ckpt").open("rb") as file:
        opened = [BertClassifierModule.load_from_checkpoint(source) for source in (tmp_path / "x.ckpt", file)]
    for one in opened:
        for batch in make_batches(SIZES):
            assert torch.equal(one.eval().classify(batch), module.eval().classify(batch))
        assert config_text(one.encoder.config) == config_text(module.encoder.config)
        assert one.hparams["hidden_dropout"] == 0.3
    again = BertClassifierModule(**opened[0].hparams)  # its hyper-parameters build it again
    assert again.limits == module.limits


def test_keys_that_only_the_family_s_code_knows_are_stored() -> None:
    buckets = {"relative_attention": True, "position_buckets": 4, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
    module = BertClassifierModule({**TINY["bert"], "model_type": "deberta-v2", **buckets})
    checkpoint: dict[str, Any] = {"state_dict": {}}
    module.on_save_checkpoint(checkpoint)
    again = BertClassifierModule(stored_backbone(checkpoint), pretrained=False)
    again.load_state_dict(module.state_dict())
    (batch,) = make_batches([3])
    assert torch.equal(again.eval().classify(batch), module.eval().classify(batch))


def test_load_from_checkpoint_of_another_module_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": {"backbone": "x"}}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="no encoder_config"):
        BertClassifierModule.load_from_checkpoint(tmp_path / "x.ckpt")


def test_checkpoint_of_a_folder_names_no_folder(bert: dict[str, Any], tmp_path: Path) -> None:
    load_encoder(bert, pretrained=True, need_pooler=True).save_pretrained(tmp_path / "secret")
    checkpoint: dict[str, Any] = {"state_dict": {}}
    BertClassifierModule(str(tmp_path / "secret")).on_save_checkpoint(checkpoint)
    assert "secret" not in checkpoint["encoder_config"]
    (tmp_path / "secret" / "config.json").write_text(checkpoint["encoder_config"])
    assert AutoConfig.from_pretrained(tmp_path / "secret").hidden_size == 16


def test_hyper_parameters_are_plain(bert: dict[str, Any]) -> None:
    module = BertClassifierModule(bert, class_weights=[1.0, 2.0])
    assert module.hparams["backbone"] == bert
    assert {type(value) for value in module.hparams.values()} <= {str, int, float, bool, list, dict, type(None)}
    assert module.limits == EncoderLimits(600, 40, 0, packs_rows=True)


# Logging, precision, compilation, processes


def test_graph_goes_to_tensorboard(family: dict[str, Any], tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    module = BertClassifierModule(family, pooling="mean")
    fitted = trainer(tmp_path, logger=logger, enable_model_summary=True)
    fitted.fit(module, loader(make_batches([2])))
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir).Reload()
    assert events.Tags()["graph"]
    assert "encoder" in str(events.Graph())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.parametrize(
    "options",
    [{"num_labels": 3, "class_weights": [1.0, 2.0, 0.5], "pooling": "mean"}, {"loss": "binary_cross_entropy"}],
)
def test_half_precision(bert: dict[str, Any], tmp_path: Path, precision: Any, options: dict[str, Any]) -> None:
    module = BertClassifierModule(bert, **options)
    batches = make_batches([4, 3], module.hparams["num_labels"])
    fitted = trainer(tmp_path, precision=precision)
    fitted.fit(module, loader(batches), loader(batches))
    assert fitted.global_step == 2
    assert module.head.linear.weight.dtype == (torch.bfloat16 if precision == "bf16-true" else torch.float32)
    logged = fitted.callback_metrics
    assert logged["val/loss"].dtype == torch.float32
    assert torch.isfinite(logged["val/loss"])
    assert logged["train/loss"].dtype == torch.float32
    found = fitted.predict(module, loader(batches))
    assert found is not None
    for prediction in found:
        assert prediction.probabilities.dtype == torch.float32
        torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(len(prediction.rows)))


class ValuesFetched(TorchDispatchMode, Callback):
    """Keep the operations of training steps that would make the program wait for a GPU."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.in_step = False
        self.steps = 0
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.in_step and func.overloadpacket.__name__ in self.WAITING:
            self.found.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.in_step = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.in_step = False
        self.steps += 1


@pytest.mark.parametrize("pooling", ["cls", "mean", "head"])
def test_a_training_step_waits_for_nothing(
    family: dict[str, Any], pooling: Literal["cls", "mean", "head"], tmp_path: Path
) -> None:
    fetched = ValuesFetched()
    batches = packed_batches()
    module = BertClassifierModule(family, pooling=pooling)
    with fetched:
        trainer(tmp_path, callbacks=[fetched], gradient_clip_val=1.0).fit(module, loader(batches))
    assert fetched.steps == len(batches)
    assert fetched.found == []


class GraphCounter(Callback):
    """Keep the number of compiled graphs after each batch, and the losses."""

    def __init__(self, counter: CompileCounter) -> None:
        self.counter = counter
        self.graphs: list[int] = []
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.graphs.append(self.counter.frame_count)
        self.losses.append(outputs["loss"].item())


@pytest.mark.parametrize("pooling", ["cls", "mean", "head"])
def test_training_compiles_once(
    family: dict[str, Any], pooling: Literal["cls", "mean", "head"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()  # it stops compiling code that other tests compiled often
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    batches = packed_batches()
    batches.insert(0, batches.pop())  # the smaller one first: a run may resume there
    runs = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        module = BertClassifierModule(family, pooling=pooling, dropout=0.0, hidden_dropout=0.0, attention_dropout=0.0)
        keys = list(module.state_dict())
        if compiled:
            module.compile_training(8)
        runs[compiled] = GraphCounter(counter)
        fitted = trainer(tmp_path, max_epochs=2, callbacks=[runs[compiled]])
        fitted.fit(module, loader(batches), loader(make_batches(SIZES)))
        assert list(module.state_dict()) == keys
    assert set(runs[False].graphs) == {0}
    assert runs[True].graphs == [0] + [1] * 13
    assert runs[True].losses == pytest.approx(runs[False].losses, abs=1e-6)


def test_both_passes_of_r_drop_are_compiled_as_one(
    bert: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    module = BertClassifierModule(bert, r_drop=1.0)
    module.compile_training(8)
    trainer(tmp_path).fit(module, loader(packed_batches()))
    assert counter.frame_count == 1


class ShardedData(LightningDataModule):
    """Every other batch for each of two processes, of unequal sizes."""

    def train_dataloader(self) -> DataLoader[Batch]:
        return loader(self._shard())

    val_dataloader = train_dataloader

    def _shard(self) -> list[Batch]:
        assert self.trainer is not None
        return make_batches(SIZES)[self.trainer.global_rank :: self.trainer.world_size]


def test_two_processes_measure_as_one(bert: dict[str, Any], tmp_path: Path) -> None:
    module = BertClassifierModule(bert, class_weights=[0.5, 2.0], lr=1e-3, warmup_steps=1)
    before = module.head.linear.weight.clone()
    two = trainer(tmp_path, devices=2, strategy="ddp_spawn", use_distributed_sampler=False)
    two.fit(module, datamodule=ShardedData())
    assert not torch.equal(module.head.linear.weight, before)  # the weights of the other processes have come back
    logits, labels = whole(make_batches(SIZES), module)
    found = {name: value.item() for name, value in two.callback_metrics.items()}
    assert found["val/loss"] == pytest.approx(module.loss(logits, labels).item(), abs=1e-6)
    assert found["val/accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item(), abs=1e-6)
    assert found["val/temperature"] == pytest.approx(reference_temperature(logits, labels), rel=1e-3)


# Bad values


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lr", [0, -1e-5, None, math.nan, "fast"]),
        ("dropout", [-0.1, 1.0]),
        ("hidden_dropout", [-0.1, 1.0]),
        ("attention_dropout", [-0.1, 1.0]),
        ("label_smoothing", [-0.1, 1.0]),
        ("weight_decay", [-0.1]),
        ("layer_decay", [0.0, 1.1]),
        ("warmup_ratio", [-0.1, 1.1]),
        ("warmup_steps", [-1]),
        ("num_labels", [1, 0]),
        ("class_weights", [[1.0], [0.0, 1.0], "balancd"]),
        ("r_drop", [-0.1]),
        ("pooling", ["max"]),
        ("schedule", ["step"]),
        ("loss", ["hinge"]),
    ],
)
def test_bad_values_are_refused_by_key(bert: dict[str, Any], key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UserError, match=rf"model\.{key}"):
            BertClassifierModule(bert, **{key: value})


def test_binary_cross_entropy_is_for_two_classes(bert: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"model\.loss"):
        BertClassifierModule(bert, num_labels=3, loss="binary_cross_entropy")
