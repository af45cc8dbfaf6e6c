"""What a run was: its settings, its origin, and its hyper-parameters with the metrics that they reached."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.checkpoint import CLI_CONFIG, RUN
from nsmc_lightning.files import whole_file
from nsmc_lightning.run.loop import is_fit_validation
from nsmc_lightning.run.provenance import git_state, versions
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.types import MEASURES

RESULT = "result"
"""Key of ``run.json`` with what a finished training reached."""
# The first columns of TensorBoard's table of runs.
_FIRST = ("lr", "batch_size", "seed", "averaging.decay")


class Source(NamedTuple):
    """What a run's record keeps of its command.

    Args:
        recipe: name of the recipe.
        config: the command line's settings as YAML, as they were given.
        checkpoint_config: the same for checkpoints, which are used from other folders.
        ckpt_path: the checkpoint that the command starts from.
        has_folder: whether the command has a folder of its own: that of an earlier run keeps its records.
    """

    recipe: str
    config: str
    checkpoint_config: str
    ckpt_path: str | None
    has_folder: bool


class RunRecord(Callback):
    """Write ``config.yaml`` and ``run.json`` to the run's folder, and the same into each checkpoint.

    ``run.json`` tells where the run came from: the recipe's name, the seed, the checkpoint that it started from, the
    checksum of each file, the versions of Python and of the libraries, the commit of the code, and the kernels. When
    training ends, its key ``result`` receives the number of steps and the dev metrics reached.

    At the end of ``fit`` the loggers receive the hyper-parameters once, with the dev metrics of the best checkpoint, so
    that TensorBoard's HParams tab compares runs by what they reached; without such a checkpoint, with the last ones.

    Args:
        source: what is kept of the command.
        seed: the run's.
        hparams: hyper-parameters that are neither the model's nor the data's.
        best: the callback that keeps the best checkpoint; None where none is kept.
    """

    def __init__(self, source: Source, seed: int, hparams: Mapping[str, Any], best: SaveBest | None) -> None:
        self.source = source
        self.seed = seed
        self.hparams = hparams
        self.best = best
        self.folder: Path | None = None
        """The folder that receives the record; None in all processes but the first, and for a command without one."""
        self.last_metrics: dict[str, float] = {}
        """Dev metrics of the last validation of this process's ``fit``."""
        self.run: dict[str, Any] = {}

    @property
    def reached(self) -> tuple[str, dict[str, float]]:
        """ "best" and the dev metrics of the best checkpoint, or "last" and those of the last validation."""
        best = self.best.metrics if self.best is not None else {}
        return ("best", best) if best else ("last", self.last_metrics)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.run = {
            "recipe": self.source.recipe,
            "seed": self.seed,
            "ckpt_path": self.source.ckpt_path,
            "corpus": data.corpus.name,
            "sha256": data.checksums(),
            "versions": versions(),
            "git": git_state(),
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the record, once the checkpoint is loaded: with it come the kernels of the run that it resumes."""
        if trainer.strategy.root_device.type == "cpu":
            self.run["kernels"] = asdict(pl_module.encoder.kernels)  # type: ignore[arg-type, union-attr]
        log_dir = trainer.log_dir  # read on every process, as Lightning broadcasts it
        if trainer.is_global_zero and self.source.has_folder and log_dir is not None:
            self.folder = Path(log_dir)
            _write(self.folder / "config.yaml", self.source.config)
            self._write_run(self.run)

    def _write_run(self, run: Mapping[str, Any]) -> None:
        if self.folder is not None:
            _write(self.folder / "run.json", json.dumps(run, ensure_ascii=False, indent=2) + "\n")

    on_test_start = on_predict_start = on_fit_start

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit":
            self.on_fit_start(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_fit_validation(trainer):
            values = trainer.callback_metrics
            self.last_metrics = {name: float(value) for name, value in values.items() if name.startswith("val/")}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the settings and the run's origin to a checkpoint, after the logs of the steps that it includes."""
        for logger in trainer.loggers:
            logger.save()
        checkpoint[CLI_CONFIG] = self.source.checkpoint_config
        checkpoint[RUN] = self.run

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        given = {**pl_module.hparams, **data.hparams, "corpus": data.corpus.name, "seed": self.seed, **self.hparams}
        parameters = {**{name: given[name] for name in _FIRST if name in given}, **given}
        which, reached = self.reached
        values = {name: reached[f"val/{name}"] for name in MEASURES if f"val/{name}" in reached}
        # TensorBoard sorts by name: the curves of val are to be in front of these points.
        metrics = {f"val_{which}/{name}": value for name, value in values.items()}
        self._write_run({**self.run, RESULT: {"steps": trainer.global_step, which: values}})
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(parameters, metrics=metrics)
            else:
                logger.log_hyperparams(parameters)
            logger.save()


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
