"""What a run was: its settings beside its logs and in its checkpoints, its hyper-parameters with what they reached."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.checkpoint import CLI_CONFIG, RUN
from nsmc_lightning.run.provenance import git_state, versions
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.types import MEASURES


class RunRecord(Callback):
    """Writes ``config.yaml`` and ``run.json`` to the run's folder, and what is in them into each checkpoint.

    ``run.json`` says what the run came from: the recipe's name, the seed, the checksum of each file, the
    versions of Python and of the libraries, and the commit of the code.

    At the end of ``fit`` the hyper-parameters go to the loggers once, with the dev metrics of the best checkpoint, so
    that TensorBoard's HParams tab compares runs by what they reached; without such a checkpoint, with the last ones.

    Args:
        recipe: name of the recipe.
        seed: the run's.
        config: the command line's settings as YAML, as they were given.
        checkpoint_config: the same for checkpoints, which are used from other folders.
        best: the callback that keeps the best checkpoint; None where none is kept.
    """

    def __init__(self, recipe: str, seed: int, config: str, checkpoint_config: str, best: SaveBest | None) -> None:
        self.recipe = recipe
        self.seed = seed
        self.config = config
        self.checkpoint_config = checkpoint_config
        self.best = best
        self.last: dict[str, float] = {}
        """Dev metrics of the last validation of this process's ``fit``."""
        self.run: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes ``config.yaml`` and ``run.json``."""
        self.run = self._run(trainer)
        log_dir = trainer.log_dir  # asked on every process: Lightning broadcasts it
        if trainer.is_global_zero and trainer.loggers and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            assert log_dir is not None
            Path(log_dir).mkdir(parents=True, exist_ok=True)
            (Path(log_dir) / "config.yaml").write_text(self.config, encoding="utf-8")
            text = json.dumps(self.run, ensure_ascii=False, indent=2)
            (Path(log_dir) / "run.json").write_text(text + "\n", encoding="utf-8")

    def _run(self, trainer: Trainer) -> dict[str, Any]:
        data = trainer.datamodule  # type: ignore[attr-defined]
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "corpus": data.corpus.name,
            "sha256": data.checksums(),
            "versions": versions(),
            "git": git_state(),
        }

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the dev metrics."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            values = trainer.callback_metrics
            self.last = {name: float(value) for name, value in values.items() if name.startswith("val/")}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the settings and the run's origin into the checkpoint, ahead of which all logs are written."""
        for logger in trainer.loggers:
            logger.save()
        checkpoint[CLI_CONFIG] = self.checkpoint_config
        checkpoint[RUN] = self.run

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs hyper-parameters and the dev metrics reached."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        parameters = {**pl_module.hparams, **data.hparams, "corpus": data.corpus.name}
        best = self.best.metrics if self.best is not None else {}
        prefix, reached = ("best", best) if best else ("last", self.last)
        metrics = {f"{prefix}/{name}": reached[f"val/{name}"] for name in MEASURES if f"val/{name}" in reached}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(parameters, metrics=metrics)
            else:
                logger.log_hyperparams(parameters)
            logger.save()
