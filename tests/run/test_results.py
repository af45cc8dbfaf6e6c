"""Where the results of a checkpoint are."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nsmc_lightning.run.results import result_name, result_path, run_of


@pytest.mark.parametrize("record", ["run.json", "config.yaml"])
def test_a_run_is_found_from_its_checkpoint(record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    assert run_of(checkpoints / "best.ckpt") is None  # the folder of no run
    (tmp_path / "run" / record).touch()
    (tmp_path / "linked.ckpt").symlink_to(checkpoints / "best.ckpt")
    monkeypatch.chdir(checkpoints)
    for path in (checkpoints / "best.ckpt", "best.ckpt", tmp_path / "linked.ckpt"):
        assert run_of(path) == tmp_path / "run"
    assert run_of(tmp_path / "run" / "best.ckpt") is None


@pytest.mark.parametrize(
    ("ckpt_path", "name", "expected"),
    [
        ("a/best.ckpt", "test.csv", "test.csv"),
        ("last.ckpt", "test.json", "test-last.json"),
        ("epoch=1-step=20.ckpt", "predictions.csv", "predictions-epoch=1-step=20.csv"),
    ],
)
def test_the_results_of_different_checkpoints_have_different_names(ckpt_path: str, name: str, expected: str) -> None:
    assert result_name(ckpt_path, name) == expected


def test_a_folder_that_is_not_the_checkpoint_s_run_has_the_plain_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").touch()
    last = str(run / "checkpoints" / "last.ckpt")
    for log_dir, ckpt_path, expected in (
        (run, last, run / "test-last.csv"),
        (tmp_path / "other", last, tmp_path / "other" / "test.csv"),
        (None, None, Path("root/test.csv")),
    ):
        trainer: Any = SimpleNamespace(log_dir=log_dir, default_root_dir="root", ckpt_path=ckpt_path)
        assert result_path(trainer, "test.csv") == expected
