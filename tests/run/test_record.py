"""What a run's record holds, and the metrics by which TensorBoard compares runs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from nsmc_lightning.callbacks.throughput import RATES
from nsmc_lightning.run.record import RunRecord, Source

SOURCE = Source(recipe="small", config="", checkpoint_config="", ckpt_path=None, has_folder=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that has ended, with a table of its hyper-parameters."""
    best: Any = SimpleNamespace(
        metrics={"val/loss": 0.7, "val/accuracy": 0.5, **{f"val/{name}": 1.0 for name in RATES}}
    )
    record = RunRecord(SOURCE, seed=7, hparams={"averaging.decay": 0.9}, best=best)
    record.folder = tmp_path / "run"
    record.run = {"recipe": "small", "seed": 7}
    data = SimpleNamespace(hparams={"max_length": 40, "batch_size": 32}, corpus=SimpleNamespace(name="nsmc"))
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    trainer: Any = SimpleNamespace(datamodule=data, loggers=[logger], global_step=12)
    module: Any = SimpleNamespace(hparams={"dropout": 0.1, "lr": 0.1})
    record.on_fit_end(trainer, module)
    logger.experiment.flush()
    return record.folder


def test_runs_are_compared_by_what_they_reached_not_by_the_machine(folder: Path) -> None:
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [name for name in events.Tags()["scalars"] if name.startswith("val_best/")] == [
        "val_best/accuracy",
        "val_best/loss",
    ]


def test_the_table_of_runs_begins_with_rate_batch_size_seed_averaging_and_accuracy(folder: Path) -> None:
    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    experiment = HParamsPluginData.FromString(content).experiment
    names = [info.name for info in experiment.hparam_infos]
    assert names == ["lr", "batch_size", "seed", "averaging.decay", "dropout", "max_length", "corpus"]
    assert [info.name.tag for info in experiment.metric_infos] == ["val_best/accuracy", "val_best/loss"]


def test_a_run_that_ended_says_what_it_reached(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record == {"recipe": "small", "seed": 7, "result": {"steps": 12, "best": {"accuracy": 0.5, "loss": 0.7}}}
