"""Reading checkpoints: only this package's, and nothing in them runs."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import yaml

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.errors import UserError

WHOLE = {
    "cli_config": "model: {}",
    "run": {},
    "encoder_config": "{}",
    "NSMCDataModule": {"tokenizer_files": {"tokenizer.json": '{"a": 1}'}},
    "state_dict": {},
}

STORED = {
    "ckpt_path": None,
    "seed_everything": 42,
    "name": "small",
    "model": {"lr": 0.1},
    "data": {"cache_dir": "/there", "max_length": 40},
    "trainer": {"precision": "bf16-mixed", "devices": 8},
}


class Payload:
    """What a hostile checkpoint would carry: unpickling it makes a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("payload-ran",)


def test_a_payload_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**WHOLE, "callbacks": Payload()}, "hostile.ckpt")
    with pytest.raises(UserError, match=r"hostile\.ckpt"):
        Checkpoint.read("hostile.ckpt")
    assert not Path("payload-ran").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("state_dict", "not a checkpoint of Lightning"),
        ("encoder_config", "has no encoder_config, which BertClassifierModule writes"),
        ("NSMCDataModule", "has no NSMCDataModule, which .* datamodule=NSMCDataModule"),
        ("cli_config", "without the data's settings"),
    ],
)
def test_another_program_s_checkpoint_is_refused(missing: str, message: str, tmp_path: Path) -> None:
    torch.save({key: value for key, value in WHOLE.items() if key != missing}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=message):
        Checkpoint.read(str(tmp_path / "other.ckpt"))


def test_a_backbone_is_unpacked_once_and_stays_in_its_folder(tmp_path: Path) -> None:
    files = {"tokenizer.json": "{}", "../outside.json": "{}"}
    checkpoint = {**WHOLE, "NSMCDataModule": {"tokenizer_files": files}}
    folder = Checkpoint("x.ckpt", checkpoint).backbone(tmp_path / "cache")
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json", "outside.json"}
    assert Checkpoint("x.ckpt", checkpoint).backbone(tmp_path / "cache") == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_somebody_changed_is_mended(tmp_path: Path) -> None:
    texts = {"tokenizer.json": '{"a": 1}', "tokenizer_config.json": "{}"}
    checkpoint = {**WHOLE, "NSMCDataModule": {"tokenizer_files": texts}}
    folder = Checkpoint("x.ckpt", checkpoint).backbone(tmp_path)
    (folder / "config.json").unlink()
    (folder / "tokenizer.json").write_text('{"a": 2}')
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").mkdir()
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "templates").mkdir()
    assert Checkpoint("x.ckpt", checkpoint).backbone(tmp_path) == folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"config.json": "{}", **texts}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_may_be_mended_by_several_at_once_while_it_is_read(tmp_path: Path) -> None:
    folder, text = Checkpoint("x.ckpt", WHOLE).backbone(tmp_path), '{"a": 1}'

    def change_mend_and_read(number: int) -> set[str]:
        seen = set()
        for _ in range(50):
            (folder / f"{number}.json").write_text("extra")
            Checkpoint("x.ckpt", WHOLE).backbone(tmp_path)
            seen.add((folder / "tokenizer.json").read_text())
        return seen

    (folder / "tokenizer.json").write_text('{"a": 2}')
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(change_mend_and_read, [1, 2, 3, 4])) == [{text}] * 4


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    with pytest.raises(
        UserError, match=r"backbones: cannot be written \(No space left on device\); give --data\.cache"
    ):
        Checkpoint("x.ckpt", WHOLE).backbone(tmp_path)


def test_a_checkpoint_brings_all_settings_to_training() -> None:
    stored = yaml.safe_load(Checkpoint("x.ckpt", {"cli_config": yaml.safe_dump(STORED)}).settings_for("fit"))
    assert stored == {key: value for key, value in STORED.items() if key != "ckpt_path"}


def test_a_checkpoint_brings_to_evaluation_only_what_is_not_of_its_machine() -> None:
    stored = yaml.safe_load(Checkpoint("x.ckpt", {"cli_config": yaml.safe_dump(STORED)}).settings_for("test"))
    assert stored["trainer"] == {"precision": "bf16-mixed"}
    assert stored["data"] == {"max_length": 40}
    assert stored["model"] == STORED["model"]
