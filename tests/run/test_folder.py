"""The folder of a run: where each command writes, one that cannot be made, and one in which a run resumes."""

import csv
import os
from pathlib import Path

import pytest

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.folder import Place, choose_place, loggers_of, opened


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run, below the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs" / "small" / "version_3"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.json").touch()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder


NEW = Place("logs", "small")


@pytest.mark.parametrize(
    ("new", "training", "explicit", "kind"),
    [
        (NEW, True, False, "resumed"),
        (NEW, True, True, "resumed"),  # the place that is named is the checkpoint's own
        (Place("logs", "small", "mine"), True, True, "new"),
        (Place("elsewhere", "small"), True, True, "new"),
        (Place("elsewhere", "small"), True, False, "resumed"),  # from another working folder
        (NEW, False, False, "measured"),
        (Place("elsewhere", "other"), False, False, "measured"),
        (NEW, False, True, "new"),
    ],
)
def test_the_results_of_a_checkpoint_go_to_its_run_unless_a_place_is_given(
    new: Place, training: bool, explicit: bool, kind: str, run: Path
) -> None:
    found = choose_place(new, str(run / "checkpoints" / "last.ckpt"), training, explicit)
    assert found.kind == kind
    if kind == "new":
        assert found == new
    else:
        assert found.path is not None
        assert found.path.resolve() == run


def test_a_checkpoint_outside_of_a_run_gets_a_new_folder(run: Path) -> None:
    (run / "run.json").unlink()
    for path in (run / "checkpoints" / "last.ckpt", run / "last.ckpt"):
        assert choose_place(NEW, str(path), training=False, explicit=False) == NEW
    assert choose_place(NEW, None, training=True, explicit=False) == NEW


def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log_dir = str(tmp_path / "file" / "logs")
    with (
        pytest.raises(UserError, match=rf"^log_dir {log_dir}: .*Not a directory.*--log_dir"),
        opened(Place(log_dir, "small")),
    ):
        pass


def test_a_run_that_cannot_be_written_to_is_refused_with_the_ways_out(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:  # permissions do not hold root back
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    message = rf"^{run}: .*Permission denied.*\n.*--log_dir DIR.*--output FILE.*$"
    with pytest.raises(UserError, match=message), opened(Place(str(run.parent), "", run.name, "measured")):
        pass


def test_a_name_that_is_taken_is_refused(run: Path) -> None:
    with (
        pytest.raises(UserError, match=r"--version version_3: .* exists already"),
        opened(NEW._replace(version=run.name)),
    ):
        pass
    with opened(NEW) as place:
        assert place == NEW._replace(version="version_4")


def fail(place: Place, *files: str) -> None:
    """Write files to the place's folder, and fail."""
    with opened(place) as claimed:
        assert claimed is not None
        assert claimed.path is not None
        for file in files:
            (claimed.path / file).parent.mkdir(exist_ok=True)
            (claimed.path / file).touch()
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["small", "new/nested"])
def test_a_failure_without_results_leaves_no_folder(name: str, run: Path) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        fail(Place("logs", name), "run.json", "config.yaml", "hparams.yaml", "events.out.tfevents.1")
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("file", ["metrics.csv", "checkpoints/last.ckpt", "non_finite_0.json"])
def test_a_failure_keeps_what_has_results(file: str, run: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(NEW, file)
    assert (run.parent / "version_4" / file).is_file()


def test_a_failure_leaves_another_run_s_folder(tmp_path: Path) -> None:
    new = Place(str(tmp_path / "logs"), "small")
    with opened(new):
        with pytest.raises(KeyboardInterrupt):
            fail(new)
        assert os.listdir(new.parent) == ["version_0"]


def test_a_test_adds_events_to_its_run_and_a_validation_below_it(run: Path) -> None:
    measured = Place(str(run.parent), "", run.name, "measured")
    folders = {
        method: [logger.log_dir for logger in loggers_of(measured, method, log_graph=False, step=9)]
        for method in ("test", "validate", "predict")
    }
    assert folders == {"test": [str(run)], "validate": [str(run / "validate")], "predict": []}


@pytest.mark.parametrize("cut", ["2,1e-5,0.2", "2,1e-5", "2,", "2", "1e-5,0.3,2\n", "2,1e-5\n", "2,1,1,1\n", "\0\0\0"])
def test_a_row_that_a_kill_cut_short_is_left_out(cut: str, tmp_path: Path) -> None:
    run = tmp_path / "small" / "version_0"
    run.mkdir(parents=True)
    metrics = run / "metrics.csv"
    metrics.write_text(f"step,lr,train/loss\n0,1e-5,0.5\n1,,0.25\n{cut}")
    loggers_of(Place(str(tmp_path), "small", "version_0", "resumed"), "fit", log_graph=False, step=9)
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [{"step": "0", "lr": "1e-5", "train/loss": "0.5"}, {"step": "1", "lr": "", "train/loss": "0.25"}]
    assert [dict(sorted(row.items())) for row in rows] == [dict(sorted(row.items())) for row in expected]
