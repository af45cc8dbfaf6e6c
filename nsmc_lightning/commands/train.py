"""fit, validate, test and predict: Lightning's command line, with links between data and model and with checkpoints
that bring their own settings."""

import logging
import os
import sys
import warnings
from argparse import ArgumentError
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, Timer, TQDMProgressBar
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from nsmc_lightning.callbacks.pictures import Pictures
from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.progress import ProgressLines
from nsmc_lightning.callbacks.summary import Summary
from nsmc_lightning.callbacks.throughput import Throughput
from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.commands.arguments import configs_first, option, run_of
from nsmc_lightning.commands.classes import class_mistake
from nsmc_lightning.commands.keys import Keys
from nsmc_lightning.commands.refusals import refusals_explained
from nsmc_lightning.commands.settings import (
    no_trainer,
    refuse_seed,
    refuse_unwise,
    refused_by_lightning,
    save_after_validation,
)
from nsmc_lightning.commands.trust import denials_explained, restrict_imports
from nsmc_lightning.data.corpus import NSMC
from nsmc_lightning.data.download import default_cache_dir
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.run.checkpoint_files import AtomicCheckpointIO, remove_leftovers
from nsmc_lightning.run.folder import build_loggers
from nsmc_lightning.run.loop import remove_signal_handlers
from nsmc_lightning.run.newest import find_checkpoint
from nsmc_lightning.run.non_finite import StopAtNonFinite
from nsmc_lightning.run.record import RunRecord
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.save_last import SaveLast
from nsmc_lightning.run.step_seed import StepSeed
from nsmc_lightning.run.stop import GracefulStop
from nsmc_lightning.run.stop_early import StopEarly
from nsmc_lightning.run.validate_at_end import ValidateAtEnd
from nsmc_lightning.types import EncoderLimits

_NOT_OPTIONS = {
    *("weights_only", "verbose", "return_predictions"),
    *("model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"),
}
_TRAINER_DEFAULTS = {
    "gradient_clip_val": 1.0,  # Devlin et al. 2019, and every recipe since
    "log_every_n_steps": 10,
    "use_distributed_sampler": False,  # our samplers know their rank; Lightning's would count padded rows twice
}
_CHECKPOINT_DEFAULTS = {
    "checkpoint.monitor": "val/accuracy",
    "checkpoint.mode": "max",
    "checkpoint.filename": "best",
    "checkpoint.auto_insert_metric_name": False,  # a metric's name holds a slash, which would become a folder
    "early_stopping.monitor": "val/accuracy",
    "early_stopping.mode": "max",
}
_CKPT_PATH_HELP = "a checkpoint's file, its run's folder, or last or best of the newest run of the recipe"
_NEEDS_MODEL = "needs a trained model: give --ckpt_path FILE."


# Warnings of the libraries about what is intended here.
_EXPECTED = (
    "Experiment logs directory",  # a run's folder is claimed before its loggers open it
    ".*isinstance.treespec, LeafSpec.. is deprecated",  # between lightning and torch
    "The '.*_dataloader' does not have many workers",  # batches are cut from arrays in memory
    "You're resuming from a checkpoint that ended before",  # the data module resumes at its place in the epoch
    "Checkpoint directory .* exists and is not empty",  # a resumed run writes to its own folder
    "The ``compute`` method of metric",  # training metrics are restored at an epoch's end, and logged without an update
)
_EXPECTED_OF_EVALUATION = (
    "The dirpath has changed from",  # it writes no checkpoints
    "Be aware that when using `ckpt_path`, callbacks used to create",  # nor does it need what wrote them
)


def run(args: list[str]) -> None:
    """Runs fit, validate, test or predict, the first of ``args``.

    Raises:
        UserError: a mistake in the settings, or in what they name.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Lightning's banners name the seed and the devices, which config.yaml holds, and advertise.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in [*_EXPECTED, *(_EXPECTED_OF_EVALUATION if args[0] != "fit" else ())]:
        warnings.filterwarnings("ignore", message=message)
    with refusals_explained():
        ClassifierCLI(args)


class ClassifierCLI(LightningCLI):
    """Parses a command, builds data module, model and trainer, and runs it.

    Args:
        args: the command line, without the program's name.

    Raises:
        UserError: a value that cannot be, or a checkpoint that is missing, unreadable or contradicted.
        argparse.ArgumentError: a key or value that the parser refuses.
    """

    def __init__(self, args: list[str]) -> None:
        args = restrict_imports(args)
        self.ckpt_path = option(args, "--ckpt_path")
        if self.ckpt_path == "":
            raise UserError("--ckpt_path: give a checkpoint's file with it.")
        if self.ckpt_path:
            self.ckpt_path = find_checkpoint(self.ckpt_path, args[0], *run_of(args))
            args = [*args, f"--ckpt_path={self.ckpt_path}"]
        self.checkpoint = Checkpoint.read(self.ckpt_path) if self.ckpt_path else None
        args = configs_first(args, [] if self.checkpoint is None else [self.checkpoint.settings_for(args[0])])
        self.command = args[0]
        # A shortened key would go past what looks at --config and --ckpt_path ahead of the parser.
        quiet = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            BertClassifierModule,
            NSMCDataModule,
            save_config_callback=None,  # RunRecord does it, for any logger and any run folder
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=42,
            parser_kwargs={"prog": "python -m nsmc_lightning", **quiet, args[0]: quiet},
            args=args,
            auto_configure_optimizers=False,  # it would put in one parameter group and a schedule by epochs
            load_from_checkpoint_support=False,  # it would store YAML in place of the arguments
        )

    # Parsing

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static there, but called on self
        """The command at hand, and the arguments of Lightning's method that are not options.

        The parsers of the other commands would only take time.
        """
        return {self.command: _NOT_OPTIONS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Our options, the standing callbacks' keys, and the links that let a recipe name each thing once."""
        parser.add_argument("--name", type=str | None, help="name of the run's folder; the recipe's name by default")
        parser.add_argument("--log_dir", type=str, default="lightning_logs", help="folder of all runs")
        parser.add_argument("--log_graph", type=bool, default=False, help="put the model's graph into TensorBoard")
        parser.add_argument(
            "--compile", type=bool, default=False, help="compile the model for training (torch.compile): pays on a GPU"
        )
        parser.add_argument(
            "--save_minutes", type=float, default=10.0, help="write last.ckpt so often, besides validations"
        )
        parser.add_argument("--output", type=str | None, help="file for the predictions of test and predict")
        parser.add_lightning_class_args(SaveBest, "checkpoint")
        parser.add_lightning_class_args(StopEarly, "early_stopping")
        parser.set_defaults(_CHECKPOINT_DEFAULTS)
        parser.link_arguments("model.backbone", "data.tokenizer", compute_fn=self._tokenizer_of)
        parser.link_arguments("data.corpus", "model.num_labels", compute_fn=_count_labels)
        parser.link_arguments("model", "data.limits", compute_fn=_limits_of, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses ``args`` alone; Lightning's own would warn of ``sys.argv`` at every call."""
        commands_parser = self._parser(self.command)
        next(action for action in commands_parser._actions if action.dest == "ckpt_path").help = _CKPT_PATH_HELP
        Keys.of(commands_parser).refuse_unknown(args)
        try:
            with denials_explained():
                self.config = parser.parse_args(args)
            refuse_seed(self.config[self.command].get("seed_everything"))
        except ArgumentError as error:
            if (mistake := _behind(error)) is not None:
                raise mistake from error
            raise

    def _tokenizer_of(self, backbone: str | dict[str, Any] | None) -> str | int:
        """A from-scratch backbone's vocabulary is trained, as large as its configuration says."""
        if isinstance(backbone, str):
            return backbone
        if backbone is None and self.command != "fit":
            raise UserError(f"{self.command} {_NEEDS_MODEL}")
        if backbone is None:
            raise UserError(
                "model.backbone is missing: give a recipe, --config configs/klue.yaml, or --model.backbone with the "
                "hub id or the folder of an encoder."
            )
        if "vocab_size" not in backbone:
            raise UserError("model.backbone: a from-scratch configuration needs vocab_size.")
        return int(backbone["vocab_size"])

    def _parse_ckpt_path(self) -> None:
        """Lightning's own reading of a checkpoint would silently beat the flags given beside it."""

    def before_instantiate_classes(self) -> None:
        """Settles what parsing could not: names, paths, and what a checkpoint fixes."""
        config = self.config[self.subcommand]
        if config.get("ckpt_path") and self.checkpoint is None:
            raise UserError("ckpt_path stands in a config file: give it on the command line, --ckpt_path FILE.")
        if self.subcommand != "fit" and self.checkpoint is None:
            raise UserError(f"{self.subcommand} {_NEEDS_MODEL}")
        if self.subcommand == "fit":
            refuse_unwise(config)
            if self.checkpoint is not None:
                if config.trainer.fast_dev_run:
                    raise UserError("trainer.fast_dev_run is for a run from its start: leave --ckpt_path out.")
                trainer, patience = config.trainer, config.early_stopping.patience
                self.checkpoint.refuse_plan(trainer.max_epochs, trainer.max_steps, patience)
            save_after_validation(config)
        if config.name is None:
            config.name = _recipe_name(config.config)
        self.config_text = self._dump(config)
        self.checkpoint_text = self._dump(_with_absolute_paths(config))
        if self.checkpoint is not None:
            self.checkpoint.refuse(config.as_dict())
            cache_dir = Path(config.data.cache_dir) if config.data.cache_dir else default_cache_dir()
            config.model.backbone = config.data.tokenizer = str(self.checkpoint.backbone(cache_dir))
            config.model.pretrained = False

    def _dump(self, config: Namespace) -> str:
        return self._parser(self.subcommand).dump(config, skip_none=False)

    def instantiate_classes(self) -> None:
        """Lightning's own; what a class refuses comes out as it is, not within the parser's error about its type."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            if isinstance(error.__cause__, UserError | MisconfigurationException):
                raise error.__cause__ from None
            if (mistake := class_mistake(str(error))) is not None:
                raise UserError(mistake) from error
            raise

    def after_instantiate_classes(self) -> None:
        """Refuses a corpus with other labels than those that the checkpoint's classes stand for.

        Whether its files are split as they were is seen where they are read.
        """
        if self.checkpoint is not None:
            self.checkpoint.refuse_labels(self.datamodule.corpus.labels)
            self.datamodule.parts.trained_on = self.checkpoint.trained_on

    # Building the trainer

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with our loggers and callbacks added to those that the settings name."""
        config = self.config_init[self.subcommand]
        trainer = config.trainer
        if trainer.logger in (None, True):
            resumed = self.checkpoint if self.subcommand == "fit" else None
            place = None if resumed is None else (Path(resumed.path), resumed.global_step)
            trainer.logger = build_loggers(config.log_dir, config.name, config.log_graph, place)
        callbacks = self._callbacks(config, logged=bool(trainer.logger))
        given = trainer.callbacks or []
        given = given if isinstance(given, list) else [given]
        if trainer.enable_progress_bar is not False and not _has(given, LightningProgressBar):
            # Each refresh fetches the loss, for which a GPU is waited for.
            callbacks.append(TQDMProgressBar(refresh_rate=10) if sys.stderr.isatty() else ProgressLines())
        settings = {**trainer.as_dict(), "callbacks": [*given, *callbacks], **kwargs}
        if trainer.max_time is not None:  # Lightning would put its timer behind ValidateAtEnd
            settings["callbacks"] = [*given, Timer(trainer.max_time), *callbacks]
            settings["max_time"] = None
            settings["max_epochs"] = -1 if trainer.max_epochs is None else trainer.max_epochs
        plugins = trainer.plugins or []
        settings["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        with no_trainer(trainer):
            built = Trainer(**settings)
        remove_signal_handlers(built)
        return built

    def _callbacks(self, config: Namespace, logged: bool) -> list[Callback]:
        """Return our callbacks in the order in which Lightning calls them, after those of the settings."""
        best, last = self._checkpoint_callbacks(config)
        seed = int(config.seed_everything or 0)  # false seeds nothing
        throughput, writer = Throughput(), PredictionWriter(config.output)
        self.record = RunRecord(config.name, seed, self.config_text, self.checkpoint_text, best)
        self.stop = GracefulStop(last)
        early_stopping = [config.early_stopping] if config.trainer.limit_val_batches != 0 else []
        return [
            *early_stopping,  # before the checkpoints, which hold its count of validations
            StepSeed(seed),  # before the batch draws random numbers
            StopAtNonFinite(),  # before anything is saved
            ValidateAtEnd(),  # after all that may end training at a batch, before all that ask if a validation follows
            throughput,  # before what takes time and is not to be measured
            Pictures(),
            writer,  # before the summary, which names its file
            *([LearningRateMonitor(logging_interval="step")] if logged else []),
            self.record,  # before the summary, which prints the metrics that it keeps
            Summary(self.record, throughput, writer, best, last),
            self.stop,  # after all others: what it saves includes what they did with the batch
            *([best] if best is not None else []),  # Lightning calls these two last, wherever they are in the list
            *([last] if last is not None else []),  # after best: last.ckpt names the best checkpoint
        ]

    def _checkpoint_callbacks(self, config: Namespace) -> tuple[SaveBest | None, SaveLast | None]:
        if config.trainer.enable_checkpointing is False:
            return None, None
        best: SaveBest = config.checkpoint
        if best.filename == "best" and best.save_top_k != 1:
            best.filename = "epoch={epoch}-step={step}"  # of several, "best" would not be the best
        return best, SaveLast(timedelta(minutes=config.save_minutes))

    # Running

    def fit(self, model: LightningModule, datamodule: LightningDataModule, ckpt_path: str | None = None) -> None:
        """Trains; with a checkpoint, goes on from it."""
        config = self.config_init[self.subcommand]
        remove_leftovers([*(Path(config.log_dir) / config.name).glob("*/checkpoints"), config.checkpoint.dirpath])
        if config.compile:
            _compile(model, datamodule)
        with self.stop.watching(self.trainer, training=True), refused_by_lightning():
            self.trainer.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        resumed = self.checkpoint
        if resumed is not None and self.trainer.global_step == resumed.global_step and not self.record.last:
            raise resumed.nothing_left()  # neither a step nor a validation

    def validate(self, model: LightningModule, datamodule: LightningDataModule, ckpt_path: str) -> None:
        """Measures on the dev part."""
        with self.stop.watching(self.trainer, training=False), refused_by_lightning():
            self.trainer.validate(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=True)

    def test(self, model: LightningModule, datamodule: LightningDataModule, ckpt_path: str) -> None:
        """Measures on the test part."""
        with self.stop.watching(self.trainer, training=False), refused_by_lightning():
            self.trainer.test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=True)

    def predict(self, model: LightningModule, datamodule: LightningDataModule, ckpt_path: str) -> None:
        """Writes a prediction for each row of a file."""
        with self.stop.watching(self.trainer, training=False), refused_by_lightning():
            self.trainer.predict(
                model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False, weights_only=True
            )


def _compile(model: LightningModule, datamodule: LightningDataModule) -> None:
    """Has training compiled; of padded batches hardly two have one shape, and each is compiled for."""
    if not (datamodule.hparams["packed"] and model.packed_rows):
        raise UserError(
            "compile true: training is compiled for one shape, which only packed rows have, and this run pads its "
            "batches (data.packed false, or an encoder that cannot take packed rows); leave --compile out."
        )
    model.compile_training(datamodule.hparams["batch_size"])  # type: ignore[operator]


def _behind(error: BaseException | None) -> UserError | None:
    """The mistake that was found while a link was computed; the parser wraps it in words about its own parts."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _count_labels(corpus: Namespace | None) -> int:
    if corpus is None:
        return NSMC.num_labels
    return len(corpus.get("init_args", corpus).labels)  # the parser wraps an optional dataclass


def _limits_of(model: BertClassifierModule) -> EncoderLimits:
    return model.limits


def _with_absolute_paths(config: Namespace) -> Namespace:
    """The settings as a checkpoint needs them, which is used from other folders too."""
    config = config.clone()
    for key in ("data_dir", "cache_dir"):
        if config.data[key] is not None:
            config.data[key] = os.path.abspath(config.data[key])
    return config


def _recipe_name(configs: Iterable[Any] | None) -> str:
    paths = [config for config in configs or [] if config is not None]
    return Path(str(paths[-1])).stem if paths else "default"


def _has(callbacks: list[Callback], kind: type[Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
