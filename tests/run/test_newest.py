"""The checkpoint that --ckpt_path means: keywords, folders, files; the same one in every process."""

import os
from pathlib import Path

import pytest
import torch

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.newest import find_checkpoint


def write(path: Path, time: int) -> Path:
    """Writes a checkpoint with that time, in which kept.ckpt is the best of its run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    best = {"monitor": "val/accuracy", "best_model_path": "/another/machine/kept.ckpt"}
    keys = {"cli_config": "", "run": {}, "encoder_config": "", "NSMCDataModule": {}, "state_dict": {}}
    torch.save({**keys, "callbacks": {"ModelCheckpoint{'monitor': 'val/accuracy'}": best}}, path)
    os.utime(path, (time, time))
    return path


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of two recipes: klue's first one was resumed after its second, demo's is the oldest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSMC_LIGHTNING_CKPT_PATH", "left by a run before")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for run, time in (("demo/version_7", 100), ("klue/version_0", 300), ("klue/version_1", 200)):
        for name in ("best", "last"):
            write(tmp_path / "lightning_logs" / run / "checkpoints" / f"{name}.ckpt", time)
    (tmp_path / "lightning_logs" / "klue" / "version_2").mkdir()  # a run that has just begun
    return tmp_path / "lightning_logs"


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "classify"])
@pytest.mark.parametrize("value", ["last", "best"])
def test_a_keyword_means_the_newest_run(value: str, command: str, runs: Path) -> None:
    newest, demo = runs / "klue" / "version_0", runs / "demo" / "version_7"
    assert find_checkpoint(value, command) == str(newest / "checkpoints" / f"{value}.ckpt")
    assert find_checkpoint(value, command, name="demo") == str(demo / "checkpoints" / f"{value}.ckpt")
    assert find_checkpoint(value, command, "lightning_logs", "klue") == find_checkpoint(value, command)


@pytest.mark.parametrize("below", ["", "checkpoints"])
def test_a_folder_means_last_for_fit_and_best_for_all_other_commands(below: str, runs: Path) -> None:
    folder = runs / "klue" / "version_1"
    for command, name in (("fit", "last"), ("test", "best"), ("classify", "best")):
        expected = str(folder / "checkpoints" / f"{name}.ckpt")
        assert find_checkpoint(os.path.relpath(folder / below), command) == expected


def test_a_file_is_returned_as_it_is() -> None:
    assert find_checkpoint("some/where.ckpt", "test") == "some/where.ckpt"


def test_of_several_the_best_is_the_one_that_last_names(runs: Path) -> None:
    folder = runs / "klue" / "version_1" / "checkpoints"
    (folder / "best.ckpt").rename(folder / "other.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt: there is no such file; .* holds last\.ckpt, other\.ckpt"):
        find_checkpoint(str(folder), "test")
    kept = write(folder / "kept.ckpt", 1)
    assert find_checkpoint(str(folder), "test") == str(kept)
    write(folder / "best.ckpt", 1)  # by an earlier search for the best
    assert find_checkpoint(str(folder), "test") == str(kept)


def test_a_broken_last_checkpoint_does_not_hide_the_best(runs: Path) -> None:
    folder = runs / "klue" / "version_1" / "checkpoints"
    (folder / "last.ckpt").write_bytes(b"cut short")
    assert find_checkpoint(str(folder), "test") == str(folder / "best.ckpt")
    (folder / "best.ckpt").rename(folder / "other.ckpt")
    with pytest.raises(UserError, match=r"holds last\.ckpt, other\.ckpt"):
        find_checkpoint(str(folder), "test")


def test_a_missing_checkpoint_is_refused_with_the_folder_searched(runs: Path) -> None:
    with pytest.raises(UserError, match="no run below lightning_logs/none has a checkpoint"):
        find_checkpoint("last", "fit", name="none")
    with pytest.raises(UserError, match="no run below elsewhere has a checkpoint"):
        find_checkpoint("best", "test", "elsewhere")
    (runs / "empty").mkdir()
    with pytest.raises(UserError, match=r"last\.ckpt: .*empty holds no checkpoint"):
        find_checkpoint(str(runs / "empty"), "fit")


def test_the_checkpoint_found_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        found = find_checkpoint("best", "test")
    assert [record.message for record in caplog.records] == [f"--ckpt_path best: {found}"]


def test_processes_that_the_first_one_starts_use_its_choice(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_checkpoint("last", "fit")
    write(runs / "demo" / "version_8" / "checkpoints" / "last.ckpt", 500)  # by another run, before they look
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_checkpoint("last", "fit") == first
    monkeypatch.delenv("NSMC_LIGHTNING_CKPT_PATH")  # started by a cluster's launcher: each looks for itself
    assert "version_8" in find_checkpoint("last", "fit")
    assert "NSMC_LIGHTNING_CKPT_PATH" not in os.environ
