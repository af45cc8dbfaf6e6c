"""Signals to a training run: it ends its step, saves, closes its logs, and says how to go on."""

import json
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.faults.conftest import TWO, Forked, Run

TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1


def fit(recipe: Path, logs: Path, *args: str) -> Run:
    return Run(["fit", "--config", str(recipe), "--log_dir", str(logs), *args])


def stopped_whole(run: Run | Forked, signum: signal.Signals, logs: Path) -> Path:
    """Checks that a run was stopped in order by ``signum``; its last checkpoint."""
    assert run.end() == 128 + signum, run.stderr[-3000:]
    assert "Traceback" not in run.stderr
    said = re.search(rf"stopped by {signum.name} after step (\d+).*\n.* fit --ckpt_path (.*)", run.stderr)
    assert said, run.stderr[-3000:]
    folder = logs / "small" / "version_0"
    assert Path(said[2]) == folder / "checkpoints" / "last.ckpt"
    step = int(said[1])
    assert torch.load(said[2], weights_only=True)["global_step"] == step
    events = EventAccumulator(str(folder)).Reload().Scalars("train/loss")
    table = pd.read_csv(folder / "metrics.csv").dropna(subset="train/loss")
    assert events[-1].step == table["step"].iloc[-1] == step - 1  # the first step's is 0
    assert not list(folder.rglob("*.part"))
    return Path(said[2])


@pytest.mark.parametrize(("processes", "workers"), [(1, 2), (2, 0)])
def test_sigterm_to_all_saves_and_the_run_goes_on(recipe: Path, tmp_path: Path, processes: int, workers: int) -> None:
    args = ["--config", str(recipe), "--log_dir", str(tmp_path), f"--data.num_workers={workers}"]
    run = Forked(["fit", *args], log=tmp_path / "log", processes=processes)
    run.wait_for("epoch 1/1000:  20 %")
    run.send(TERM)
    last = stopped_whole(run, TERM, tmp_path)
    step = torch.load(last, weights_only=True)["global_step"]
    more = ["--ckpt_path", str(last), f"--trainer.max_steps={step + 5}", "--trainer.limit_val_batches=1"]
    on = Forked(["fit", *more], log=tmp_path / "log", processes=processes)
    assert on.end() == 0, on.stderr[-3000:]
    assert torch.load(last, weights_only=True)["global_step"] == step + 5


def test_a_second_ctrl_c_stops_at_once(recipe: Path, tmp_path: Path) -> None:
    args = ["--config", str(recipe), "--log_dir", str(tmp_path), "--trainer.accumulate_grad_batches=10000"]
    # A step lasts as long as the epoch, and that is long enough for two signals from a busy machine.
    run = Forked(["fit", *args, "--data.batch_size=2"], log=tmp_path / "log")
    run.wait_for("epoch 1/1000:  10 %")
    run.send(INT)
    run.wait_for("SIGINT: stopping after this step")
    run.send(INT)
    assert run.end() == -INT
    assert "stopped by" not in run.stderr
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.faults
@pytest.mark.parametrize("signum", [INT, TERM, USR1])
@pytest.mark.parametrize("moment", ["epoch 1/1000:  20 %", "epoch 1/1000: 100 %", "epoch 2/1000:  50 %"])
def test_one_process_stops(recipe: Path, tmp_path: Path, signum: signal.Signals, moment: str) -> None:
    run = fit(recipe, tmp_path, "--data.max_tokens=80")
    run.wait_for(moment)
    run.send(signum, "parent")
    stopped_whole(run, signum, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("signum", [INT, TERM, USR1])
@pytest.mark.parametrize("moment", ["epoch 1/1000:  20 %", "epoch 1/1000: 100 %"])
@pytest.mark.parametrize("processes", [1, 2])
def test_workers_that_build_batches_do_not_die_of_it(
    recipe: Path, tmp_path: Path, signum: signal.Signals, moment: str, processes: int
) -> None:
    args = ["--config", str(recipe), "--log_dir", str(tmp_path), "--data.num_workers=2", "--data.max_tokens=320"]
    run = Forked(["fit", *args], log=tmp_path / "log", processes=processes)
    run.wait_for(moment)
    run.send(signum)
    stopped_whole(run, signum, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("signum", [INT, TERM, USR1])
@pytest.mark.parametrize("to", ["parent", "group", "second"])
@pytest.mark.parametrize("moment", ["epoch 1/1000:  20 %", "epoch 1/1000: 100 %"])
def test_two_processes_stop(recipe: Path, tmp_path: Path, signum: signal.Signals, to: str, moment: str) -> None:
    run = fit(recipe, tmp_path, *TWO, "--data.max_tokens=320")
    run.wait_for(moment)
    run.send(signum, to)
    stopped_whole(run, signum, tmp_path)


@pytest.mark.faults
def test_a_validation_that_was_cut_short_is_run_whole(recipe: Path, tmp_path: Path) -> None:
    run = fit(recipe, tmp_path, "--data.max_tokens=80")
    run.wait_for("epoch 1/1000: 100 %")
    run.send(TERM, "parent")
    last = stopped_whole(run, TERM, tmp_path)
    measured = {}
    for name, command in (("small", ["fit", "--trainer.max_epochs=1"]), ("alone", ["validate", "--name=alone"])):
        on = Run([*command, "--ckpt_path", str(last), "--log_dir", str(tmp_path)])
        assert on.end() == 0, on.stderr[-3000:]
        table = pd.read_csv(sorted((tmp_path / name).glob("version_*"))[-1] / "metrics.csv")
        measured[name] = table[["val/accuracy", "val/f1", "val/loss"]].dropna().iloc[-1].tolist()
    assert measured["small"] == pytest.approx(measured["alone"], abs=1e-6)


@pytest.mark.faults
@pytest.mark.parametrize(("processes", "to"), [([], "parent"), (TWO, "parent"), (TWO, "second")])
def test_before_training_a_signal_ends_the_run_too(recipe: Path, tmp_path: Path, processes: list[str], to: str) -> None:
    run = fit(recipe, tmp_path, *processes)
    run.wait_for("rows out")  # said while the data is read
    run.send(TERM, to)
    assert run.end() == 143, run.stderr[-3000:]
    assert "Traceback" not in run.stderr


@pytest.mark.faults
@pytest.mark.parametrize("to", ["parent", "group", "second"])
def test_two_processes_that_measure_stop_at_once(recipe: Path, tmp_path: Path, to: str) -> None:
    run = fit(recipe, tmp_path, "--trainer.max_steps=1", "--trainer.limit_val_batches=1")
    assert run.end() == 0, run.stderr[-3000:]
    last = str(tmp_path / "small" / "version_0" / "checkpoints" / "last.ckpt")
    on = Run(["test", "--ckpt_path", last, "--log_dir", str(tmp_path), "--data.max_tokens=1", *TWO])
    on.wait_for("test:  10 %")
    on.send(TERM, to)
    assert on.end() == 143, on.stderr[-3000:]
    assert "Traceback" not in on.stderr


@pytest.mark.faults
@pytest.mark.parametrize("processes", [[], TWO])
def test_a_loss_that_is_no_number_ends_the_run_with_its_reviews(
    recipe: Path, tmp_path: Path, processes: list[str]
) -> None:
    run = fit(recipe, tmp_path, *processes, "--model.lr=1e30", "--model.warmup_ratio=0", "--trainer.max_epochs=2")
    assert run.end() == 2, run.stderr[-3000:]
    assert "Traceback" not in run.stderr
    assert "the loss is not finite" in run.stderr
    folder = tmp_path / "small" / "version_0"
    assert len(json.loads((folder / "non_finite_0.json").read_text(encoding="utf-8"))["ids"]) == 32
    assert not list(folder.rglob("*.ckpt"))
