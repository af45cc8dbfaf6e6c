"""Runs of the command line in processes of their own, so that they can be hurt."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from nsmc_lightning.cli import main
from tests.conftest import SMALL

PATIENCE = 300  # seconds until a process counts as one that hangs, however busy the machine is
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]


class Run:
    """A command in a process group of its own; its standard error can be waited for."""

    started: ClassVar[list["Run | Forked"]] = []

    def __init__(self, args: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nsmc_lightning", *args],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        Run.started.append(self)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def stderr(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Returns when a line of standard error holds ``text``; fails when the process ends before."""
        end = time.monotonic() + seconds
        while not any(text in line for line in list(self.lines)):
            if time.monotonic() > end or self.process.poll() is not None:
                self.kill()
                raise AssertionError(f"{text!r} did not come:\n{self.stderr[-3000:]}")
            time.sleep(0.01)

    def second(self) -> int:
        """The process that the first one started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text().split():
            if b"nsmc_lightning" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        raise AssertionError("there is no second process")

    def send(self, signum: signal.Signals, to: str) -> None:
        """Sends a signal to the ``parent``, to the whole ``group`` or to the ``second`` process."""
        if to == "group":
            os.killpg(self.process.pid, signum)
        else:
            os.kill(self.process.pid if to == "parent" else self.second(), signum)

    def end(self, seconds: float = PATIENCE) -> int:
        """Waits for the end of the process, of all that it started, and of its output; the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"hangs:\n{self.stderr[-3000:]}") from None
        self._reader.join(PATIENCE)
        end = time.monotonic() + PATIENCE
        while _alive(self.process.pid):
            assert time.monotonic() < end, f"processes were left behind:\n{self.stderr[-3000:]}"
            time.sleep(0.05)
        return code

    def kill(self) -> None:
        """Ends all of it, whatever state it is in."""
        if _alive(self.process.pid):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def forkserver() -> Any:
    """What starts processes as forks of one that has all imports behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nsmc_lightning.commands.classifier_cli", "tests.faults.test_files"])
    return context


class Forked:
    """Commands, one after the other, in one or two processes forked from one that has all imports behind it.

    Two are the two ranks of a run: they find each other as those of a cluster's launcher do, by their environment.

    Args:
        commands: words of each command line, without the options that make it one of two processes.
        log: file for what they print.
        processes: one or two.
        folder: where they run; None is the folder of this process.
    """

    def __init__(self, *commands: list[str], log: Path, processes: int = 1, folder: Path | None = None) -> None:
        context = forkserver()
        environment = {}
        if processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
        self.log = log
        self.ranks = [
            context.Process(target=_commands, args=(commands, {**environment, **_rank(rank, processes)}, log, folder))
            for rank in range(processes)
        ]
        for process in self.ranks:
            process.start()
        Run.started.append(self)

    @property
    def stderr(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def wait_for(self, text: str | Path, seconds: float = PATIENCE) -> None:
        """Returns when a line of standard error holds ``text``, or when the file is there."""
        end = time.monotonic() + seconds
        while not (text.exists() if isinstance(text, Path) else text in self.stderr):
            if time.monotonic() > end or not self.ranks[0].is_alive():
                self.kill()
                raise AssertionError(f"{text} did not come:\n{self.stderr[-3000:]}")
            time.sleep(0.002)

    def send(self, signum: signal.Signals) -> None:
        """Sends a signal to every process, and to all that those have started."""
        for process in self.ranks:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signum)

    def end(self, seconds: float = PATIENCE) -> int:
        """Waits for the end of the processes, and of all that they started; the exit code of the first."""
        end = time.monotonic() + seconds
        for process in self.ranks:
            process.join(max(0, end - time.monotonic()))
        hangs = [rank for rank, process in enumerate(self.ranks) if process.is_alive()]
        end = time.monotonic() + PATIENCE
        while not hangs and any(_alive(process.pid) for process in self.ranks):
            assert time.monotonic() < end, f"processes were left behind:\n{self.stderr[-3000:]}"
            time.sleep(0.05)
        self.kill()
        assert not hangs, f"processes {hangs} hang:\n{self.stderr[-3000:]}"
        return self.ranks[0].exitcode

    def kill(self) -> None:
        """Ends all of it, whatever state it is in."""
        self.send(signal.SIGKILL)
        for process in self.ranks:
            process.join()


def _rank(rank: int, processes: int) -> dict[str, str]:
    return {"LOCAL_RANK": str(rank), "NODE_RANK": "0"} if processes > 1 else {}


def _commands(commands: tuple[list[str], ...], environment: dict[str, str], log: Path, folder: Path | None) -> None:
    os.setsid()  # a group of its own, as a shell's job has
    multiprocessing.set_start_method("fork", force=True)  # as in any other process; this one has its parent's
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if folder is not None:
        os.chdir(folder)
    os.environ.update(environment)
    rank_zero_only.rank = int(environment.get("LOCAL_RANK", "0"))  # which Lightning reads when it is imported
    torch.set_num_threads(1)
    for args in commands:
        main([*args, *(TWO if environment else [])])


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of a tiny encoder on the demo corpus, with a cache of its own and no end within a test's time."""
    folder = tmp_path_factory.mktemp("faults")
    corpus = Path(__file__).parents[2] / "configs" / "corpus" / "demo.yaml"
    settings = {
        "data": {"corpus": str(corpus), "cache_dir": str(folder / "cache"), "max_length": 40},
        "model": {"backbone": SMALL, "lr": 0.001},
        "early_stopping": {"patience": 1000},
        "trainer": {"max_epochs": 1000, "log_every_n_steps": 1, "enable_model_summary": False},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Kills what a test that failed has left running."""
    yield
    for run in Run.started:
        run.kill()
    Run.started.clear()
