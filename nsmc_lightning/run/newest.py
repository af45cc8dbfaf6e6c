"""The checkpoint that ``--ckpt_path`` means: a file, a run's folder, or the newest run's ``last`` or ``best``."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from nsmc_lightning.errors import UserError, report

_KEYWORDS = ("last", "best")
_FOUND = "NSMC_LIGHTNING_CKPT_PATH"  # by which the first process of a run tells those that it starts


def find_checkpoint(value: str, command: str, log_dir: str = "lightning_logs", name: str | None = None) -> str:
    """Return the file that ``--ckpt_path`` means; a file's path is returned as it is.

    A run's folder, or its checkpoints folder, means ``last.ckpt`` for ``fit`` and the best checkpoint for all other
    commands. The newest run is the one that wrote a checkpoint last.

    Args:
        value: file, folder, ``last`` or ``best``.
        command: fit, validate, test, predict, classify or export.
        log_dir: folder of all runs.
        name: of the recipe whose newest run is meant; None for the newest of all.

    Raises:
        UserError: there is no such checkpoint.
    """
    if value not in _KEYWORDS and not Path(value).is_dir():
        return value
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not first and _FOUND in os.environ:
        return os.environ[_FOUND]
    if value in _KEYWORDS:
        folder, wanted = _newest(Path(log_dir), name, value), value
    else:
        inner = Path(value) / "checkpoints"
        folder, wanted = inner if inner.is_dir() else Path(value), "last" if command == "fit" else "best"
    found = str((best_checkpoint(folder) if wanted == "best" else _existing(folder / "last.ckpt")).resolve())
    if first:  # processes that it starts would look later, when another run may have written a checkpoint
        os.environ[_FOUND] = found
    report(f"--ckpt_path {value}: {found}")
    return found


def _newest(log_dir: Path, name: str | None, value: str) -> Path:
    """Return the checkpoints folder of the newest run, also of one below another's folder, as repeat's are."""
    runs = log_dir / name if name else log_dir
    found = [(_written(path), path) for path in runs.rglob("checkpoints/*.ckpt")]
    if not found:
        raise UserError(
            f"--ckpt_path {value}: no run below {log_dir / (name or '')} has a checkpoint.\n"
            "Give the checkpoint's file, its run's folder, or (except for classify and export) --config, --name or "
            "--log_dir."
        )
    return max(found)[1].parent


def _written(checkpoint: Path) -> int:
    try:
        return checkpoint.stat().st_mtime_ns
    except FileNotFoundError:  # a running fit has just removed it
        return 0


def best_checkpoint(folder: Path) -> Path:
    """Return the best checkpoint that a run's ``last.ckpt`` names, or else ``best.ckpt``.

    A run that keeps several (``save_top_k``) has no ``best.ckpt``, or one of an earlier search for the best.

    Args:
        folder: the run's checkpoints.

    Raises:
        UserError: there is none.
    """
    from nsmc_lightning.checkpoint import Checkpoint  # imports torch, which a file's path does not need

    with suppress(UserError):  # a last.ckpt that is missing or broken: best.ckpt needs none
        states: dict[str, Any] = Checkpoint.read(str(folder / "last.ckpt")).content.get("callbacks", {})
        for key, state in states.items():
            if key.startswith("ModelCheckpoint") and state.get("monitor") and state["best_model_path"]:
                kept = folder / Path(state["best_model_path"]).name  # the run's folder may have been moved
                if kept.is_file():
                    return kept
    return _existing(folder / "best.ckpt")


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    others = ", ".join(sorted(other.name for other in path.parent.glob("*.ckpt"))) or "no checkpoint"
    raise UserError(f"{path}: there is no such file; {path.parent} holds {others}.\nGive one by its path.")
