"""What pretraining prints at its end: a table of the metrics, and the command that comes next."""

import math
import shlex

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.callbacks.encoder_folder import EncoderFolder
from nsmc_lightning.callbacks.summary import of_stage, print_line, print_table, print_tensorboard
from nsmc_lightning.callbacks.throughput import Throughput
from nsmc_lightning.run.record import RunRecord


class PretrainingSummary(Callback):
    """Print the metrics of the texts held out, and how to train a classifier on the encoder."""

    def __init__(self, record: RunRecord, throughput: Throughput, folder: EncoderFolder) -> None:
        self.record = record
        self.throughput = throughput
        self.folder = folder

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = of_stage("val", self.record.last_metrics)
        if "loss" in metrics:
            metrics["perplexity"] = math.exp(min(metrics["loss"], 100.0))
        print_table({"hidden tokens of texts held out": metrics, "training": of_stage("train", self.throughput.rates)})
        if self.folder.path is not None:
            folder = shlex.quote(str(self.folder.path))
            print_line(f"encoder:     {folder}")
            print_line(f"train on it: python -m nsmc_lightning fit --config RECIPE --model.backbone {folder}")
        print_tensorboard(trainer)
