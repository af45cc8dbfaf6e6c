"""best.ckpt: the checkpoint of the best validation so far, also in the new folder of a resumed run."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from nsmc_lightning.errors import UserError, warn
from nsmc_lightning.files import lock, whole_file
from nsmc_lightning.run.loop import HookedCheckpoint

_LIGHTNINGS_NAME = ModelCheckpoint.__qualname__


class SaveBest(HookedCheckpoint):
    """Lightning's ModelCheckpoint, which also keeps all dev metrics of each checkpoint and resumes in another folder.

    Lightning's own forgets the best checkpoints of a run that resumes in another folder, or in its own after that was
    renamed, and still prints the path of the best one. Here they are copied to the new folder. One that is missing, or
    whose file has been replaced by another checkpoint, is forgotten with a warning.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, and start without metrics."""
        super().setup(trainer, pl_module, stage)
        self._metrics: dict[str, dict[str, float]] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """Dev metrics of the best checkpoint, by their logged names; empty where none is kept by a metric."""
        return {} if self.monitor is None else self._metrics.get(self.best_model_path, {})

    @property
    def state_key(self) -> str:
        """ModelCheckpoint's key, which the checkpoints of earlier versions hold too."""
        return super().state_key.replace(type(self).__qualname__, _LIGHTNINGS_NAME)

    def state_dict(self) -> dict[str, Any]:
        kept = {path: metrics for path, metrics in self._metrics.items() if path in self.best_k_models}
        return {**super().state_dict(), "metrics": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._metrics = state_dict.get("metrics", {})

    def before_save(self, trainer: Trainer, path: str) -> None:
        metrics = trainer.callback_metrics
        self._metrics[path] = {name: float(value) for name, value in metrics.items() if name.startswith("val/")}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Copy the best checkpoints of a resumed run to this run's folder, before their paths are restored."""
        if trainer.state.fn != "fit" or self.monitor is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        states: dict[str, dict[str, Any]] = checkpoint["callbacks"]
        had_best = any(
            key.startswith(_LIGHTNINGS_NAME) and state.get("best_model_path") for key, state in states.items()
        )
        state = states.get(self.state_key, {})
        if state.get("best_model_path"):
            wanted = [state["best_model_path"]] if self.save_top_k == -1 else state["best_k_models"]
            copied = trainer.strategy.broadcast(self._copy_all(trainer, wanted, state))
            states[self.state_key] = self._with_paths(state, copied) if copied else {}
        if had_best and not states.get(self.state_key):
            warn(
                f"{trainer.ckpt_path}: its run's best checkpoint by {self.monitor} is not there (it is missing, was "
                "replaced, or was chosen by another metric), so only validations from here on can be the best."
            )

    def _copy_all(self, trainer: Trainer, paths: Iterable[str], state: dict[str, Any]) -> dict[str, str]:
        """Copy checkpoints to this run's folder, in the first process alone.

        Returns:
            Their new paths by their old ones, without those that are not found.
        """
        if not trainer.is_global_zero:
            return {}
        beside = Path(str(trainer.ckpt_path)).parent
        found = {path: self._find(path, beside, state) for path in paths}
        return {path: _copy(file, str(self.dirpath)) for path, file in found.items() if file is not None}

    def _find(self, path: str, beside: Path, state: dict[str, Any]) -> Path | None:
        """Return a checkpoint's file: beside the one that the run resumes from, or where it was written."""
        name = Path(path).name
        for file in (beside / name, Path(path)):
            if file.is_file() and _identity(self._state_in(file), name) == _identity(state, name):
                return file
        return None

    def _state_in(self, file: Path) -> dict[str, Any]:
        """Return this callback's state in a checkpoint; empty where it cannot be read."""
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return checkpoint["callbacks"][self.state_key]
        except Exception:  # torch raises whatever the broken bytes lead to
            return {}

    def _with_paths(self, state: dict[str, Any], copied: dict[str, str]) -> dict[str, Any]:
        """Return the state with the checkpoints that were found, under their new paths."""
        scores = {copied[path]: score for path, score in state["best_k_models"].items() if path in copied}
        best, worst = (max, min) if self.mode == "max" else (min, max)
        best_path, worst_path = (choose(scores, key=lambda path: float(scores[path])) for choose in (best, worst))
        return {
            **state,
            "dirpath": self.dirpath,
            "best_k_models": scores,
            "best_model_path": best_path,
            "best_model_score": scores[best_path],
            "kth_best_model_path": worst_path,
            "kth_value": scores[worst_path],
            "metrics": {copied[path]: values for path, values in state.get("metrics", {}).items() if path in copied},
        }


def _identity(state: dict[str, Any], name: str) -> tuple[Any, Any]:
    """Return the score and the metrics of a checkpoint: they differ between files of one name.

    The metrics contain the speed of the validation, which hardly repeats.
    """
    scores, metrics = (
        {Path(path).name: value for path, value in state.get(key, {}).items()} for key in ("best_k_models", "metrics")
    )
    return scores.get(name, torch.nan), metrics.get(name)


def _copy(file: Path, folder: str) -> str:
    """Copy a file to a folder and return its path there; keep an existing file of its name, and then return its own."""
    target = Path(folder) / file.name
    if target.exists() and not target.samefile(file):
        return str(file.absolute())
    if not target.exists():
        try:
            with whole_file(target) as partial, partial.open("wb") as output, file.open("rb") as source:
                lock(output, wait=True)  # as for every checkpoint being written: no other run may remove it
                shutil.copyfileobj(source, output)
        except OSError as error:
            raise UserError(
                f"{target}: the best checkpoint so far cannot be copied there ({error.strerror}).\n"
                "Make room, or choose another folder (--log_dir, --checkpoint.dirpath)."
            ) from error
    return os.path.join(folder, file.name)  # spelled as ModelCheckpoint does, which compares paths as text
