"""The folder of a pretrained encoder, which ``model.backbone`` and transformers take."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_folder
from nsmc_lightning.model.weights import quiet
from nsmc_lightning.run.loop import is_fit_validation

NAME = "encoder"


class EncoderFolder(Callback):
    """Write the encoder after each validation of pretraining, and at its end, to the folder ``encoder`` of the run.

    It holds the family's ``…ForMaskedLM`` with its head, and the tokenizer. A trial run (``fast_dev_run``) writes none.

    Attributes:
        path: the folder; None before it is written.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._step: int | None = None  # of the weights in it

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_fit_validation(trainer):
            self._write_once(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what no validation has written, as in a run without any."""
        self._write_once(trainer, pl_module)

    def _write_once(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = _folder(trainer)
        if not trainer.is_global_zero or _is_trial(trainer) or self._step == trainer.global_step:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        try:
            self._write(pl_module, data.state_dict()["tokenizer_files"], folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}).") from error
        self._step = trainer.global_step

    def _write(self, model: Any, tokenizer_files: dict[str, str], path: Path) -> None:
        with whole_folder(path) as folder:
            with quiet():
                model.as_pretrained().save_pretrained(folder)
            for name, text in tokenizer_files.items():
                (folder / name).write_text(text, encoding="utf-8")
            mode = (folder / "config.json").stat().st_mode
            for file in folder.iterdir():
                file.chmod(mode)  # safetensors makes files that only their owner can read
            if path.is_dir():  # only the weights change within a run
                for file in folder.iterdir():
                    os.replace(file, path / file.name)
        self.path = path


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.log_dir or trainer.default_root_dir) / NAME  # called on every process: Lightning broadcasts it


def _is_trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
