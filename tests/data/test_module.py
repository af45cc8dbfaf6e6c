"""NSMCDataModule: the parts in order, the test part locked until it is asked for."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.demo import demo_rows
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.data.split import normalise_for_matching
from nsmc_lightning.types import UserError

LABELS = [Label("0", "negative"), Label("1", "positive")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train.csv of 300 reviews, some of them twice."""
    rows = demo_rows("train", 300, seed=0)
    table = pd.DataFrame([*rows, *rows[:20]], columns=["id", "text", "label"])
    table.to_csv(tmp_path / "train.csv", index=False)
    return tmp_path


def data(folder: Path, corpus: Corpus | None = None, **settings: int | float) -> NSMCDataModule:
    corpus = corpus or Corpus("own", Source("train.csv"), LABELS, format="csv", id_column="id")
    module = NSMCDataModule(400, corpus, data_dir=str(folder), **settings)  # type: ignore[arg-type]
    module.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    module.trainer.strategy.connect(BoringModel())
    return module


def test_train_dev_and_test_share_no_text(folder: Path) -> None:
    module = data(folder)
    module.setup("fit")
    assert "test" not in module.rows
    module.setup("test")
    texts = {part: set(map(normalise_for_matching, module.rows[part]["text"])) for part in ("train", "dev", "test")}
    assert not texts["train"] & texts["dev"]
    assert not texts["test"] & (texts["train"] | texts["dev"])
    assert module.rows["train"]["text"].is_unique


class Packing(BoringModel):
    packed_rows = True


def test_training_rows_are_packed_where_the_model_takes_them(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for model, settings, packed in (
        (Packing(), {}, True),
        (Packing(), {"packed": False}, False),
        (BoringModel(), {}, False),
    ):
        module = data(folder, batch_size=16, **settings)
        module.trainer.strategy.connect(model)
        module.setup("fit")
        caplog.clear()
        batches = list(module.train_dataloader())
        assert {batch.position_ids is not None for batch in batches} == {packed}
        assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(len(module.data["train"])))
        said = [record.message for record in caplog.records if record.message.startswith("packed rows: not for")]
        assert len(said) == (type(model) is BoringModel)


def test_the_test_part_is_the_same_whatever_the_seeds(folder: Path) -> None:
    parts = []
    for seed in (1, 2):
        module = data(folder, split_seed=seed)
        module.setup("fit")
        module.setup("test")
        parts.append(module)
    assert parts[0].rows["test"].equals(parts[1].rows["test"])
    assert not parts[0].rows["dev"].equals(parts[1].rows["dev"])


def test_fit_never_opens_the_test_file(folder: Path) -> None:
    corpus = Corpus("own", Source("train.csv"), LABELS, test=Source("no-such-test.csv"), format="csv", id_column="id")
    module = data(folder, corpus)
    module.trainer.state.fn = "fit"
    module.prepare_data()
    module.setup("fit")
    with pytest.raises(UserError, match=r"no-such-test\.csv"):
        module.setup("test")


def test_batches_hold_every_training_row_once(folder: Path) -> None:
    module = data(folder, batch_size=16)
    module.setup("fit")
    rows = [row for batch in module.train_dataloader() for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(len(module.rows["train"])))


def test_the_counts_of_cleaning_are_logged_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        module = data(folder)
        module.setup("fit")
        module.setup("fit")
    assert sum("duplicates dropped" in record.message for record in caplog.records) == 1


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match=r"data\.batch_size"):
        NSMCDataModule(400, batch_size=0)
