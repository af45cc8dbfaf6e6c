"""The baseline's score, and labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nsmc_lightning.data.parts import Parts
from nsmc_lightning.evaluation.scores import Answers, scores
from nsmc_lightning.evaluation.suspects import suspects
from nsmc_lightning.run.baseline import PartBaseline

if TYPE_CHECKING:
    from nsmc_lightning.classifier import Classifier

_CHUNK = 2_000  # texts between two steps of the progress bar
SUSPECT_COLUMNS = ["part", "rank", "probability", "suggested", "label", "id", "line", "text"]


def baseline_figures(dev: PartBaseline) -> dict[str, Any]:
    """Return the baseline's scores on dev, on which its setting was chosen, with rows and standard error."""
    rows, found = len(dev.answers.labels), scores(dev.answers)
    accuracy = found["accuracy"]
    return {
        "measured_on": "dev",
        "chosen_on": "dev",
        "rows": rows,
        "standard_error": float(np.sqrt(accuracy * (1 - accuracy) / rows)),
        **{name: None if np.isnan(value) else value for name, value in found.items()},
        "setting": dev.setting._asdict(),
    }


def classifier_answers(classifier: Classifier, rows: pd.DataFrame) -> Answers:
    """Compute a checkpoint's probabilities of a part's rows, with a progress bar on a terminal."""
    from tqdm import tqdm

    texts = rows["text"].tolist()
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    found = [classifier.probabilities(chunk).numpy() for chunk in tqdm(chunks, desc="checkpoint", disable=None)]
    return Answers(rows["label"].to_numpy(np.int64), np.concatenate(found).astype(np.float64))


def suspect_rows(parts: Parts, answers: Mapping[str, Answers]) -> pd.DataFrame:
    """Return the rows whose label is probably wrong, the most suspicious of each part first.

    Args:
        parts: the corpus.
        answers: to each part, of a model that has not seen its labels.

    Returns:
        Columns ``part``, ``rank`` (from 1 in each part), ``probability`` (of the label that it has), ``suggested`` (the
        most probable class), ``label``, ``id``, ``line``, ``text`` (cleaned).
    """
    values = np.array([label.value for label in parts.corpus.labels])
    found = []
    for name, each in answers.items():
        chosen = suspects(each)
        table = parts.rows(name).iloc[chosen]
        table = table.assign(
            part=name,
            rank=np.arange(1, len(chosen) + 1),
            probability=each.probabilities[chosen, each.labels[chosen]],
            suggested=values[each.predicted[chosen]],
            label=values[each.labels[chosen]],
        )
        found.append(table[SUSPECT_COLUMNS])
    return pd.concat(found, ignore_index=True)
