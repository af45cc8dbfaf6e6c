"""Reading checkpoints: only this package's, and nothing in them runs."""

import errno
import os
from pathlib import Path

import pytest
import torch

from nsmc_lightning.checkpoint import read_checkpoint, unpack_backbone
from nsmc_lightning.types import UserError

WHOLE = {
    "cli_config": "model: {}",
    "run": {},
    "encoder_config": "{}",
    "NSMCDataModule": {"tokenizer_files": {"tokenizer.json": '{"a": 1}'}},
    "state_dict": {},
}


class Payload:
    """What a hostile checkpoint would carry: unpickling it makes a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("payload-ran",)


def test_a_payload_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**WHOLE, "callbacks": Payload()}, "hostile.ckpt")
    with pytest.raises(UserError, match=r"hostile\.ckpt"):
        read_checkpoint("hostile.ckpt")
    assert not Path("payload-ran").exists()


def test_another_program_s_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="not a checkpoint that"):
        read_checkpoint(str(tmp_path / "other.ckpt"))


def test_a_backbone_is_unpacked_once_and_stays_in_its_folder(tmp_path: Path) -> None:
    files = {"tokenizer.json": "{}", "../outside.json": "{}"}
    checkpoint = {**WHOLE, "NSMCDataModule": {"tokenizer_files": files}}
    folder = unpack_backbone(checkpoint, tmp_path / "cache")
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json", "outside.json"}
    assert unpack_backbone(checkpoint, tmp_path / "cache") == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(
        UserError, match=r"backbones: cannot be written \(No space left on device\); give --data\.cache"
    ):
        unpack_backbone(WHOLE, tmp_path)
