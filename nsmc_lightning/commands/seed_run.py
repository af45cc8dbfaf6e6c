"""The run of one seed: trained, measured once, and resumed where it was stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from nsmc_lightning.commands.fit_settings import first_difference
from nsmc_lightning.commands.prediction_file import answers_of, read_predictions
from nsmc_lightning.errors import UserError
from nsmc_lightning.evaluation.scores import scores
from nsmc_lightning.run.newest import best_checkpoint
from nsmc_lightning.run.record import RESULT
from nsmc_lightning.run.results import result_name


class SeedRun:
    """The run of a seed in ``parent/seed_<seed>``.

    Args:
        seed: of the run; the dev split has its own.
        log_dir: folder of all runs.
        name: of the repeated run; ``log_dir/name`` has the folders of all seeds.
        words: the options of its fit, without seed and place.
    """

    def __init__(self, seed: int, log_dir: str, name: str, words: list[str]) -> None:
        self.seed, self.words = seed, words
        self.folder = Path(log_dir) / name / f"seed_{seed}"
        self._place = [f"--log_dir={log_dir}", f"--name={name}", f"--version={self.folder.name}"]

    @property
    def checkpoint(self) -> Path:
        """The best checkpoint, or the last one of a run that keeps none by a dev metric."""
        with suppress(UserError):
            return best_checkpoint(self.folder / "checkpoints")
        return self._last

    @property
    def result(self) -> Path:
        """The file with the predictions of its test, which may not be there yet."""
        return self.folder / result_name(self.checkpoint, "test.csv")

    @property
    def is_finished(self) -> bool:
        """Whether it is trained and its test has ended, which writes its report last."""
        report = self.folder / result_name(self.checkpoint, "test.json")
        return self._is_trained and self.result.is_file() and report.is_file()

    def scores(self) -> dict[str, float]:
        """Return the scores of its test."""
        return scores(answers_of(read_predictions(self.result)))

    def refuse_other_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse to continue, or to count, a run that was trained with other settings.

        Raises:
            UserError: with the first key that differs.
        """
        config = self.folder / "config.yaml"
        if not config.is_file():
            return
        different = first_difference(yaml.safe_load(config.read_text(encoding="utf-8")), settings)
        if different is not None:
            key, was, now = different
            raise UserError(
                f"{key} is {now!r}, but seed {self.seed} was trained with {was!r} ({self.folder}).\nGive another "
                "--name, or remove that folder."
            )

    def commands(self) -> Iterator[list[str]]:
        """Yield the command lines that are left: of fit, and of test once fit has ended."""
        if not self._is_trained:
            resume = [f"--ckpt_path={self._last}"] if self._last.is_file() else []
            if not resume:
                shutil.rmtree(self.folder, ignore_errors=True)  # killed before its first checkpoint
            yield ["fit", *self.words, f"--seed_everything={self.seed}", *self._place, *resume]
        yield ["test", *self.words, f"--ckpt_path={self.checkpoint}"]

    @property
    def _last(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def _is_trained(self) -> bool:
        record = self.folder / "run.json"
        return record.is_file() and RESULT in json.loads(record.read_text(encoding="utf-8"))
