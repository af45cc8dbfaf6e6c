"""Lightning's command line, with links between data and model, and with checkpoints that bring their own settings."""

import logging
import os
import warnings
from abc import abstractmethod
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.commands.arguments import CommandLine, Config
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.keys import refuse_unknown
from nsmc_lightning.commands.settings import refuse_seed, refuse_spawning, with_absolute_paths
from nsmc_lightning.commands.trainer import Run, build_trainer, has_our_loggers
from nsmc_lightning.errors import UserError, parsing, running
from nsmc_lightning.model.encoder_module import EncoderModule
from nsmc_lightning.run.checkpoint_files import remove_leftovers
from nsmc_lightning.run.folder import Place, choose_place, loggers_of, opened
from nsmc_lightning.run.loop import number_logs_from
from nsmc_lightning.run.newest import find_checkpoint
from nsmc_lightning.run.record import Source
from nsmc_lightning.run.trainer import RunTrainer
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


def run_line(cli: "type[EncoderCLI]", line: CommandLine) -> None:
    """Run a command by its class.

    Raises:
        UserError: a mistake in the settings, or in what they name.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    quieten_banners()
    for message in [*_EXPECTED, *(_EXPECTED_OF_EVALUATION if line.trainer_method != "fit" else ())]:
        warnings.filterwarnings("ignore", message=message)
    with running(), TemporaryDirectory() as folder:
        cli(line, folder)


def quieten_banners() -> None:
    """Keep Lightning from naming the seed and the devices, which config.yaml holds, and from advertising."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


class EncoderCLI(LightningCLI):
    """Parse a command, build data module, model and trainer, and run it.

    Args:
        line: the command line; the settings of its checkpoint are put in front.
        folder: an empty one, for the files of the checkpoint's tokenizer.

    Raises:
        UserError: a key or value that is refused, or a checkpoint that is missing, unreadable or contradicted.
    """

    model_type: ClassVar[type[EncoderModule]]
    data_type: ClassVar[type[LightningDataModule]]
    checkpoint_type: ClassVar[type[Checkpoint]]
    links: ClassVar[dict[str, str]]
    """Computed key → the key that it is computed from."""
    trainer: RunTrainer

    def __init__(self, line: CommandLine, folder: str) -> None:
        self.line, self.folder = line, folder
        self.command, self.method = line.command, line.trainer_method
        self.ckpt_path = line.last("--ckpt_path")
        if self.ckpt_path == "":
            raise UserError("--ckpt_path: give a checkpoint's file with it.")
        self.checkpoint = None
        if self.ckpt_path:
            self.ckpt_path = find_checkpoint(self.ckpt_path, self.method, *line.log_dir_and_name())
            self.checkpoint = self.checkpoint_type.read(self.ckpt_path)
            line.configs.insert(0, Config.read("--ckpt_path", self.checkpoint.settings_for(line.command)))
        quiet = {"exit_on_error": False, "allow_abbrev": False}  # CommandLine knows no shortened keys
        usage = f"python -m nsmc_lightning {line.command} [--config FILE] [--KEY VALUE ...]"
        of_command = {**quiet, "usage": usage, "description": f"{getattr(self, self.method).__doc__} {_EVERYWHERE}"}
        super().__init__(
            self.model_type,
            self.data_type,
            save_config_callback=None,  # RunRecord does it, for any logger and any run folder
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=42,
            parser_kwargs={"prog": "python -m nsmc_lightning", **quiet, self.method: of_command},
            args=line.words(),
            auto_configure_optimizers=False,  # it would put in one parameter group and a schedule by epochs
            load_from_checkpoint_support=False,  # it would store YAML in place of the arguments
        )

    # Parsing

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static there, but called on self
        """The command at hand, and the arguments of Lightning's method that are not options.

        The parsers of the other commands would only take time.
        """
        return {self.method: _NOT_OPTIONS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add our options, and the links that let a recipe name each thing once."""
        self.command_parser = parser
        for name, kind, default, purpose in (
            ("ckpt_path", str | None, None, "a checkpoint's file, its run's folder, or last or best of the newest run"),
            ("log_dir", str, "lightning_logs", "folder of all runs; a run writes to LOG_DIR/NAME/VERSION"),
            ("name", str | None, None, "name of the run; the recipe's name by default"),
            ("version", str | None, None, "folder of the run; the next free version_N by default"),
            ("save_minutes", float, 10.0, "write last.ckpt so often, besides validations; 0: at each step"),
        ):
            parser.add_argument(f"--{name}", type=kind, default=default, help=purpose)
        parser.link_arguments(self.links["data.tokenizer"], "data.tokenizer", compute_fn=self._tokenizer_of)
        parser.link_arguments("model", "data.limits", compute_fn=_limits_of, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse ``args`` alone; Lightning's own would warn of ``sys.argv`` at every call."""
        refuse_unknown(self.line, known_keys(self.command_parser), self.links)
        with parsing():
            self.config = parser.parse_args(args)
        config = self.config[self.method]
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
        if backbone is None:
            raise self.no_backbone()
        if "vocab_size" not in backbone:
            raise UserError("model.backbone: a from-scratch configuration needs vocab_size.")
        return int(backbone["vocab_size"])

    @abstractmethod
    def no_backbone(self) -> UserError:
        """Return the error for a command without ``model.backbone``."""

    # Building

    @abstractmethod
    def settle(self, config: Namespace) -> None:
        """Refuse settings that contradict each other, and set those that follow from others."""

    def before_instantiate_classes(self) -> None:
        """Settle what parsing could not: names, paths, and what a checkpoint fixes."""
        config = self.config[self.method]
        refuse_spawning(config.trainer.strategy)
        self.settle(config)
        if config.name is None:
            config.name = self.line.log_dir_and_name()[1] or "default"
        self.place = self._place(config)
        config.version = None  # the settings of this run may be those of another
        self.config_text = self.command_parser.dump(config, skip_none=False)
        self.checkpoint_text = self.command_parser.dump(with_absolute_paths(config), skip_none=False)
        if self.checkpoint is not None:
            self.checkpoint.refuse(config.as_dict())
            self.checkpoint.write_tokenizer(self.folder)
            config.data.tokenizer = self.folder
            config.model.backbone, config.model.pretrained = self.checkpoint.backbone, False

    def instantiate_classes(self) -> None:
        """Build the classes that the settings name, and the trainer."""
        with importing(), parsing():  # transformers imports its models when the first is built
            super().instantiate_classes()

    def _place(self, config: Namespace) -> Place | None:
        """Choose where the command writes; None for a trial run, and for predictions that have a file."""
        explicit = self.line.names_place(beside=0 if self.checkpoint is None else 1)
        is_file = self.method == "predict" and config.output is not None and not explicit
        if config.trainer.fast_dev_run or is_file:
            return None
        new = Place(config.log_dir, config.name, config.version)
        return choose_place(new, self.ckpt_path, self.method == "fit", explicit)

    @abstractmethod
    def build_run(self, config: Namespace, source: Source) -> Run:
        """Return the command's callbacks."""

    def instantiate_trainer(self, **kwargs: Any) -> RunTrainer:
        """Build the trainer with our callbacks."""
        config = self.config_init[self.method]
        has_folder = self.place is not None and self.place.kind != "measured"
        source = Source(config.name, self.config_text, self.checkpoint_text, self.ckpt_path, has_folder)
        run = self.build_run(config, source)
        self.stop, self.record = run.stop, run.record
        return build_trainer(config, run.callbacks)

    def after_instantiate_classes(self) -> None:
        """Name the backbone as it was given, which a checkpoint replaces by the stored one."""
        if self.checkpoint is not None:
            self.model.hparams.update(self.checkpoint.settings["model"])

    # Running

    def fit(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Train; with a checkpoint, resume from it."""
        if self.place is not None:
            remove_leftovers([*self.place.parent.glob("*/checkpoints")])
        self.watched(self.trainer.fit, model, datamodule)
        resumed = self.checkpoint
        if resumed is not None and self.trainer.global_step == resumed.global_step and not self.record.last_metrics:
            raise resumed.nothing_left()  # neither a step nor a validation

    def watched(self, method: Any, model: LightningModule, datamodule: LightningDataModule, **options: bool) -> None:
        """Call a method of the trainer, which signals then stop between two batches."""
        with opened(self.place) as place, self.stop.watching(self.trainer, training=self.method == "fit"):
            self._enter(place)
            method(model, datamodule=datamodule, ckpt_path=self.ckpt_path, weights_only=True, **options)

    def _enter(self, place: Place | None) -> None:
        """Have the trainer write to the run's folder; what a checkpoint's test logs has the number of its steps."""
        step = None if self.checkpoint is None else self.checkpoint.global_step
        if step is not None and self.method != "fit":
            number_logs_from(self.trainer, step)
        if place is None:
            return
        self.trainer.move_to(place.path)
        config = self.config_init[self.method]
        if has_our_loggers(config):
            self.trainer.loggers = loggers_of(place, self.method, config.get("log_graph", False), step)


def known_keys(parser: LightningArgumentParser) -> set[str]:
    """Return the keys that a parser takes, groups among them."""
    return set(parser.get_defaults(skip_validation=True).keys(branches=True))


def _limits_of(model: Any) -> EncoderLimits:
    return model.limits
