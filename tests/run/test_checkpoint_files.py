"""Checkpoints on systems without all of Linux's features; tests/faults has the kills."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nsmc_lightning.run.checkpoint_files import AtomicCheckpointIO, remove_leftovers


def test_a_file_system_without_locks_keeps_checkpoints_and_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_supported(*args: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", not_supported)
    path, perhaps_written_now = tmp_path / "last.ckpt", tmp_path / ".last.ckpt.1.part"
    perhaps_written_now.touch()
    AtomicCheckpointIO().save_checkpoint({"global_step": 1}, path)
    assert torch.load(path, weights_only=True) == {"global_step": 1}
    remove_leftovers([tmp_path])
    assert perhaps_written_now.exists()


def test_a_checkpoint_is_written_to_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", files_only)
    AtomicCheckpointIO().save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"global_step": 1}


WINDOWS = """
import signal, sys
sys.modules["fcntl"] = None
del signal.SIGUSR1
from nsmc_lightning.cli import main
main(sys.argv[1:])
"""


def test_a_run_needs_neither_fcntl_nor_sigusr1(tmp_path: Path) -> None:
    backbone = "{model_type: bert, vocab_size: 300, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 1}"
    args = ["--config=configs/demo.yaml", f"--model.backbone={backbone}", f"--data.cache_dir={tmp_path / 'cache'}"]
    limits = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    args += [f"--log_dir={tmp_path / 'logs'}", *limits]
    done = subprocess.run([sys.executable, "-c", WINDOWS, "fit", *args], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(tmp_path.rglob("best.ckpt"))) == 1
