"""Reading what a checkpoint of this package holds: weights, settings, tokenizer, all as plain types."""

import hashlib
import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml

from nsmc_lightning.errors import UserError

CLI_CONFIG = "cli_config"  # the command line's settings, YAML text
RUN = "run"  # what the run came from: recipe, seed, checksums, versions, commit
ENCODER_CONFIG = "encoder_config"  # the encoder's config.json, text
_DATA = "NSMCDataModule"  # where Lightning puts the data module's state
_WRITTEN_BY = {
    ENCODER_CONFIG: "BertClassifierModule writes",
    _DATA: "NSMCDataModule writes where Trainer.fit is given one, datamodule=NSMCDataModule(…)",
}


def read_checkpoint(path: str) -> dict[str, Any]:
    """Reads a checkpoint without running any code it may carry.

    Raises:
        UserError: the file is missing, is not a checkpoint, holds more than plain types, or was not written by this
            package's model and data, under its command line or a plain ``Trainer``.
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
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"--ckpt_path {path}: not a checkpoint of Lightning.")
    for key, source in _WRITTEN_BY.items():
        if key not in checkpoint:
            raise UserError(f"--ckpt_path {path}: not a checkpoint of this package: it has no {key}, which {source}.")
    if CLI_CONFIG not in checkpoint or RUN not in checkpoint:
        _add_settings(checkpoint, path)
    return checkpoint


def _add_settings(checkpoint: dict[str, Any], path: str) -> None:
    """Adds what the command line writes and a plain ``Trainer`` does not, from what the modules have written."""
    data = checkpoint[_DATA]
    if "settings" not in data:
        raise UserError(
            f"--ckpt_path {path}: written in Python by an early version, without the data's settings; train anew."
        )
    hparams = checkpoint["hyper_parameters"].items()
    model = {key: value for key, value in hparams if key != "num_labels" and key[0] != "_"}  # _: Lightning's own
    if isinstance(model["backbone"], dict):
        vocabulary = json.loads(checkpoint[ENCODER_CONFIG])["vocab_size"]
        model["backbone"] = {"vocab_size": vocabulary, **model["backbone"]}
    settings = {
        "seed_everything": (data["order"] or {}).get("seed", True),
        "name": None,
        "model": model,
        "data": {**data["settings"], "corpus": data["corpus"]},
        "trainer": {"precision": None},
    }
    checkpoint[CLI_CONFIG] = yaml.safe_dump(settings, allow_unicode=True)
    checkpoint[RUN] = {"sha256": data["sha256"]}


def unpack_backbone(checkpoint: dict[str, Any], cache_dir: Path) -> Path:
    """Writes the checkpoint's encoder configuration and tokenizer to a folder that loads like a hub checkpoint.

    The folder is named after its content, and shared by all that need it. One that does not hold exactly that, because
    somebody changed or removed a file, is mended.

    Raises:
        UserError: ``cache_dir`` cannot be written.
    """
    files: dict[str, str] = {"config.json": checkpoint[ENCODER_CONFIG], **checkpoint[_DATA]["tokenizer_files"]}
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(files.items())).encode())
    folder = cache_dir / "backbones" / digest.hexdigest()[:16]
    contents = {Path(name).name: text.encode() for name, text in files.items()}
    try:
        if not folder.is_dir():
            _write_whole(contents, folder)
        _mend(contents, folder)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: cannot be written ({error.strerror or error}); give --data.cache_dir, or set "
            "NSMC_LIGHTNING_CACHE."
        ) from error
    return folder


def _write_whole(contents: dict[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as temporary:
        whole = Path(temporary) / "backbone"
        whole.mkdir()
        for name, content in contents.items():
            (whole / name).write_bytes(content)
        try:
            os.replace(whole, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first
                raise


def _mend(contents: dict[str, bytes], folder: Path) -> None:
    """Replaces one by one the files that differ: a process that reads the folder finds each old or new, and whole."""
    for path in folder.iterdir():
        if path.name not in contents and not path.name.startswith("."):  # hidden files are not loaded
            _remove(path)
    for name, content in contents.items():
        path = folder / name
        if _content(path) != content:
            if path.is_dir():
                _remove(path)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as temporary:
                (Path(temporary) / name).write_bytes(content)
                os.replace(Path(temporary) / name, path)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # missing, a folder, not readable
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def stored_corpus(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The corpus that the checkpoint was trained on, as plain types."""
    return checkpoint[_DATA]["corpus"]
