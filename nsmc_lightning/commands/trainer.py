"""The trainer: Lightning's, with this package's loggers, callbacks and way to write checkpoints."""

import sys
from datetime import timedelta
from typing import NamedTuple

from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, Timer, TQDMProgressBar
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar

from nsmc_lightning.callbacks.baseline_row import baseline_row
from nsmc_lightning.callbacks.collapse import CollapseAlarm
from nsmc_lightning.callbacks.encoder_folder import EncoderFolder
from nsmc_lightning.callbacks.kernel_report import KernelReport
from nsmc_lightning.callbacks.pictures import Pictures
from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.pretraining_summary import PretrainingSummary
from nsmc_lightning.callbacks.progress import ProgressLines
from nsmc_lightning.callbacks.robustness import Robustness
from nsmc_lightning.callbacks.summary import Summary
from nsmc_lightning.callbacks.test_pictures import TestPictures
from nsmc_lightning.callbacks.test_report import TestReport
from nsmc_lightning.callbacks.throughput import Throughput
from nsmc_lightning.errors import building_trainer
from nsmc_lightning.run.checkpoint_files import AtomicCheckpointIO
from nsmc_lightning.run.loop import remove_signal_handlers
from nsmc_lightning.run.non_finite import StopAtNonFinite
from nsmc_lightning.run.record import RunRecord, Source
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.save_last import SaveLast
from nsmc_lightning.run.step_seed import StepSeed
from nsmc_lightning.run.stop import GracefulStop
from nsmc_lightning.run.trainer import RunTrainer
from nsmc_lightning.run.validate_at_end import ValidateAtEnd


class Run(NamedTuple):
    """Our callbacks in the order in which Lightning calls them, and two of them that the command asks."""

    callbacks: list[Callback]
    stop: GracefulStop
    record: RunRecord


def build_trainer(config: Namespace, ours: list[Callback]) -> RunTrainer:
    """The trainer of a command, with our callbacks added to those that the settings name, and without our loggers.

    Args:
        config: the command's settings, with classes built.
        ours: the command's callbacks.

    Raises:
        UserError: Lightning cannot build it from these settings.
    """
    trainer = config.trainer
    given = trainer.callbacks or []
    given = list(given) if isinstance(given, list) else [given]
    settings = trainer.as_dict()
    if has_our_loggers(config):
        settings["logger"] = False  # they need the run's folder, which is claimed as the run starts
    if trainer.max_time is not None:  # Lightning would put its timer behind ValidateAtEnd
        given.append(Timer(trainer.max_time))
        settings["max_time"] = None
    plugins = trainer.plugins or []
    settings["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
    # The average is first: all others see it after a batch.
    average = [config.averaging] if "averaging" in config else []
    settings["callbacks"] = [*average, *given, *ours, *_progress(trainer, given)]
    with building_trainer(trainer):
        built = RunTrainer(**settings)
    remove_signal_handlers(built)
    return built


def has_our_loggers(config: Namespace) -> bool:
    """Return whether the settings leave the loggers to us."""
    return config.trainer.logger is None or config.trainer.logger is True


def classifier_run(config: Namespace, source: Source) -> Run:
    """Return the callbacks of fit, validate, test and predict."""
    best, last = _checkpoint_callbacks(config)
    seed = int(config.seed_everything or 0)  # false seeds nothing
    throughput, writer = Throughput(), PredictionWriter(config.output)
    report = TestReport(writer, source.ckpt_path, baseline_row)
    record = RunRecord(source, seed, {"averaging.decay": config.averaging.decay}, best)
    stop = GracefulStop(last)
    early_stopping = [config.early_stopping] if config.trainer.limit_val_batches != 0 else []
    callbacks = [
        *early_stopping,  # before the checkpoints, which hold its count of validations
        StepSeed(seed),  # before the batch draws random numbers
        StopAtNonFinite(),  # before anything is saved
        ValidateAtEnd(),  # after a Timer, which may end training; before stop and last, which ask what follows
        throughput,  # before what takes time and is not to be measured
        Pictures(),
        CollapseAlarm(),
        writer,  # before the report, which reads its predictions, and the summary, which names its file
        report,
        TestPictures(report),  # after the report, whose answers it draws
        Robustness(),  # after the report, before the summary: so their tables are printed
        KernelReport(),
        *_learning_rates(config),
        record,  # before the summary, which prints the metrics that it keeps
        Summary(record, throughput, writer, report, best, last),
        stop,  # after all others: what it saves includes what they did with the batch
        *([best] if best is not None else []),  # Lightning calls these two last, wherever they are in the list
        *([last] if last is not None else []),  # after best: last.ckpt names the best checkpoint
    ]
    return Run(callbacks, stop, record)


def pretraining_run(config: Namespace, source: Source) -> Run:
    """Return the callbacks of pretrain: it keeps the last weights, whose learning rate has fallen to 0."""
    last = None if config.trainer.enable_checkpointing is False else SaveLast(timedelta(minutes=config.save_minutes))
    seed = int(config.seed_everything or 0)
    throughput, folder = Throughput(), EncoderFolder()
    record = RunRecord(source, seed, {}, None)
    stop = GracefulStop(last, "pretrain")
    callbacks = [
        StepSeed(seed),
        StopAtNonFinite(),
        ValidateAtEnd(),
        throughput,
        KernelReport(),
        *_learning_rates(config),
        record,
        folder,  # before the summary, which names it
        PretrainingSummary(record, throughput, folder),
        stop,
        *([last] if last is not None else []),
    ]
    return Run(callbacks, stop, record)


def _learning_rates(config: Namespace) -> list[Callback]:
    """The callback that logs them, which Lightning refuses in a run without a logger."""
    logs = config.trainer.logger not in (False, []) and not config.trainer.fast_dev_run
    return [LearningRateMonitor(logging_interval="step")] if logs else []


def _checkpoint_callbacks(config: Namespace) -> tuple[SaveBest | None, SaveLast | None]:
    if config.trainer.enable_checkpointing is False:
        return None, None
    best: SaveBest = config.checkpoint
    if best.filename == "best" and best.save_top_k != 1:
        best.filename = "epoch={epoch}-step={step}"  # of several, "best" would not be the best
    return best, SaveLast(timedelta(minutes=config.save_minutes))


def _progress(trainer: Namespace, given: list[Callback]) -> list[Callback]:
    """A progress bar on a terminal, otherwise lines; none where the settings turn it off or name one."""
    if trainer.enable_progress_bar is False or any(isinstance(callback, LightningProgressBar) for callback in given):
        return []
    # Each refresh fetches the loss, for which a GPU is waited for.
    return [TQDMProgressBar(refresh_rate=10) if sys.stderr.isatty() else ProgressLines()]
