"""The folder of a run: one that cannot be made, and one in which a run resumes."""

import csv
from pathlib import Path

import pytest

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.folder import build_loggers


def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log_dir = str(tmp_path / "file" / "logs")
    with pytest.raises(UserError, match=rf"^log_dir {log_dir}: .*Not a directory.*--log_dir"):
        build_loggers(log_dir, "small", log_graph=False, resumed=None)


@pytest.mark.parametrize("cut", ["2,1e-5,0.2", "2,1e-5", "2,", "2", "1e-5,0.3,2\n", "2,1e-5\n", "2,1,1,1\n", "\0\0\0"])
def test_a_row_that_a_kill_cut_short_is_left_out(cut: str, tmp_path: Path) -> None:
    run = tmp_path / "small" / "version_0"
    checkpoint = run / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    metrics = run / "metrics.csv"
    metrics.write_text(f"step,lr,train/loss\n0,1e-5,0.5\n1,,0.25\n{cut}")
    build_loggers(str(tmp_path), "small", log_graph=False, resumed=(checkpoint, 9))
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [{"step": "0", "lr": "1e-5", "train/loss": "0.5"}, {"step": "1", "lr": "", "train/loss": "0.25"}]
    assert [dict(sorted(row.items())) for row in rows] == [dict(sorted(row.items())) for row in expected]
