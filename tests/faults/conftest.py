"""Runs of the command line in processes of their own, so that they can be hurt."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

SMALL = {
    "model_type": "bert",
    "vocab_size": 600,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]


class Run:
    """A command in a process group of its own; its standard error can be waited for."""

    started: ClassVar[list["Run"]] = []

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

    def wait_for(self, text: str, seconds: float = 240) -> None:
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

    def end(self, seconds: float = 200) -> int:
        """Waits for the end of the process, of all that it started, and of its output; the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"hangs:\n{self.stderr[-3000:]}") from None
        self._reader.join(10)
        end = time.monotonic() + 10
        while _alive(self.process.pid):
            assert time.monotonic() < end, f"processes were left behind:\n{self.stderr[-3000:]}"
            time.sleep(0.05)
        return code

    def kill(self) -> None:
        """Ends all of it, whatever state it is in."""
        if _alive(self.process.pid):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


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
