"""Resuming from a checkpoint: the reviews that each epoch trains on, under a Trainer."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Batch, EncoderLimits

STEPS = 12  # of an epoch of 186 reviews, 16 at a time
PACKS = EncoderLimits(vocab_size=300, max_length=None, pad_token_id=0, packs_rows=True)

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, of which 186 reviews are trained on."""
    path = tmp_path_factory.mktemp("resume")
    pd.DataFrame(demo_rows("train", 230, seed=0), columns=["id", "text", "label"]).to_csv(path / "train.csv")
    return path


class Recorder(LightningModule):
    """Records the reviews that it is trained on, a list per epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self) -> None:
        self.epochs.append([])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not self.epochs:  # resumed within an epoch, which has begun
            self.epochs.append([])
        self.epochs[-1] += batch.rows.tolist()
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.trainer.estimated_stepping_batches  # builds the loader before the loops are restored
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Saver(Callback):
    """Saves a checkpoint in the second epoch, in the hook of this name."""

    def __init__(self, hook: str, path: Path) -> None:
        def save(trainer: Trainer, module: LightningModule, *arguments: Any) -> None:
            batch_idx = arguments[2] if hook == "on_train_batch_end" else 4
            if trainer.current_epoch == 1 and batch_idx == 4 and not path.exists():
                trainer.save_checkpoint(path, weights_only=False)

        setattr(self, hook, save)


def fit(
    folder: Path,
    data: dict[str, Any] | None = None,
    checkpoint: Path | None = None,
    seed: int = 1,
    callback: Callback | None = None,
    **settings: Any,
) -> Trainer:
    seed_everything(seed, verbose=False)
    corpus = Corpus("own", Source("train.csv"), [Label("0", "negative"), Label("1", "positive")], format="csv")
    settings_of_data: dict[str, Any] = {"max_length": 48, "batch_size": 16, "limits": PACKS, **(data or {})}
    module = NSMCDataModule(300, corpus, data_dir=str(folder), **settings_of_data)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=callback,
        **settings,
    )
    trainer.fit(Recorder(), module, ckpt_path=checkpoint, weights_only=True)
    return trainer


def epochs(trainer: Trainer) -> list[list[int]]:
    return trainer.lightning_module.epochs  # type: ignore[return-value]


ENDS = ["on_validation_end", "on_train_epoch_end", "after"]
Saved = Callable[..., Path]


@pytest.fixture(scope="module")
def saved(folder: Path) -> Saved:
    """Writes a checkpoint of a run, once: at the end of its second epoch, or at a batch or the start of it."""

    def checkpoint(when: str, **settings: Any) -> Path:
        path = folder / f"{when} {settings}.ckpt"
        if not path.exists() and when == "after":
            fit(folder, **{"max_epochs": 2, **settings}).save_checkpoint(path, weights_only=False)
        elif not path.exists():
            fit(folder, callback=Saver(when, path), **{"max_epochs": 2, **settings})
        return path

    return checkpoint


@pytest.fixture(scope="module")
def whole(folder: Path) -> list[int]:
    """The reviews of a run of four epochs, in order."""
    return list(chain(*epochs(fit(folder, max_epochs=4))))


@pytest.mark.parametrize(
    ("when", "changed"),
    [
        *((when, {"data": {"batch_size": 8}}) for when in ENDS),
        *((when, {"data": {"batch_size": 32, "num_workers": 1}, "limit_val_batches": 0}) for when in ENDS),
        ("on_validation_end", {"data": {"packed": False, "max_length": 12}, "seed": 2}),
        ("on_validation_end", {"limit_train_batches": 6}),
        ("on_validation_end", {"limit_train_batches": 0.5, "val_check_interval": 4}),
        ("on_validation_end", {"data": {"batch_size": 8}, "val_check_interval": 5}),
    ],
    ids=str,
)
def test_at_an_epoch_s_end_another_order_is_accepted(
    when: str, changed: dict[str, Any], folder: Path, saved: Saved
) -> None:
    resumed = epochs(fit(folder, checkpoint=saved(when), max_epochs=4, **changed))
    reviews = 96 if "limit_train_batches" in changed else 186
    assert [len(rows) for rows in resumed] == [reviews, reviews]
    assert [len(set(rows)) for rows in resumed] == [reviews, reviews]


@pytest.mark.parametrize("limits", [{"max_epochs": 4}, {"max_epochs": 4, "max_steps": 4 * STEPS}], ids=str)
@pytest.mark.parametrize(
    ("when", "settings", "done"),
    [
        ("on_validation_end", {}, 2 * 186),
        ("on_train_epoch_end", {}, 2 * 186),
        ("on_train_epoch_end", {"limit_val_batches": 0}, 2 * 186),
        ("after", {}, 2 * 186),
        ("on_train_batch_end", {}, 186 + 5 * 16),
        ("on_train_epoch_start", {}, 186),
    ],
    ids=str,
)
def test_a_resumed_run_trains_on_what_a_whole_one_does(
    when: str, settings: dict[str, Any], done: int, limits: dict[str, Any], folder: Path, saved: Saved, whole: list[int]
) -> None:
    resumed = fit(folder, checkpoint=saved(when, **settings), **limits, **settings)
    assert list(chain(*epochs(resumed))) == whole[done:]


@pytest.mark.parametrize("when", ["on_train_epoch_end", "after"])
def test_an_epoch_that_max_steps_cut_off_is_completed(when: str, folder: Path, saved: Saved, whole: list[int]) -> None:
    checkpoint = saved(when, max_steps=STEPS + 5, limit_val_batches=0)
    resumed = fit(folder, checkpoint=checkpoint, max_steps=4 * STEPS, limit_val_batches=0)
    assert list(chain(*epochs(resumed))) == whole[186 + 5 * 16 :]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {"batch_size": 8}}, "data.batch_size × trainer.devices was 16 and is 8"),
        ({"data": {"packed": False}}, r"data.packed \(with the model.s limits\) was True and is False"),
        ({"seed": 2}, "seed_everything was 1 and is 2"),
        ({"data": {"max_length": 12}}, "data.max_length was 48 and is 12"),
        ({"data": {"dev_fraction": 0.2}}, "other lengths in tokens"),
    ],
    ids=str,
)
def test_within_an_epoch_another_order_is_refused(
    changed: dict[str, Any], message: str, folder: Path, saved: Saved
) -> None:
    with pytest.raises(UserError, match=message):
        fit(folder, checkpoint=saved("on_train_batch_end"), max_epochs=2, **changed)


def test_a_setting_that_changes_no_order_is_accepted(folder: Path, saved: Saved) -> None:
    data = {"max_length": 47, "max_tokens": 99}  # no review is so long
    resumed = fit(folder, data, saved("on_train_batch_end"), max_epochs=2)
    assert len(epochs(resumed)[0]) == 186 - 5 * 16


def test_checkpoints_of_an_early_version_resume(folder: Path, saved: Saved, tmp_path: Path) -> None:
    checkpoint = torch.load(saved("on_train_batch_end"), weights_only=True)
    del checkpoint["NSMCDataModule"]["order"]
    checkpoint["NSMCDataModule"]["position"] = [1, 5, 16]
    torch.save(checkpoint, tmp_path / "early.ckpt")
    assert len(epochs(fit(folder, checkpoint=tmp_path / "early.ckpt", max_epochs=2))[0]) == 186 - 5 * 16
    with pytest.raises(UserError, match="was 16 and is 8"):
        fit(folder, {"batch_size": 8}, tmp_path / "early.ckpt", max_epochs=2)
