"""A run that is killed and goes on ends as the run that never was: weights, optimizer, metrics and curves."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nsmc_lightning.callbacks.throughput import RATES

SETTINGS = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=30",
    "--trainer.limit_val_batches=2",
    "--trainer.accumulate_grad_batches=2",
    "--trainer.log_every_n_steps=3",
    "--data.batch_size=8",
    "--save_minutes=0",  # after every step
    "--log_graph=false",
]


def command(args: list[str]) -> list[str]:
    return [sys.executable, "-m", "nsmc_lightning", "fit", *args]


def finished(args: list[str]) -> None:
    done = subprocess.run(command(args), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    finished(["--config", str(recipe), "--log_dir", str(folder), "--name=run", *SETTINGS])
    return folder / "run" / "version_0"


def killed_and_resumed(recipe: Path, folder: Path, seconds: float) -> Path:
    """Starts a run, kills it ``seconds`` after its first checkpoint, and goes on from ``last.ckpt`` to the end."""
    args = ["--config", str(recipe), "--log_dir", str(folder), "--name=run", *SETTINGS]
    last = folder / "run" / "version_0" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(command(args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not last.is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert last.is_file()
    time.sleep(seconds)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished(["--ckpt_path", str(last)])
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


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    names = [name for name in events.Tags()["scalars"] if not measured(name)]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def compare(run: Path, whole: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (run, whole))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
            same(ours[key], theirs[key], f"{name}.{key}")
    tables = []
    for folder in (run, whole):
        table = pd.read_csv(folder / "metrics.csv")
        table = table[[name for name in sorted(table) if not measured(name)]]
        tables.append(table.sort_values(list(table)).reset_index(drop=True))
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    assert curves(run) == curves(whole)


def test_killed_once(recipe: Path, whole: Path, tmp_path: Path) -> None:
    compare(killed_and_resumed(recipe, tmp_path, 0.3), whole)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random(seed: int, recipe: Path, whole: Path, tmp_path: Path) -> None:
    compare(killed_and_resumed(recipe, tmp_path, random.Random(seed).uniform(0, 3)), whole)
