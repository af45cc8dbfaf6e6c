"""Commands in processes of their own, some side by side, which a signal to this process stops in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple

_INTERVAL = 0.1  # seconds between two looks at the children
# What is sent to the children: fit saves on each of these. A terminal that closes sends SIGHUP, which it does not take.
_PASSED_ON = {"SIGINT": "SIGINT", "SIGTERM": "SIGTERM", "SIGUSR1": "SIGUSR1", "SIGHUP": "SIGTERM"}


class Task(NamedTuple):
    """Commands that follow each other; the next one is asked for when the one before has ended with code 0.

    Args:
        name: in what is printed.
        commands: command lines without the program's name.
        log: file for what the commands print; None prints it here.
    """

    name: str
    commands: Iterator[list[str]]
    log: Path | None


class Slot(NamedTuple):
    """A place for one child at a time: what is added to its environment."""

    environment: dict[str, str]


class Failure(NamedTuple):
    """A command that ended with another code than 0."""

    task: Task
    command: str
    code: int


class _Running(NamedTuple):
    task: Task
    command: str
    slot: Slot
    process: subprocess.Popen[bytes]


class Children:
    """Runs tasks, as many side by side as there are slots.

    After a failure, or a signal, no command is started any more, and those that run are waited for.

    Args:
        slots: where tasks run.
        inherited: an open file that the children keep open, as it is locked for as long as one of them lives.

    Attributes:
        signal: number of the first signal received, which the children received too; 0 for none.
        failure: the first failure; None for none.
    """

    def __init__(self, slots: Sequence[Slot], inherited: IO[bytes]) -> None:
        self.signal = 0
        self.failure: Failure | None = None
        self._free = list(slots)
        self._inherited = inherited
        self._running: list[_Running] = []

    def run(self, tasks: Sequence[Task]) -> None:
        """Run the tasks in order, and return when all children have ended."""
        waiting = deque(tasks)
        known = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]  # Windows has two of them
        before = {signum: signal.getsignal(signum) for signum in known}
        try:
            for signum, handler in before.items():
                if handler != signal.SIG_IGN:  # nohup: the terminal may close
                    signal.signal(signum, self._pass_on)
            while self._running or (waiting and not self._is_stopping):
                while waiting and self._free and not self._is_stopping:
                    self._start(waiting.popleft(), self._free.pop(0))
                time.sleep(_INTERVAL)
                for running in [each for each in self._running if each.process.poll() is not None]:
                    self._running.remove(running)
                    self._follow(running)
        finally:
            for running in self._running:
                running.process.terminate()
            for signum, handler in before.items():
                signal.signal(signum, handler)

    @property
    def _is_stopping(self) -> bool:
        return bool(self.signal) or self.failure is not None

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        self.signal = self.signal or signum
        passed = getattr(signal, _PASSED_ON[signal.Signals(signum).name])
        for running in self._running:
            running.process.send_signal(passed)

    def _start(self, task: Task, slot: Slot) -> None:
        """Start a task's next command; a task without one has ended."""
        words = next(task.commands, None)
        if words is None:
            self._free.append(slot)
            return
        process = start(words, slot.environment, task.log, self._inherited)
        self._running.append(_Running(task, words[0], slot, process))

    def _follow(self, ended: _Running) -> None:
        """Start what follows a command that has ended."""
        code = ended.process.returncode
        if code == 0 and not self._is_stopping:
            self._start(ended.task, ended.slot)
            return
        self._free.append(ended.slot)
        if code != 0 and not self.signal:
            self.failure = self.failure or Failure(ended.task, ended.command, code if code > 0 else 128 - code)


def start(
    words: list[str], environment: dict[str, str], log: Path | None, inherited: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that Ctrl-C in a terminal reaches it only once, through us."""
    command = [sys.executable, "-m", "nsmc_lightning", *words]
    sys.stdout.flush()
    output = None if log is None else log.open("ab")
    try:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[inherited.fileno()] if os.name == "posix" else [],
        )
    finally:
        if output is not None:
            output.close()  # the child has its own
