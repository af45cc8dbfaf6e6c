"""Commands in processes of their own: side by side, after a failure, and when a signal comes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from nsmc_lightning.commands import children as room
from nsmc_lightning.commands.children import Children, Slot, Task

# A command that writes its environment's slot to a file, and waits for a signal if it is told so.
SCRIPT = """
import os, signal, sys, time
name, code = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
open(name, "w").write(os.environ["SLOT"])
while code < 0:
    time.sleep(0.01)
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the script in place of the package's commands, in the test's folder."""

    def start(
        words: list[str], environment: dict[str, str], log: Path | None, inherited: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        env = {**os.environ, **environment}
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *words], env=env, start_new_session=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "start", start)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with (tmp_path / "lock").open("wb") as file:
        yield Children([Slot({"SLOT": "0"}), Slot({"SLOT": "1"})], file)


def task(*commands: list[str]) -> Task:
    return Task("seed", iter(commands), None)


def test_tasks_run_in_their_slots_one_command_after_the_other(children: Children) -> None:
    children.run([task(["a", "0"], ["b", "0"]), task(["c", "0"]), task(["d", "0"])])
    slots = {name: Path(name).read_text() for name in "abcd"}
    assert slots["a"] == slots["b"]
    assert slots["c"] != slots["a"]
    assert children.failure is None


def test_after_a_failure_nothing_is_started(children: Children) -> None:
    children.run([task(["a", "3"], ["b", "0"]), task(["c", "3"]), task(["d", "0"])])
    assert children.failure is not None
    assert children.failure.code == 3
    assert sorted(path.name for path in Path().iterdir()) == ["a", "c", "lock"]


def test_a_signal_reaches_every_child_and_starts_nothing_more(children: Children) -> None:
    def interrupt() -> None:
        while not (Path("a").exists() and Path("b").exists()):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    children.run([task(["a", "-1"], ["c", "0"]), task(["b", "-1"]), task(["d", "0"])])
    thread.join()
    assert (children.signal, children.failure) == (signal.SIGINT, None)
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b", "lock"]
    assert signal.getsignal(signal.SIGINT) == before
