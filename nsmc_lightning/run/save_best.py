"""best.ckpt: the checkpoint of the best validation so far, also across the folders of a resumed run."""

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import lock, whole_file
from nsmc_lightning.run.loop import HookedCheckpoint

log = logging.getLogger(__name__)

_LIGHTNINGS_NAME = ModelCheckpoint.__qualname__


class SaveBest(HookedCheckpoint):
    """Lightning's ModelCheckpoint, which also keeps all dev metrics of each checkpoint and resumes in another folder.

    Left alone, ModelCheckpoint forgets its best checkpoints where the run resumes in another folder, or in its own
    under another name, and still prints the path of the best one. Here they are copied to the new folder; one that is
    gone, or whose file holds another checkpoint by now, is forgotten with a warning.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder, and starts with no checkpoint measured."""
        super().setup(trainer, pl_module, stage)
        self._metrics: dict[str, dict[str, float]] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """Dev metrics of the best checkpoint, by their logged names; empty where none is kept by a metric."""
        return {} if self.monitor is None else self._metrics.get(self.best_model_path, {})

    @property
    def state_key(self) -> str:
        """ModelCheckpoint's: it is found in the checkpoints of earlier versions too."""
        return super().state_key.replace(type(self).__qualname__, _LIGHTNINGS_NAME)

    def state_dict(self) -> dict[str, Any]:
        """ModelCheckpoint's, and the dev metrics of each checkpoint that is kept."""
        kept = {path: metrics for path, metrics in self._metrics.items() if path in self.best_k_models}
        return {**super().state_dict(), "metrics": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them over."""
        super().load_state_dict(state_dict)
        self._metrics = state_dict.get("metrics", {})

    def before_save(self, trainer: Trainer, path: str) -> None:
        """Note the dev metrics of the checkpoint."""
        metrics = trainer.callback_metrics
        self._metrics[path] = {name: float(value) for name, value in metrics.items() if name.startswith("val/")}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Has the best checkpoints of a resumed run in this run's folder before their paths are taken over."""
        if trainer.state.fn != "fit" or self.monitor is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        states: dict[str, dict[str, Any]] = checkpoint["callbacks"]
        had_best = any(_has_best(key, state) for key, state in states.items())
        state = states.get(self.state_key, {})
        if state.get("best_model_path"):
            wanted = [state["best_model_path"]] if self.save_top_k == -1 else state["best_k_models"]
            moved = trainer.strategy.broadcast(self._bring(trainer, wanted, state))
            states[self.state_key] = self._with_paths(state, moved) if moved else {}
        if had_best and not states.get(self.state_key):
            _warn(
                f"{trainer.ckpt_path}: no best checkpoint by {self.monitor} comes with it; "
                "the search for the best starts anew."
            )

    def _bring(self, trainer: Trainer, paths: Iterable[str], state: dict[str, Any]) -> dict[str, str]:
        """Copies checkpoints to this run's folder, in the first process alone.

        Returns:
            Their paths there by their old paths, without those that are not found.
        """
        if not trainer.is_global_zero:
            return {}
        beside = Path(str(trainer.ckpt_path)).parent
        found = {path: self._find(path, beside, state) for path in paths}
        return {path: _copy(file, str(self.dirpath)) for path, file in found.items() if file is not None}

    def _find(self, path: str, beside: Path, state: dict[str, Any]) -> Path | None:
        """The file that a checkpoint is in: beside the one that is resumed from, or where it was written."""
        name = Path(path).name
        for file in (beside / name, Path(path)):
            if file.is_file() and self._mark(self._state_in(file), name) == self._mark(state, name):
                return file
        return None

    def _mark(self, state: dict[str, Any], name: str) -> tuple[Any, Any]:
        """What tells a checkpoint from a later one of its name: its score, and its metrics, which hold its speed."""
        scores, metrics = (
            {Path(path).name: value for path, value in state.get(key, {}).items()}
            for key in ("best_k_models", "metrics")
        )
        return scores.get(name, torch.nan), metrics.get(name)

    def _state_in(self, file: Path) -> dict[str, Any]:
        """The state of this callback in a checkpoint; empty where it cannot be read."""
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return checkpoint["callbacks"][self.state_key]
        except Exception:  # torch raises whatever the broken bytes lead it to
            return {}

    def _with_paths(self, state: dict[str, Any], moved: dict[str, str]) -> dict[str, Any]:
        """The state with the checkpoints that were found, under the paths that they have now."""
        scores = {moved[path]: score for path, score in state["best_k_models"].items() if path in moved}
        best, worst = (max, min) if self.mode == "max" else (min, max)
        best_path, worst_path = (choose(scores, key=lambda path: float(scores[path])) for choose in (best, worst))
        metrics = {moved[path]: metrics for path, metrics in state.get("metrics", {}).items() if path in moved}
        return {
            **state,
            "dirpath": self.dirpath,
            "best_k_models": scores,
            "best_model_path": best_path,
            "best_model_score": scores[best_path],
            "kth_best_model_path": worst_path,
            "kth_value": scores[worst_path],
            "metrics": metrics,
        }


def _has_best(key: str, state: dict[str, Any]) -> bool:
    return key.startswith(_LIGHTNINGS_NAME) and bool(state.get("best_model_path"))


def _copy(file: Path, folder: str) -> str:
    """Copies a file into a folder, whole or not at all; the path there. A file of that name is left alone."""
    target = Path(folder) / file.name
    if target.exists() and not target.samefile(file):
        return str(file.absolute())
    if not target.exists():
        try:
            with whole_file(target) as partial, partial.open("wb") as output, file.open("rb") as source:
                lock(output, wait=True)  # as every checkpoint that is being written: no other run may remove it
                shutil.copyfileobj(source, output)
        except OSError as error:
            raise UserError(
                f"{target}: the best checkpoint so far cannot be copied there ({error.strerror}).\n"
                "Make room, or choose another folder (--log_dir, --checkpoint.dirpath)."
            ) from error
    return os.path.join(folder, file.name)  # as ModelCheckpoint spells it: it compares paths as texts


@rank_zero_only
def _warn(line: str) -> None:
    log.warning(line)
