"""Reading what a checkpoint of this package holds: weights, settings, tokenizer, all as plain types."""

import hashlib
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

from nsmc_lightning.types import UserError

CLI_CONFIG = "cli_config"  # the command line's settings, YAML text
RUN = "run"  # what the run came from: recipe, seed, checksums, versions, commit
ENCODER_CONFIG = "encoder_config"  # the encoder's config.json, text
_DATA = "NSMCDataModule"  # where Lightning puts the data module's state


def read_checkpoint(path: str) -> dict[str, Any]:
    """Reads a checkpoint without running any code it may carry.

    Raises:
        UserError: the file is missing, is not a checkpoint, holds more than plain types, or was not written by this
            package.
    """
    if not Path(path).is_file():
        raise UserError(f"--ckpt_path {path}: there is no such file.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises whatever the broken bytes lead it to, with advice that is not for us
        if isinstance(error, PermissionError):
            raise UserError(f"--ckpt_path {path}: cannot be read ({error.strerror}).") from error
        if isinstance(error, pickle.UnpicklingError):
            raise UserError(
                f"--ckpt_path {path}: holds more than weights and plain settings, which could run code.\nGive a "
                "checkpoint that `python -m nsmc_lightning fit` wrote."
            ) from error
        raise UserError(
            f"--ckpt_path {path}: cut short, or not a checkpoint that `python -m nsmc_lightning fit` wrote.\nCopy it "
            "anew, or give another of the run, last.ckpt or best.ckpt."
        ) from error
    needed = {CLI_CONFIG, RUN, ENCODER_CONFIG, _DATA, "state_dict"}
    if not isinstance(checkpoint, dict) or not needed <= checkpoint.keys():
        raise UserError(f"--ckpt_path {path}: not a checkpoint that `python -m nsmc_lightning fit` wrote.")
    return checkpoint


def unpack_backbone(checkpoint: dict[str, Any], cache_dir: Path) -> Path:
    """Writes the checkpoint's encoder configuration and tokenizer to a folder that loads like a hub checkpoint.

    The folder is named after its content, so it is written once and shared by all that need it.

    Raises:
        UserError: ``cache_dir`` cannot be written.
    """
    files: dict[str, str] = {"config.json": checkpoint[ENCODER_CONFIG], **checkpoint[_DATA]["tokenizer_files"]}
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(files.items())).encode())
    folder = cache_dir / "backbones" / digest.hexdigest()[:16]
    if folder.is_dir():
        return folder
    try:
        _write_once(files, folder)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: cannot be written ({error.strerror or error}); give --data.cache_dir, or set "
            "NSMC_LIGHTNING_CACHE."
        ) from error
    return folder


def _write_once(files: dict[str, str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as temporary:
        whole = Path(temporary) / "backbone"
        whole.mkdir()
        for name, text in files.items():
            (whole / Path(name).name).write_text(text, encoding="utf-8")
        try:
            os.replace(whole, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first, with the same content
                raise


def stored_corpus(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The corpus that the checkpoint was trained on, as plain types."""
    return checkpoint[_DATA]["corpus"]
