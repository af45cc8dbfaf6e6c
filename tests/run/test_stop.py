"""How a process handles a signal before and during training; tests/faults has whole runs."""

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.run.stop import GracefulStop, Stopped


def trainer(world_size: int = 1, children: list[Any] | None = None) -> Any:
    """A trainer that is not running, as far as the callback uses it."""
    strategy = SimpleNamespace(launcher=SimpleNamespace(procs=children or []))
    return SimpleNamespace(
        world_size=world_size,
        strategy=strategy,
        local_rank=0,
        is_global_zero=True,
        global_step=0,
        sanity_checking=False,
    )


def test_before_training_a_signal_ends_the_run_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped) as stopped, GracefulStop(None).watching(trainer(), training=True):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 143
    assert "stopped by SIGTERM; nothing was saved" in capsys.readouterr().err


def test_the_command_that_resumes_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "my runs" / "last.ckpt")
    with pytest.raises(Stopped), GracefulStop(None).watching(trainer(), training=True):
        raise Stopped(signal.SIGTERM, path)
    (command,) = [line for line in capsys.readouterr().err.splitlines() if "--ckpt_path" in line]
    assert shlex.split(command)[-1] == path


def test_in_training_a_signal_waits_and_a_second_ctrl_c_is_left_to_the_system() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = GracefulStop(None)
    with stop.watching(trainer(), training=True):
        stop.on_train_start(trainer(), None)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.signal == signal.SIGINT  # the first counts
    with stop.watching(trainer(), training=True):
        stop.signal = 0
        stop.on_train_start(trainer(), None)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == before


def test_an_error_ends_the_processes_that_were_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    waiting = trainer(2, [child])
    with pytest.raises(ValueError, match="broken"), GracefulStop(None).watching(waiting, training=True):
        raise ValueError("broken")
    assert child.wait(600) == -signal.SIGKILL
    assert not waiting.strategy.launcher.procs


def test_an_error_ends_the_processes_that_were_spawned() -> None:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    with pytest.raises(ValueError, match="broken"), GracefulStop(None).watching(trainer(2, [child]), training=True):
        raise ValueError("broken")
    child.join(600)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("epoch", "stops"), [(0, True), (1, False)])
def test_a_run_s_last_validation_is_finished(
    tmp_path: Path, epoch: int, stops: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    # After it nothing is left to train, so no resumed run would finish it.
    stop = GracefulStop(None)

    class Signalled(BoringModel):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.current_epoch == epoch:
                os.kill(os.getpid(), signal.SIGUSR1)

    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    limits: dict[str, Any] = {"max_epochs": 2, "limit_train_batches": 1, "limit_val_batches": 2}
    run = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", num_sanity_val_steps=0, callbacks=[stop], **quiet, **limits
    )
    with pytest.raises(Stopped) if stops else nullcontext(), stop.watching(run, training=True):
        run.fit(Signalled())
    if not stops:
        assert capfd.readouterr().err == "SIGUSR1: finishing the last validation; Ctrl-C stops at once.\n"
        assert run.fit_loop.epoch_loop.val_loop.batch_progress.current.completed == 2
