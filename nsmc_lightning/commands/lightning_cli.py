"""Lightning's command line, with links between data and model, and with checkpoints that bring their own settings."""

import logging
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.commands.arguments import CommandLine, Config
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.keys import LINKS, refuse_unknown
from nsmc_lightning.commands.settings import (
    refuse_contradictions,
    refuse_seed,
    refuse_spawning,
    save_after_validation,
    with_absolute_paths,
)
from nsmc_lightning.commands.trainer import build_trainer
from nsmc_lightning.data.corpus import NSMC
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.errors import UserError, parsing, running
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.run.average_weights import AverageWeights
from nsmc_lightning.run.checkpoint_files import remove_leftovers
from nsmc_lightning.run.newest import find_checkpoint
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.stop_early import StopEarly
from nsmc_lightning.types import EncoderLimits

_EVERYWHERE = """\
--trust-config lets configurations name classes outside of Lightning and this package, whose code then runs; --debug
shows the traceback of an error."""
_NOT_OPTIONS = {
    *("ckpt_path", "weights_only", "verbose", "return_predictions"),
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


def run_line(line: CommandLine) -> None:
    """Run fit, validate, test or predict.

    Raises:
        UserError: a mistake in the settings, or in what they name.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Lightning's banners name the seed and the devices, which config.yaml holds, and advertise.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in [*_EXPECTED, *(_EXPECTED_OF_EVALUATION if line.command != "fit" else ())]:
        warnings.filterwarnings("ignore", message=message)
    with running(), TemporaryDirectory() as folder:
        ClassifierCLI(line, folder)


class ClassifierCLI(LightningCLI):
    """Parse a command, build data module, model and trainer, and run it.

    Args:
        line: the command line; the settings of its checkpoint are put in front.
        folder: an empty one, for the files of the checkpoint's tokenizer.

    Raises:
        UserError: a key or value that is refused, or a checkpoint that is missing, unreadable or contradicted.
    """

    def __init__(self, line: CommandLine, folder: str) -> None:
        self.line, self.folder = line, folder
        self.command = line.command
        self.ckpt_path = line.last("--ckpt_path")
        if self.ckpt_path == "":
            raise UserError("--ckpt_path: give a checkpoint's file with it.")
        self.checkpoint = None
        if self.ckpt_path:
            self.ckpt_path = find_checkpoint(self.ckpt_path, line.command, *line.log_dir_and_name())
            self.checkpoint = Checkpoint.read(self.ckpt_path)
            line.configs.insert(0, Config.read("--ckpt_path", self.checkpoint.settings_for(line.command)))
        quiet = {"exit_on_error": False, "allow_abbrev": False}  # CommandLine knows no shortened keys
        usage = f"python -m nsmc_lightning {line.command} [--config FILE] [--KEY VALUE ...]"
        of_command = {**quiet, "usage": usage, "description": f"{getattr(self, line.command).__doc__} {_EVERYWHERE}"}
        super().__init__(
            BertClassifierModule,
            NSMCDataModule,
            save_config_callback=None,  # RunRecord does it, for any logger and any run folder
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=42,
            parser_kwargs={"prog": "python -m nsmc_lightning", **quiet, line.command: of_command},
            args=line.words(),
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
        """Add our options, the keys of three callbacks, and the links that let a recipe name each thing once."""
        self.command_parser = parser
        for name, kind, default, purpose in (
            ("ckpt_path", str | None, None, "a checkpoint's file, its run's folder, or last or best of the newest run"),
            ("name", str | None, None, "name of the run's folder; the recipe's name by default"),
            ("log_dir", str, "lightning_logs", "folder of all runs"),
            ("log_graph", bool, False, "put the model's graph into TensorBoard"),
            ("compile", bool, False, "compile the model for training (torch.compile): pays on a GPU"),
            ("save_minutes", float, 10.0, "write last.ckpt so often, besides validations; 0: at each step"),
            ("output", str | None, None, "file for the predictions of test and predict"),
        ):
            parser.add_argument(f"--{name}", type=kind, default=default, help=purpose)
        parser.add_lightning_class_args(SaveBest, "checkpoint")
        parser.add_lightning_class_args(StopEarly, "early_stopping")
        parser.add_lightning_class_args(AverageWeights, "averaging")
        parser.set_defaults(_CHECKPOINT_DEFAULTS)
        for target, compute in (("data.tokenizer", self._tokenizer_of), ("model.num_labels", _count_labels)):
            parser.link_arguments(LINKS[target], target, compute_fn=compute)
        parser.link_arguments("model", "data.limits", compute_fn=_limits_of, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse ``args`` alone; Lightning's own would warn of ``sys.argv`` at every call."""
        refuse_unknown(self.line, known_keys(self.command_parser), LINKS)
        with parsing():
            self.config = parser.parse_args(args)
        config = self.config[self.command]
        refuse_seed(config.seed_everything)
        # Options alone name a checkpoint, whose settings go in front of all others; Lightning would put them over the
        # options. A run's config.yaml names none, and so starts a new run.
        if config.ckpt_path and self.checkpoint is None:
            raise UserError(
                f"ckpt_path {config.ckpt_path} is in a file of settings: remove it there to start a new run, or give "
                f"--ckpt_path {config.ckpt_path}."
            )
        config.ckpt_path = None

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

    # Building

    def before_instantiate_classes(self) -> None:
        """Settle what parsing could not: names, paths, and what a checkpoint fixes."""
        config = self.config[self.command]
        refuse_spawning(config.trainer.strategy)
        if self.command == "fit":
            refuse_contradictions(config)
            self._refuse_resume(config)
            save_after_validation(config)
        elif self.checkpoint is None:
            raise UserError(f"{self.command} {_NEEDS_MODEL}")
        if config.name is None:
            config.name = self.line.log_dir_and_name()[1] or "default"
        self.config_text = self.command_parser.dump(config, skip_none=False)
        self.checkpoint_text = self.command_parser.dump(with_absolute_paths(config), skip_none=False)
        if self.checkpoint is not None:
            self.checkpoint.refuse(config.as_dict())
            self.checkpoint.write_tokenizer(self.folder)
            config.data.tokenizer = self.folder
            config.model.backbone, config.model.pretrained = self.checkpoint.backbone, False

    def _refuse_resume(self, config: Namespace) -> None:
        if self.checkpoint is not None:
            if config.trainer.fast_dev_run:
                raise UserError("trainer.fast_dev_run is for a run from its start: leave --ckpt_path out.")
            trainer, patience = config.trainer, config.early_stopping.patience
            self.checkpoint.refuse_plan(trainer.max_epochs, trainer.max_steps, patience)

    def instantiate_classes(self) -> None:
        """Build the classes that the settings name, and the trainer."""
        with importing(), parsing():  # transformers imports its models when the first is built
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with our loggers and callbacks."""
        resumed = None
        if self.command == "fit" and self.checkpoint is not None:
            resumed = Path(self.checkpoint.path), self.checkpoint.global_step
        config = self.config_init[self.command]
        trainer, self.stop, self.record = build_trainer(
            config, self.config_text, self.checkpoint_text, self.ckpt_path, resumed
        )
        return trainer

    def after_instantiate_classes(self) -> None:
        """Refuse other labels than the checkpoint's, and give the data module what it compares its files with."""
        if self.checkpoint is not None:
            self.checkpoint.refuse_labels(self.datamodule.corpus.labels)
            self.datamodule.parts.trained_on = self.checkpoint.trained_on
            self.model.hparams.update(self.checkpoint.settings["model"])  # backbone and pretrained as they were given

    # Running

    def fit(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Train; with a checkpoint, resume from it."""
        config = self.config_init[self.command]
        remove_leftovers([*(Path(config.log_dir) / config.name).glob("*/checkpoints"), config.checkpoint.dirpath])
        if config.compile:
            _compile(model, datamodule)
        self._watched(self.trainer.fit, model, datamodule)
        resumed = self.checkpoint
        if resumed is not None and self.trainer.global_step == resumed.global_step and not self.record.last_metrics:
            raise resumed.nothing_left()  # neither a step nor a validation

    def validate(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Measure on the dev part."""
        self._watched(self.trainer.validate, model, datamodule, verbose=False)

    def test(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Measure on the test part."""
        self._watched(self.trainer.test, model, datamodule, verbose=False)

    def predict(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Write a prediction for each row of a file."""
        self._watched(self.trainer.predict, model, datamodule, return_predictions=False)

    def _watched(self, method: Any, model: LightningModule, datamodule: LightningDataModule, **options: bool) -> None:
        with self.stop.watching(self.trainer, training=self.command == "fit"):
            method(model, datamodule=datamodule, ckpt_path=self.ckpt_path, weights_only=True, **options)


def known_keys(parser: LightningArgumentParser) -> set[str]:
    """Return the keys that a parser takes, groups among them."""
    return set(parser.get_defaults(skip_validation=True).keys(branches=True))


def _compile(model: LightningModule, datamodule: LightningDataModule) -> None:
    """Have training compiled; of padded batches hardly two have one shape, and each is compiled for."""
    if not (datamodule.hparams["packed"] and model.limits.packs_rows):  # type: ignore[union-attr]
        raise UserError(
            "compile true: training is compiled for one shape, which only packed rows have, and this run pads its "
            "batches (data.packed false, or an encoder that cannot take packed rows); leave --compile out."
        )
    model.compile_training(datamodule.hparams["batch_size"])  # type: ignore[operator]


def _count_labels(corpus: Namespace | None) -> int:
    if corpus is None:
        return NSMC.num_labels
    labels = corpus.get("init_args", corpus).labels  # the parser wraps an optional dataclass
    if labels is None:
        raise UserError("data.corpus has no labels: a corpus needs name, train and labels, as in configs/corpus.")
    return len(labels)


def _limits_of(model: BertClassifierModule) -> EncoderLimits:
    return model.limits
