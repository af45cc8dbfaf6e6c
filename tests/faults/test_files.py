"""What is left on the disk when a process is killed within a write, or the disk is full."""

import itertools
import json
import resource
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.checkpoint_files import AtomicCheckpointIO, remove_leftovers
from tests.faults.conftest import Run, forkserver


def save_forever(path: Path, done: Connection) -> None:
    """Saves a checkpoint of 20 MB over and over; each holds its number in the first and last place of each tensor."""
    for n in itertools.count(1):
        weights = {f"w{i}": torch.full((1_000_000,), float(n)) for i in range(5)}
        AtomicCheckpointIO().save_checkpoint({"global_step": n, "state_dict": weights}, path)
        done.send(n)


def kill_while_saving(path: Path, kills: int) -> int:
    """Kills a process at ``kills`` moments, half of them within a write; how often it left a partial file behind."""
    context = forkserver()
    partial = 0
    for number in range(kills):
        receiver, sender = context.Pipe(duplex=False)
        saver = context.Process(target=save_forever, args=(path, sender))
        saver.start()
        sender.close()
        saved = receiver.recv()  # once whole, so that there is a file to lose
        if number % 2:
            time.sleep(0.013 * number % 0.15)
        else:  # within a write, however fast the machine is
            while not list(path.parent.glob(".*.part")):
                pass
        saver.kill()
        saver.join()
        while receiver.poll():
            try:
                saved = receiver.recv()
            except EOFError:
                break
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint["global_step"] >= saved
        assert {float(w[k]) for w in checkpoint["state_dict"].values() for k in (0, -1)} == {checkpoint["global_step"]}
        partial += len(list(path.parent.glob(".*.part")))
        remove_leftovers([path.parent])
        assert [p.name for p in path.parent.iterdir()] == [path.name]
    return partial


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    # Some of the kills must have struck within a write, or nothing was tried.
    assert kill_while_saving(tmp_path / "checkpoints" / "last.ckpt", 8) >= 1


@pytest.mark.faults
def test_a_file_is_whole_at_each_of_a_hundred_kills(tmp_path: Path) -> None:
    assert kill_while_saving(tmp_path / "checkpoints" / "last.ckpt", 100) >= 10


def test_a_file_being_written_is_no_leftover(tmp_path: Path) -> None:
    held = tmp_path / ".last.ckpt.1.part"
    hold = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    writer = subprocess.Popen([sys.executable, "-c", hold, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    remove_leftovers([tmp_path, None, tmp_path / "nowhere"])
    assert held.exists()
    writer.kill()
    writer.wait()
    remove_leftovers([tmp_path])
    assert not held.exists()


@pytest.fixture
def small_files() -> None:
    """No file may grow beyond 100 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_the_file_that_was_there(tmp_path: Path, small_files: None) -> None:
    path = tmp_path / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"global_step": 1}, path)
    with pytest.raises(UserError, match=rf"{path}.*File too large"):
        io.save_checkpoint({"global_step": 2, "w": torch.zeros(1_000_000)}, path)
    assert torch.load(path, weights_only=True) == {"global_step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_torch_cannot_save_is_a_program_s_error(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        AtomicCheckpointIO().save_checkpoint({"state": lambda: None}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system of 1 MB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.faults
def test_a_run_on_a_full_disk_ends_with_one_line(recipe: Path, tiny_disk: Path) -> None:
    args = ["--trainer.check_val_every_n_epoch=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1"]
    keep = ["--checkpoint.every_n_epochs=1", "--checkpoint.save_top_k=-1", "--trainer.max_epochs=20"]
    run = Run(["fit", "--config", str(recipe), "--log_dir", str(tiny_disk), *args, *keep])
    assert run.end() == 2, run.stderr[-3000:]
    errors = [line for line in run.lines if line.startswith("error:")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "Traceback" not in run.stderr
    whole = list(tiny_disk.rglob("*.ckpt"))
    assert len(whole) >= 2
    for path in whole:
        assert torch.load(path, weights_only=True)["global_step"] > 0


@pytest.mark.faults
def test_two_runs_at_once_share_a_cache_and_a_name(recipe: Path, tmp_path: Path) -> None:
    args = ["--log_dir", str(tmp_path / "logs"), "--data.cache_dir", str(tmp_path / "cache"), "--name=both"]
    runs = [Run(["fit", "--config", str(recipe), *args, "--trainer.max_steps=5"]) for _ in range(2)]
    for run in runs:
        assert run.end() == 0, run.stderr[-3000:]
    folders = sorted((tmp_path / "logs" / "both").iterdir())
    assert [folder.name for folder in folders] == ["version_0", "version_1"]
    for folder in folders:
        assert (folder / "config.yaml").is_file()
        assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5
    first, second = (json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in folders)
    assert first["sha256"] == second["sha256"]
