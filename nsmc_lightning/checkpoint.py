"""A checkpoint of this package: its content, the settings it accepts, and the model rebuilt from it."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import torch
import yaml
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.corpus import Label
from nsmc_lightning.data.tokenizer import load_tokenizer
from nsmc_lightning.data.trained_on import TrainedOn
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.family_head import stored_parts
from nsmc_lightning.model.fast.kernels import choose_kernels, stored_kernels, use_kernels
from nsmc_lightning.model.network import SequenceClassifier
from nsmc_lightning.model.stored import ENCODER_CONFIG, stored_backbone, stored_temperature
from nsmc_lightning.types import MEASURES

CLI_CONFIG = "cli_config"  # the command line's settings, YAML text
RUN = "run"  # what the run came from: recipe, seed, checkpoint, checksums, versions, commit
_WRITTEN_BY = {
    ENCODER_CONFIG: "the module writes",
    "NSMCDataModule": "NSMCDataModule writes where Trainer.fit is given one, datamodule=NSMCDataModule(…)",
    "RawTextDataModule": "pretrain writes",
}
# Evaluation takes these settings of training: those of batches too, as they fit this model into memory, but not the
# trainer's and data.cache_dir, which belong to the machine that trained.
_EVALUATION_KEYS = ("seed_everything", "name", "model", "data")
# These decide which rows are the dev part: with other values, evaluation would measure rows that were trained on.
_SPLIT_KEYS = ("split_seed", "dev_fraction")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of this package's model and data, written by the command line or by a plain ``Trainer``.

    Args:
        path: the file.
        content: the file's content as plain types, by the keys of Lightning, of the two modules and of RunRecord.
    """

    path: str
    content: Mapping[str, Any]
    data_key: ClassVar[str] = "NSMCDataModule"
    """Where Lightning puts the data module's state."""

    @classmethod
    def read(cls, path: str) -> Self:
        """Read a file without running code that it may contain.

        Raises:
            UserError: the file is missing, is not a checkpoint, contains more than plain types, or was not written by
                this package's model and data.
        """
        content = _load(path)
        if PretrainingCheckpoint.data_key in content and cls is Checkpoint:
            raise UserError(
                f"--ckpt_path {path}: a checkpoint of pretraining, which has no classifier.\nTrain one with fit "
                "--model.backbone and the folder encoder of its run."
            )
        for key in (ENCODER_CONFIG, cls.data_key):
            if key not in content:
                raise UserError(
                    f"--ckpt_path {path}: not a checkpoint of this package: it has no {key}, which {_WRITTEN_BY[key]}."
                )
        if CLI_CONFIG not in content or RUN not in content:
            content |= _settings_of_modules(content, path)
        return cls(path, content)

    # Its content

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of its training by group and key, as on the command line."""
        return yaml.safe_load(self.content[CLI_CONFIG])

    @property
    def corpus(self) -> dict[str, Any]:
        """The corpus of its training."""
        return self.content[self.data_key]["corpus"]

    @property
    def trained_on(self) -> TrainedOn:
        """The corpus and the checksums of its files."""
        return TrainedOn(self.corpus, self.content[RUN]["sha256"])

    @property
    def num_outputs(self) -> int:
        """Number of its logits: the classes, or 1 for a sigmoid."""
        return 1 if self.settings["model"]["loss"] == "binary_cross_entropy" else len(self.corpus["labels"])

    @property
    def global_step(self) -> int:
        """Number of optimizer steps before it was written."""
        return int(self.content["global_step"])

    @property
    def temperature(self) -> float:
        """Of its calibrated probabilities."""
        return stored_temperature(self.content)

    @property
    def dev_metrics(self) -> dict[str, float]:
        """Accuracy, F1 and the others on dev, where its run kept it for one of them; empty for ``last.ckpt``."""
        for key, state in self.content.get("callbacks", {}).items():
            for path, metrics in state.get("metrics", {}).items() if key.startswith("ModelCheckpoint") else ():
                if Path(path).name == Path(self.path).name:
                    return {name: metrics[f"val/{name}"] for name in MEASURES if f"val/{name}" in metrics}
        return {}

    # The settings it accepts

    def settings_for(self, command: str) -> str:
        """Return the settings that ``command`` starts from, as YAML: for evaluation no trainer's but the precision."""
        if command in ("fit", "pretrain"):
            return self.content[CLI_CONFIG]
        settings = {key: self.settings[key] for key in _EVALUATION_KEYS}
        settings["trainer"] = {"precision": self.settings["trainer"]["precision"]}
        settings["data"] = {key: value for key, value in settings["data"].items() if key != "cache_dir"}
        return yaml.safe_dump(settings, allow_unicode=True)

    def refuse(self, given: Mapping[str, Any]) -> None:
        """Refuse settings of the model, or of the dev split, that differ from those of its training.

        The corpus and its files are compared when they are read: see
        :class:`~nsmc_lightning.data.trained_on.TrainedOn`.

        Args:
            given: the command's settings by group and key.
        """
        fixed = {f"model.{key}": value for key, value in self.settings["model"].items()}
        fixed |= {f"data.{key}": self.settings["data"][key] for key in _SPLIT_KEYS}
        for key, value in fixed.items():
            group, name = key.split(".")
            if given[group].get(name) != value:
                raise UserError(
                    f"{key} is {given[group].get(name)!r}, but {self.path} was trained with {value!r}: "
                    "leave it out, or start a new training without --ckpt_path."
                )

    def refuse_labels(self, labels: list[Label]) -> None:
        """Refuse a corpus whose labels differ from the model's classes."""
        stored = [(label["value"], label["name"]) for label in self.corpus["labels"]]
        given = [(label.value, label.name) for label in labels]
        if given != stored:
            raise UserError(f"data.corpus has the labels {given}, but {self.path} was trained on {stored}.")

    def refuse_plan(self, max_epochs: int | None, max_steps: int, patience: int = 0) -> None:
        """Refuse to resume from weights without an optimizer, and a plan that leaves nothing to train.

        Args:
            max_epochs: the plan's ``trainer.max_epochs``.
            max_steps: the plan's ``trainer.max_steps``.
            patience: the plan's ``early_stopping.patience``, where it has one.
        """
        if "optimizer_states" not in self.content:
            raise UserError(
                f"--ckpt_path {self.path}: contains only weights (checkpoint.save_weights_only true), so no run can "
                "resume from it.\nGive the last.ckpt of its run."
            )
        if not self._validation_is_pending:
            for done, planned in ((self._complete_epochs, max_epochs), (self.global_step, max_steps)):
                if planned not in (None, -1) and done >= planned:
                    raise self.nothing_left()
        for name, state in self.content["callbacks"].items():
            if name.startswith("EarlyStopping") and state["wait_count"] >= max(patience, 1):
                raise UserError(
                    f"--ckpt_path {self.path}: its run ended early, after {state['wait_count']} validations without a "
                    "better dev metric.\nGive a larger --early_stopping.patience to continue."
                )

    @property
    def _complete_epochs(self) -> int:
        """Number of epochs of which every batch was trained on."""
        loop = self.content["loops"]["fit_loop"]
        epochs, all_batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["is_last_batch"]
        # Lightning 2.6 counts an epoch as processed after its last hooks, even if max_steps ended it early.
        return (
            epochs["processed"] + int(all_batches)
            if epochs["ready"] > epochs["processed"]
            else (epochs["processed"] - int(not all_batches))
        )

    @property
    def _validation_is_pending(self) -> bool:
        """Whether a signal interrupted a validation: see :class:`~nsmc_lightning.run.stop.GracefulStop`."""
        batches = self.content["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]
        return batches["ready"] > batches["processed"]

    def nothing_left(self) -> UserError:
        """Return the error for a plan without a step after the checkpoint."""
        return UserError(
            f"--ckpt_path {self.path}: training had already finished at this checkpoint, nothing is left to train.\n"
            "Give a larger --trainer.max_epochs, or --trainer.max_steps or --trainer.max_time where it has one."
        )

    # The model rebuilt from it

    @property
    def backbone(self) -> dict[str, Any]:
        """The ``model.backbone`` that builds the encoder, without the folder or hub id that it started from."""
        return stored_backbone(dict(self.content))

    def write_tokenizer(self, folder: str) -> None:
        """Write the tokenizer's files to ``folder``, with the ``config.json`` that AutoTokenizer looks for."""
        files = {"config.json": self.content[ENCODER_CONFIG], **self.content[self.data_key]["tokenizer_files"]}
        for name, text in files.items():
            (Path(folder) / Path(name).name).write_text(text, encoding="utf-8")

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Load the tokenizer."""
        with TemporaryDirectory() as folder:
            self.write_tokenizer(folder)
            return load_tokenizer(folder)

    def network(self) -> SequenceClassifier:
        """Build the network in evaluation mode."""
        weights, pooling = self.content["state_dict"], self.settings["model"]["pooling"]
        # With their weights before SequenceClassifier, which tries the encoder on a few texts.
        encoder, family_head = stored_parts(self.backbone, pooling, self.num_outputs, weights)
        network = SequenceClassifier(encoder, self.num_outputs, pooling, family_head=family_head)
        network.load_state_dict({name: weights[name] for name in network.state_dict()})  # without training metrics
        network.temperature = self.temperature
        kernels = stored_kernels(self.content, "float32") or choose_kernels(encoder, torch.float32)
        use_kernels(encoder, kernels)
        return network.eval()


class PretrainingCheckpoint(Checkpoint):
    """A checkpoint of ``pretrain``, from which only ``pretrain`` resumes."""

    data_key = "RawTextDataModule"


def _load(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise UserError(f"--ckpt_path {path}: there is no such file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # broken bytes make torch raise many kinds of errors
        if isinstance(error, PermissionError):
            raise UserError(f"--ckpt_path {path}: cannot be read ({error.strerror}).") from error
        if isinstance(error, pickle.UnpicklingError):
            raise UserError(
                f"--ckpt_path {path}: contains more than weights and plain settings, which could run code.\nGive a "
                "checkpoint that `python -m nsmc_lightning fit` wrote."
            ) from error
        raise UserError(
            f"--ckpt_path {path}: cut short, or not a checkpoint that `python -m nsmc_lightning fit` wrote.\nCopy "
            "the file again, or give the run's other checkpoint, last.ckpt or best.ckpt."
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"--ckpt_path {path}: not a checkpoint of Lightning.")
    return content


def _settings_of_modules(content: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the keys that only the command line writes, made from those that the two modules write."""
    data = content[Checkpoint.data_key]
    if "settings" not in data:
        raise UserError(
            f"--ckpt_path {path}: written in Python by an early version, without the data's settings; train again."
        )
    hparams = content["hyper_parameters"].items()
    model = {key: value for key, value in hparams if key != "num_labels" and key[0] != "_"}  # _: Lightning's own
    if isinstance(model["backbone"], dict):
        vocabulary = json.loads(content[ENCODER_CONFIG])["vocab_size"]
        model["backbone"] = {"vocab_size": vocabulary, **model["backbone"]}
    settings = {
        "seed_everything": (data["order"] or {}).get("seed", True),
        "name": None,
        "model": model,
        "data": {**data["settings"], "corpus": data["corpus"]},
        "trainer": {"precision": None},
    }
    return {CLI_CONFIG: yaml.safe_dump(settings, allow_unicode=True), RUN: {"sha256": data["sha256"]}}
