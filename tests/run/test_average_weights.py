"""The moving average of the weights, recomputed by hand, and what validations, checkpoints and resumed runs hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.utils.data import DataLoader

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.average_weights import TRAINED, AverageWeights
from tests.faults.test_resume import same

pytestmark = pytest.mark.filterwarnings("ignore")

DECAY = 0.6  # from the fifth step on: (1 + 5) / (10 + 5) is less
BATCHES = 5


class Line(LightningModule):
    """A linear layer, a second name of its weight, and a buffer; batches depend on the step alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.again = self.layer.weight
        self.register_buffer("steps", torch.zeros(()))
        self.compute: Any = self.layer.forward
        self.validated: list[NDArray[Any]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.steps += 1
        inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(self.trainer.global_step))
        return (self.compute(inputs) - inputs[:, :2].sin()).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            self.validated.append(vector(self.state_dict()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(torch.zeros(BATCHES))

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(torch.zeros(2))


class Trained(Callback):
    """Records the weights after each step; in front of the average, which replaces them."""

    def __init__(self) -> None:
        self.weights: list[NDArray[Any]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append(vector(pl_module.state_dict()))


class SaveEverywhere(Callback):
    """Writes a checkpoint after each batch of training and of validation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        trainer.save_checkpoint(self.folder / f"batch-{trainer.global_step}.ckpt")

    def on_validation_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        trainer.save_checkpoint(self.folder / f"validation-{trainer.global_step}.ckpt")


def vector(weights: dict[str, Tensor]) -> NDArray[Any]:
    """The layer's weight and bias, as the checkpoints name them."""
    return np.concatenate([weights[f"layer.{name}"].detach().numpy().copy().ravel() for name in ("weight", "bias")])


def averages(weights: list[NDArray[Any]], decay: float = DECAY) -> list[NDArray[Any]]:
    """The average after each step, from the weights before the first step and after each."""
    found = [weights[0].astype(np.float64)]
    for step, weight in enumerate(weights[1:], start=1):
        kept = min(decay, (1 + step) / (10 + step))
        found.append(kept * found[-1] + (1 - kept) * weight)
    return found[1:]


def fit(folder: Path, *callbacks: Callback, module: Line | None = None, **settings: Any) -> tuple[Trainer, Line]:
    """Trains for two epochs."""
    ckpt_path = settings.pop("ckpt_path", None)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    common = {"accelerator": "cpu", "max_epochs": 2, "enable_checkpointing": False, "default_root_dir": folder}
    trainer = Trainer(callbacks=[*callbacks], **{**quiet, **common, **settings})
    module = module or Line()
    trainer.fit(module, ckpt_path=ckpt_path, weights_only=True)
    return trainer, module


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("batches", [1, 2])  # of two, an epoch's last step has one
@pytest.mark.parametrize("decay", [DECAY, 0.01])
def test_the_average_is_that_of_the_weights_after_each_step(tmp_path: Path, batches: int, decay: float) -> None:
    trained, plain, start = Trained(), Trained(), vector(Line().state_dict())
    settings = {"accumulate_grad_batches": batches}
    _, module = fit(tmp_path, trained, AverageWeights(decay), **settings)
    expected = averages([start, *trained.weights], decay)
    steps = 3 if batches == 2 else 5
    assert len(expected) == 2 * steps
    np.testing.assert_allclose(module.validated, np.repeat(expected[steps - 1 :: steps], 2, axis=0), rtol=1e-5)
    np.testing.assert_allclose(vector(module.state_dict()), expected[-1], rtol=1e-5)
    assert module.steps == 10
    fit(tmp_path, plain, AverageWeights(), **settings)
    assert np.array_equal(trained.weights, plain.weights)  # training is not disturbed


def test_every_checkpoint_holds_the_average_and_the_trained_weights(tmp_path: Path) -> None:
    trained, start = Trained(), vector(Line().state_dict())
    saved = ModelCheckpoint(tmp_path / "weights", "{step}", save_top_k=-1, monitor=None, save_weights_only=True)
    callbacks = [trained, SaveEverywhere(tmp_path), AverageWeights(DECAY), saved]
    trainer, _ = fit(tmp_path, *callbacks, enable_checkpointing=True, num_sanity_val_steps=0)
    trainer.save_checkpoint(tmp_path / "after-10.ckpt")
    expected = averages([start, *trained.weights])
    for name in ("validation-5", "validation-10", "after-10"):
        step = int(name.split("-")[1])
        checkpoint = load(tmp_path / f"{name}.ckpt")
        np.testing.assert_allclose(vector(checkpoint["state_dict"]), expected[step - 1], rtol=1e-5)
        assert np.array_equal(vector(checkpoint[TRAINED]), trained.weights[step - 1])
        assert torch.equal(checkpoint["state_dict"]["again"], checkpoint["state_dict"]["layer.weight"])
        assert checkpoint["state_dict"]["steps"] == step
    for step in (5, 10):
        weights = load(tmp_path / "weights" / f"step={step}.ckpt")["state_dict"]
        np.testing.assert_allclose(vector(weights), expected[step - 1], rtol=1e-5)
    early = load(tmp_path / "batch-5.ckpt")  # of a callback in front, before the step is averaged
    np.testing.assert_allclose(vector(early["state_dict"]), expected[3], rtol=1e-5)
    assert np.array_equal(vector(early[TRAINED]), trained.weights[4])


def test_a_resumed_or_extended_run_ends_as_one_that_was_neither(tmp_path: Path) -> None:
    fit(tmp_path, AverageWeights(DECAY), SaveEverywhere(tmp_path))
    trainer, _ = fit(tmp_path, AverageWeights(DECAY), max_epochs=3)
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    whole = load(tmp_path / "whole.ckpt")
    for place in [*(f"batch-{step}" for step in range(1, 11)), "validation-10"]:
        path = tmp_path / f"{place}.ckpt"
        trainer, _ = fit(tmp_path, AverageWeights(DECAY), max_epochs=3, ckpt_path=path)
        trainer.save_checkpoint(tmp_path / "resumed.ckpt")
        resumed = load(tmp_path / "resumed.ckpt")
        for key in ("state_dict", TRAINED, "optimizer_states", "global_step"):
            same(resumed[key], whole[key], f"{place}.{key}")
        assert resumed["callbacks"]["AverageWeights"] == {"updates": 15}


def test_a_run_resumes_without_the_average_and_another_starts_one(tmp_path: Path) -> None:
    for name, decay in (("averaged", DECAY), ("plain", 0.0)):
        trainer, _ = fit(tmp_path, AverageWeights(decay))
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
    _, whole = fit(tmp_path, AverageWeights(), max_epochs=3)
    trainer, module = fit(tmp_path, AverageWeights(), max_epochs=3, ckpt_path=tmp_path / "averaged.ckpt")
    same(module.state_dict(), whole.state_dict())
    trainer.save_checkpoint(tmp_path / "without.ckpt")
    assert not {TRAINED} & load(tmp_path / "without.ckpt").keys()
    assert load(tmp_path / "without.ckpt")["callbacks"] == {}
    trained, start = Trained(), vector(load(tmp_path / "plain.ckpt")["state_dict"])
    trained.weights = [start] * 10
    _, module = fit(tmp_path, trained, AverageWeights(DECAY), max_epochs=3, ckpt_path=tmp_path / "plain.ckpt")
    expected = averages([start, *trained.weights[10:]])[-1]
    np.testing.assert_allclose(vector(module.state_dict()), expected, rtol=1e-5)


def test_a_second_fit_starts_from_the_weights_that_the_module_has(tmp_path: Path) -> None:
    averaging, module = AverageWeights(DECAY), Line()
    fit(tmp_path, averaging, module=module)
    module.load_state_dict(Line().state_dict())
    fit(tmp_path, averaging, module=module)
    same(module.state_dict(), fit(tmp_path, AverageWeights(DECAY))[1].state_dict())


def test_a_module_that_was_not_fitted_is_saved_as_it_is(tmp_path: Path) -> None:
    trainer, _ = fit(tmp_path, AverageWeights(DECAY))
    other = Line()
    trainer.validate(other, verbose=False)
    trainer.save_checkpoint(tmp_path / "other.ckpt")
    same(dict(load(tmp_path / "other.ckpt")["state_dict"]), dict(other.state_dict()))


def test_training_is_compiled_once(tmp_path: Path) -> None:
    torch._dynamo.reset()
    counter, runs = CompileCounter(), []
    for compiled in (False, True):
        module = Line()
        if compiled:
            module.compute = torch.compile(module.layer.forward, backend=counter)
        runs.append(fit(tmp_path, AverageWeights(DECAY), module=module)[1].state_dict())
    assert counter.frame_count == 1
    for name, value in runs[0].items():
        torch.testing.assert_close(runs[1][name], value, msg=name)


def test_weights_that_cannot_be_averaged_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.precision bf16-true"):
        fit(tmp_path, AverageWeights(DECAY), precision="bf16-true")
    divided: Any = SimpleNamespace(strategy="fsdp")
    with pytest.raises(UserError, match=r"--trainer\.strategy"):
        AverageWeights(DECAY).on_fit_start(divided, Line())
    with pytest.raises(UserError, match=r"averaging\.decay"):
        AverageWeights(1.0)
