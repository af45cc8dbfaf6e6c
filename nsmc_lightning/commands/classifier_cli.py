"""fit, validate, test and predict of a classifier."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.commands.keys import LINKS
from nsmc_lightning.commands.lightning_cli import EncoderCLI
from nsmc_lightning.commands.settings import refuse_contradictions, save_after_validation
from nsmc_lightning.commands.trainer import Run, classifier_run
from nsmc_lightning.data.corpus import NSMC
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.run.average_weights import AverageWeights
from nsmc_lightning.run.checkpoint_files import remove_leftovers
from nsmc_lightning.run.record import Source
from nsmc_lightning.run.save_best import SaveBest
from nsmc_lightning.run.stop_early import StopEarly

_CHECKPOINT_DEFAULTS = {
    "checkpoint.monitor": "val/accuracy",
    "checkpoint.mode": "max",
    "checkpoint.filename": "best",
    "checkpoint.auto_insert_metric_name": False,  # a metric's name holds a slash, which would become a folder
    "early_stopping.monitor": "val/accuracy",
    "early_stopping.mode": "max",
}
_NEEDS_MODEL = "needs a trained model: give --ckpt_path FILE."


class ClassifierCLI(EncoderCLI):
    """Train and measure a classifier, and predict with it."""

    model_type, data_type, checkpoint_type, links = BertClassifierModule, NSMCDataModule, Checkpoint, LINKS

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add our options and the keys of three callbacks."""
        super().add_arguments_to_parser(parser)
        for name, kind, default, purpose in (
            ("log_graph", bool, False, "put the model's graph into TensorBoard"),
            ("compile", bool, False, "compile the model for training (torch.compile): pays on a GPU"),
            ("output", str | None, None, "file for the predictions of test and predict"),
        ):
            parser.add_argument(f"--{name}", type=kind, default=default, help=purpose)
        parser.add_lightning_class_args(SaveBest, "checkpoint")
        parser.add_lightning_class_args(StopEarly, "early_stopping")
        parser.add_lightning_class_args(AverageWeights, "averaging")
        parser.set_defaults(_CHECKPOINT_DEFAULTS)
        parser.link_arguments(LINKS["model.num_labels"], "model.num_labels", compute_fn=_count_labels)

    def no_backbone(self) -> UserError:
        if self.command != "fit":
            return UserError(f"{self.command} {_NEEDS_MODEL}")
        return UserError(
            "model.backbone is missing: give a recipe, --config configs/klue.yaml, or --model.backbone with the "
            "hub id or the folder of an encoder."
        )

    # Building

    def settle(self, config: Namespace) -> None:
        if self.command != "test" and config.data.perturb is not None:
            raise UserError(f"data.perturb {config.data.perturb}: only test perturbs texts; leave it out.")
        if self.command == "fit":
            refuse_contradictions(config)
            self._refuse_resume(config)
            save_after_validation(config)
        elif self.checkpoint is None:
            raise UserError(f"{self.command} {_NEEDS_MODEL}")

    def _refuse_resume(self, config: Namespace) -> None:
        if self.checkpoint is not None:
            if config.trainer.fast_dev_run:
                raise UserError("trainer.fast_dev_run is for a run from its start: leave --ckpt_path out.")
            trainer, patience = config.trainer, config.early_stopping.patience
            self.checkpoint.refuse_plan(trainer.max_epochs, trainer.max_steps, patience)

    def build_run(self, config: Namespace, source: Source) -> Run:
        return classifier_run(config, source)

    def after_instantiate_classes(self) -> None:
        """Refuse other labels than the checkpoint's, and give the data module what it compares its files with."""
        super().after_instantiate_classes()
        if self.checkpoint is not None:
            self.checkpoint.refuse_labels(self.datamodule.corpus.labels)
            self.datamodule.parts.trained_on = self.checkpoint.trained_on

    # Running

    def fit(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Train; with a checkpoint, resume from it."""
        config = self.config_init[self.command]
        if config.checkpoint.dirpath is not None:
            remove_leftovers([Path(config.checkpoint.dirpath)])
        if config.compile:
            _compile(model, datamodule)
        super().fit(model, datamodule)

    def validate(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Measure on the dev part."""
        self.watched(self.trainer.validate, model, datamodule, verbose=False)

    def test(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Measure on the test part."""
        self.watched(self.trainer.test, model, datamodule, verbose=False)

    def predict(self, model: LightningModule, datamodule: LightningDataModule) -> None:
        """Write a prediction for each row of a file."""
        self.watched(self.trainer.predict, model, datamodule, return_predictions=False)


def _compile(model: LightningModule, datamodule: LightningDataModule) -> None:
    """Have training compiled; of padded batches hardly two have one shape, and each is compiled for."""
    if not (datamodule.hparams["packed"] and model.limits.packs_rows):  # type: ignore[union-attr]
        raise UserError(
            "compile true: training is compiled for one shape, which only packed rows have, and this run pads its "
            "batches (data.packed false, or an encoder that cannot take packed rows); leave --compile out."
        )
    model.compile_training(datamodule.hparams["batch_size"])  # type: ignore[operator]


def _count_labels(corpus: Any) -> int:
    if corpus is None:
        return NSMC.num_labels
    labels = corpus.get("init_args", corpus).labels  # the parser wraps an optional dataclass
    if labels is None:
        raise UserError("data.corpus has no labels: a corpus needs name, train and labels, as in configs/corpus.")
    return len(labels)
