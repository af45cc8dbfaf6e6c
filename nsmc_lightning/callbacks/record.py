"""What a run was: its settings beside its logs and in its checkpoints, its hyper-parameters with what they reached."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from nsmc_lightning.callbacks.throughput import RATES
from nsmc_lightning.checkpoint import CLI_CONFIG


class RunRecord(Callback):
    """Writes ``config.yaml`` to the run's folder and the settings into each checkpoint.

    At the end of ``fit`` the hyper-parameters go to the loggers once, with the best dev metrics, so that TensorBoard's
    HParams tab compares runs by what they reached.

    Args:
        config: the command line's settings as YAML, as they were given.
        checkpoint_config: the same for checkpoints, which are used from other folders.
        monitor: the dev metric that decides which epoch was best, larger is better where ``mode`` is max.
        mode: max or min.
    """

    def __init__(self, config: str, checkpoint_config: str, monitor: str, mode: str) -> None:
        self.config = config
        self.checkpoint_config = checkpoint_config
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.best: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes ``config.yaml``."""
        log_dir = trainer.log_dir  # asked on every process: Lightning broadcasts it
        if trainer.is_global_zero and trainer.loggers and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            assert log_dir is not None
            Path(log_dir).mkdir(parents=True, exist_ok=True)
            (Path(log_dir) / "config.yaml").write_text(self.config, encoding="utf-8")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the metrics of the best validation so far."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        value = metrics.get(self.monitor)
        if value is not None and (not self.best or self.sign * value > self.sign * self.best[self.monitor]):
            self.best = metrics

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the settings into the checkpoint."""
        checkpoint[CLI_CONFIG] = self.checkpoint_config

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs hyper-parameters and the best dev metrics."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        parameters = {**pl_module.hparams, **data.hparams, "corpus": data.corpus.name}
        names = {name: name.removeprefix("val/") for name in self.best}
        best = {f"best/{names[name]}": value for name, value in self.best.items() if names[name] not in RATES}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(parameters, metrics=best)
            else:
                logger.log_hyperparams(parameters)
            logger.save()
