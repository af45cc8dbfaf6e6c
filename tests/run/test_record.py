"""The metrics by which TensorBoard compares runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nsmc_lightning.callbacks.throughput import RATES
from nsmc_lightning.run.record import RunRecord


def test_runs_are_compared_by_what_they_reached_not_by_the_machine(tmp_path: Path) -> None:
    best: Any = SimpleNamespace(metrics={"val/accuracy": 0.5, **{f"val/{name}": 1.0 for name in RATES}})
    record = RunRecord(recipe="small", seed=0, config="", checkpoint_config="", ckpt_path=None, best=best)
    data = SimpleNamespace(hparams={"batch_size": 32}, corpus=SimpleNamespace(name="nsmc"))
    trainer: Any = SimpleNamespace(datamodule=data, loggers=[TensorBoardLogger(tmp_path, name="", version="run")])
    module: Any = SimpleNamespace(hparams={"lr": 0.1})
    record.on_fit_end(trainer, module)
    trainer.loggers[0].experiment.flush()
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [name for name in events.Tags()["scalars"] if name.startswith("best/")] == ["best/accuracy"]
