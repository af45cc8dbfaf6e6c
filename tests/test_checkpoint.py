"""Reading checkpoints: only this package's, and nothing in them runs."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

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
        ("encoder_config", "has no encoder_config, which the module writes"),
        ("NSMCDataModule", "has no NSMCDataModule, which .* datamodule=NSMCDataModule"),
        ("cli_config", "without the data's settings"),
    ],
)
def test_another_program_s_checkpoint_is_refused(missing: str, message: str, tmp_path: Path) -> None:
    torch.save({key: value for key, value in WHOLE.items() if key != missing}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=message):
        Checkpoint.read(str(tmp_path / "other.ckpt"))


def test_a_checkpoint_brings_all_settings_to_training() -> None:
    stored = yaml.safe_load(Checkpoint("x.ckpt", {"cli_config": yaml.safe_dump(STORED)}).settings_for("fit"))
    assert stored == STORED


def test_a_checkpoint_brings_to_evaluation_only_what_is_not_of_its_machine() -> None:
    stored = yaml.safe_load(Checkpoint("x.ckpt", {"cli_config": yaml.safe_dump(STORED)}).settings_for("test"))
    assert stored["trainer"] == {"precision": "bf16-mixed"}
    assert stored["data"] == {"max_length": 40}
    assert stored["model"] == STORED["model"]


def progress(ready: int, processed: int, last_batch: bool, validated: bool = True) -> dict[str, Any]:
    """A checkpoint's keys of training, as Lightning names them."""
    loop = {
        "epoch_progress": {"current": {"ready": ready, "processed": processed}},
        "epoch_loop.batch_progress": {"is_last_batch": last_batch},
        "epoch_loop.val_loop.batch_progress": {"total": {"ready": 2, "processed": 2 if validated else 1}},
    }
    return {"optimizer_states": [], "callbacks": {}, "global_step": 20, "loops": {"fit_loop": loop}}


@pytest.mark.parametrize(
    ("content", "plan", "over"),
    [
        (progress(3, 2, last_batch=True), {"max_epochs": 3}, True),  # at the end of the third epoch
        (progress(3, 2, last_batch=True), {"max_epochs": 4}, False),
        (progress(3, 2, last_batch=True, validated=False), {"max_epochs": 3}, False),
        (progress(3, 3, last_batch=True), {"max_epochs": 3}, True),  # behind it
        (progress(3, 3, last_batch=False), {"max_epochs": 3}, False),  # cut off by max_steps
        (progress(3, 2, last_batch=False), {"max_epochs": 2}, True),  # within the third epoch
        (progress(3, 2, last_batch=False), {"max_steps": 20}, True),
        (progress(3, 2, last_batch=False), {"max_steps": 21}, False),
        (progress(3, 2, last_batch=False), {"max_epochs": None}, False),
    ],
)
def test_a_plan_that_is_over_is_refused(content: dict[str, Any], plan: dict[str, Any], over: bool) -> None:
    arguments = {"max_epochs": -1, "max_steps": -1, "patience": 3, **plan}
    if over:
        with pytest.raises(UserError, match="nothing is left to train"):
            Checkpoint("x.ckpt", content).refuse_plan(**arguments)
    else:
        Checkpoint("x.ckpt", content).refuse_plan(**arguments)


def test_a_run_that_was_stopped_early_needs_more_patience() -> None:
    content = {**progress(3, 2, last_batch=True), "callbacks": {"EarlyStopping{...}": {"wait_count": 3}}}
    Checkpoint("x.ckpt", content).refuse_plan(max_epochs=9, max_steps=-1, patience=4)
    with pytest.raises(UserError, match=r"--early_stopping\.patience"):
        Checkpoint("x.ckpt", content).refuse_plan(max_epochs=9, max_steps=-1, patience=3)


def test_no_patience_stops_at_the_first_validation_that_is_not_better() -> None:
    for waited, over in ((0, False), (1, True)):
        content = {**progress(3, 2, last_batch=True), "callbacks": {"EarlyStopping{...}": {"wait_count": waited}}}
        with pytest.raises(UserError, match="after 1 validations") if over else nullcontext():
            Checkpoint("x.ckpt", content).refuse_plan(max_epochs=9, max_steps=-1, patience=0)


def test_weights_alone_cannot_be_trained_on() -> None:
    content = progress(3, 2, last_batch=True)
    del content["optimizer_states"]
    with pytest.raises(UserError, match="only weights"):
        Checkpoint("x.ckpt", content).refuse_plan(max_epochs=9, max_steps=-1, patience=3)
