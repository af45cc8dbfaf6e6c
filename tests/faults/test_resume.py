"""A run that is killed and goes on ends as the run that never was: weights, optimizer, metrics and curves."""

import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nsmc_lightning.callbacks.throughput import RATES
from nsmc_lightning.run.average_weights import TRAINED
from tests.faults.conftest import Forked

SETTINGS = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=30",
    "--trainer.limit_val_batches=2",
    "--trainer.accumulate_grad_batches=2",
    "--trainer.log_every_n_steps=3",
    "--data.batch_size=8",
]
AVERAGED = ["--averaging.decay=0.9", "--model.r_drop=1"]
STEPS, EPOCHS = "--save_minutes=0", "--save_minutes=10"  # when there is a checkpoint: after a step, at an epoch's end


def finished(args: list[str], log: Path, processes: int = 1) -> None:
    run = Forked(["fit", *args], log=log, processes=processes)
    code = run.end()
    if code == 2 and "nothing is left to train" in run.stderr:
        pytest.skip("the kill came after the run's last checkpoint")
    assert code == 0, run.stderr[-3000:]


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    return never_killed(recipe, folder)


@pytest.fixture(scope="module")
def whole_of_two(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of two processes."""
    return never_killed(recipe, tmp_path_factory.mktemp("whole_of_two"), processes=2)


def never_killed(recipe: Path, folder: Path, processes: int = 1, more: Sequence[str] = ()) -> Path:
    args = ["--config", str(recipe), "--log_dir", str(folder), "--name=run", *more]
    finished([*args, *SETTINGS, STEPS], folder / "log", processes)
    return folder / "run" / "version_0"


def killed_and_resumed(
    recipe: Path, folder: Path, save: str, seconds: float, processes: int = 1, more: Sequence[str] = ()
) -> Path:
    """Starts a run, kills it ``seconds`` after its first checkpoint, and goes on from ``last.ckpt`` to the end."""
    args = ["fit", "--config", str(recipe), "--log_dir", str(folder), "--name=run", *SETTINGS, save, *more]
    last = folder / "run" / "version_0" / "checkpoints" / "last.ckpt"
    run = Forked(args, log=folder / "log", processes=processes)
    run.wait_for(last)
    time.sleep(seconds)
    run.send(signal.SIGKILL)
    assert run.end() in (-signal.SIGKILL, 0)
    finished(["--ckpt_path", str(last)], folder / "log", processes)
    return folder / "run" / "version_0"


def same(one: Any, other: Any, where: str = "") -> None:
    """Equal bit for bit, tensors within dictionaries and lists too."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}.{i}")
    else:
        assert one == other, where


def measured(name: str) -> bool:
    """Whether a number is of the process that computed it, not of the model."""
    return name.split("/")[-1] in RATES


def curves(run: Path) -> dict[str, set[tuple[int, float]]]:
    """Points by name; one that is drawn twice, by the run that was killed and the one that went on, is one."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    names = [name for name in events.Tags()["scalars"] if not measured(name)]
    return {name: {(event.step, event.value) for event in events.Scalars(name)} for name in names}


def compare(run: Path, whole: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (run, whole))
        assert ours.keys() == theirs.keys()
        for key in ("state_dict", TRAINED, "temperature", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
            same(ours.get(key), theirs.get(key), f"{name}.{key}")
    tables = []
    for folder in (run, whole):
        table = pd.read_csv(folder / "metrics.csv")
        table = table[[name for name in sorted(table) if not measured(name)]]
        tables.append(table.sort_values(list(table)).reset_index(drop=True))
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    assert curves(run) == curves(whole)


@pytest.mark.parametrize("save", [STEPS, EPOCHS])
def test_killed_once(save: str, recipe: Path, whole: Path, tmp_path: Path) -> None:
    compare(killed_and_resumed(recipe, tmp_path, save, 0.1), whole)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random(seed: int, recipe: Path, whole: Path, tmp_path: Path) -> None:
    compare(killed_and_resumed(recipe, tmp_path, STEPS, random.Random(seed).uniform(0, 2)), whole)


@pytest.mark.faults
@pytest.mark.parametrize("save", [STEPS, EPOCHS])
@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
def test_two_processes_killed(save: str, seconds: float, recipe: Path, whole_of_two: Path, tmp_path: Path) -> None:
    compare(killed_and_resumed(recipe, tmp_path, save, seconds, processes=2), whole_of_two)


@pytest.mark.faults
@pytest.mark.parametrize("save", [STEPS, EPOCHS])
@pytest.mark.parametrize("processes", [1, 2])
def test_averaged_weights_of_killed_processes(save: str, processes: int, recipe: Path, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = never_killed(recipe, tmp_path / "whole", processes, AVERAGED)
    compare(killed_and_resumed(recipe, tmp_path / "killed", save, 0.3, processes, AVERAGED), whole)
