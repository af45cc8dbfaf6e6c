"""The best checkpoint and its dev metrics, in one run and in one that resumes elsewhere."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.run.save_best import SaveBest

pytestmark = pytest.mark.filterwarnings("ignore")

ACCURACY = [0.5, 0.9, 0.7, 0.8, 0.6]
LOSS = [0.3, 0.9, 0.1, 0.2, 0.8]


class Scored(BoringModel):
    """A module with known dev metrics in each epoch."""

    def on_validation_epoch_end(self) -> None:
        epoch = self.trainer.current_epoch
        self.log_dict({"val/accuracy": torch.tensor(ACCURACY[epoch]), "val/loss": torch.tensor(LOSS[epoch])})


def fit(folder: Path, epochs: int, ckpt_path: Path | None = None, **settings: Any) -> SaveBest:
    """Trains in ``folder`` and writes ``last.ckpt`` beside the best checkpoint."""
    defaults = {"monitor": "val/accuracy", "mode": "max", "filename": "best", "save_on_train_epoch_end": False}
    best = SaveBest(dirpath=folder, **{**defaults, **settings})
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        limit_train_batches=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        callbacks=[best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Scored(), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return best


def epoch_in(path: str | Path) -> int:
    return torch.load(path, weights_only=True)["epoch"]


@pytest.mark.parametrize(("monitor", "mode", "epoch"), [("val/accuracy", "max", 1), ("val/loss", "min", 2)])
def test_metrics_are_those_of_the_checkpoint(tmp_path: Path, monitor: str, mode: str, epoch: int) -> None:
    best = fit(tmp_path, 5, monitor=monitor, mode=mode)
    assert epoch_in(best.best_model_path) == epoch
    assert best.metrics == pytest.approx({"val/accuracy": ACCURACY[epoch], "val/loss": LOSS[epoch]})


@pytest.mark.parametrize("top", [1, 2, -1])
@pytest.mark.parametrize("moved", [False, True])
def test_the_best_is_copied_to_another_folder(tmp_path: Path, top: int, moved: bool) -> None:
    names = {} if top == 1 else {"filename": "{epoch}", "save_top_k": top}
    fit(tmp_path / "first", 3, **names)
    first = shutil.move(tmp_path / "first", tmp_path / "renamed") if moved else tmp_path / "first"
    best = fit(tmp_path / "second", 5, first / "last.ckpt", **names)
    assert Path(best.best_model_path).parent == tmp_path / "second"
    assert epoch_in(best.best_model_path) == 1
    assert best.metrics["val/accuracy"] == pytest.approx(0.9)
    epochs = sorted(epoch_in(path) for path in (tmp_path / "second").glob("*.ckpt") if path.name != "last.ckpt")
    assert epochs == {1: [1], 2: [1, 3], -1: [1, 3, 4]}[top]


def test_a_renamed_folder_keeps_its_best(tmp_path: Path) -> None:
    fit(tmp_path / "first", 3)
    shutil.move(tmp_path / "first", tmp_path / "renamed")
    best = fit(tmp_path / "renamed", 5, tmp_path / "renamed" / "last.ckpt")
    assert best.best_model_path == str(tmp_path / "renamed" / "best.ckpt")
    assert epoch_in(best.best_model_path) == 1


@pytest.mark.parametrize("lost", ["gone", "another", "monitor"])
def test_without_the_best_the_search_starts_anew_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    first = tmp_path / "first"
    fit(first, 1 if lost == "another" else 3)
    last = shutil.copy(first / "last.ckpt", first / "copy.ckpt")
    if lost == "gone":
        (first / "best.ckpt").unlink()
    if lost == "another":  # the file of that name is now of a later epoch
        fit(first, 3, first / "last.ckpt")
    other = {"monitor": "val/loss", "mode": "min"} if lost == "monitor" else {}
    best = fit(tmp_path / "second", 5, last, **other)
    assert "only validations from here on can be the best" in caplog.text
    epoch = 1 if lost == "another" else 3
    assert epoch_in(best.best_model_path) == epoch
    assert best.metrics == pytest.approx({"val/accuracy": ACCURACY[epoch], "val/loss": LOSS[epoch]})


def test_without_a_monitor_no_checkpoint_is_the_best(tmp_path: Path) -> None:
    assert fit(tmp_path, 2, monitor=None, save_top_k=-1, filename="{epoch}").metrics == {}


def test_a_trial_run_copies_nothing(tmp_path: Path) -> None:
    fit(tmp_path / "first", 2)
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", fast_dev_run=True, logger=False)
    best = SaveBest(dirpath=tmp_path / "second", monitor="val/accuracy", mode="max", filename="best")
    best.setup(trainer, BoringModel(), "fit")
    trainer.state.fn = "fit"
    best.on_load_checkpoint(trainer, BoringModel(), torch.load(tmp_path / "first" / "last.ckpt", weights_only=True))
    assert not (tmp_path / "second").exists()
