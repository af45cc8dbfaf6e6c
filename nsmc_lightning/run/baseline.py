"""The baseline of a corpus's parts, computed once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nsmc_lightning.data.cache import rules_digest
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.split import normalise_for_matching
from nsmc_lightning.errors import report, warn
from nsmc_lightning.evaluation import baseline
from nsmc_lightning.evaluation.baseline import Baseline, Labelled, Setting
from nsmc_lightning.evaluation.bootstrap import cluster_numbers
from nsmc_lightning.evaluation.scores import Answers
from nsmc_lightning.files import whole_file

_DAMAGE = (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, zlib.error)


class PartBaseline(NamedTuple):
    """The baseline's answers to a part's rows, and its setting, which was chosen on dev."""

    answers: Answers
    setting: Setting


def baseline_of(parts: Parts, names: Sequence[str]) -> dict[str, PartBaseline]:
    """Return the answers to parts of a model that was fitted to train, and whose setting was chosen on dev.

    Those to train are cross-validated: each text's model has not seen it, nor a text that is equal after
    :func:`~nsmc_lightning.data.split.normalise_for_matching`. All are kept in the folder ``baseline`` of the cache.

    Args:
        parts: the corpus.
        names: of train, dev and test; test is read only if it is one of them.

    Raises:
        UserError: a part's file is missing or broken.
    """
    paths = {name: _path(parts, name) for name in names}
    found = {name: _load(path) for name, path in paths.items()}
    missing = [name for name, kept in found.items() if kept is None]
    if missing:
        made = _make(parts, missing)
        _store({paths[name]: each for name, each in made.items()})
        found |= made
    return {name: each for name, each in found.items() if each is not None}


def _make(parts: Parts, names: Sequence[str]) -> dict[str, PartBaseline]:
    train = _labelled(parts, "train")
    report(f"baseline: fitting it to {len(train.texts):,} texts; two minutes for 130,000, and its answers are kept.")
    fitted = Baseline(train, _labelled(parts, "dev"), parts.corpus.num_labels)
    made = {}
    for name in names:
        if name == "train":
            answers = fitted.cross_validated(cluster_numbers([normalise_for_matching(text) for text in train.texts]))
        else:
            answers = fitted.dev if name == "dev" else fitted.answers(_labelled(parts, name))
        made[name] = PartBaseline(answers, fitted.setting)
    return made


def _labelled(parts: Parts, name: str) -> Labelled:
    rows = parts.rows(name)
    return Labelled(rows["text"].tolist(), rows["label"].to_numpy(np.int64))


# The cache


def _path(parts: Parts, name: str) -> Path:
    """The file for a part: its name is a digest of all that decides the answers."""
    key: dict[str, Any] = {
        "rows": {part: parts.key(part) for part in ("train", "dev", name)},
        "part": name,
        "rules": rules_digest(),
        "baseline": hashlib.sha256(Path(baseline.__file__).read_bytes()).hexdigest(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return parts.cache_dir / "baseline" / f"{digest[:16]}.npz"


def _store(made: dict[Path, PartBaseline]) -> None:
    try:
        for path, (answers, setting) in made.items():
            with whole_file(path) as partial, partial.open("wb") as file:
                np.savez(file, **answers._asdict(), setting=np.array(json.dumps(setting)))
    except OSError as error:
        warn(f"{path.parent}: cannot keep the baseline for the next run ({error.strerror}).")


def _load(path: Path) -> PartBaseline | None:
    """Return what is kept, or None where there is nothing or it is damaged."""
    try:
        with np.load(path) as arrays:  # the zip format has a checksum for each array
            setting = Setting(*json.loads(str(arrays["setting"])))
            return PartBaseline(Answers(arrays["labels"], arrays["probabilities"]), setting)
    except _DAMAGE:
        return None
