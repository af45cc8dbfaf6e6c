"""The baseline's score, and labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nsmc_lightning.data.parts import Parts
from nsmc_lightning.errors import report
from nsmc_lightning.evaluation.scores import Answers, scores
from nsmc_lightning.evaluation.suspects import suspects
from nsmc_lightning.run.baseline import PartBaseline, baseline_of

if TYPE_CHECKING:
    from nsmc_lightning.classifier import Classifier

_CHUNK = 2_000  # texts between two steps of the progress bar
_COLUMNS = ["part", "rank", "probability", "suggested", "label", "id", "line", "text"]


def judge(parts: Parts, classifier: Classifier | None, with_test: bool) -> tuple[dict[str, Any], pd.DataFrame]:
    """Compute the baseline and find the rows whose label is probably wrong.

    A model must not have seen the labels that it judges. In train the baseline finds them, cross-validated; in dev and
    test the checkpoint, if it is more accurate on dev than the baseline.

    Args:
        parts: the corpus.
        classifier: of a checkpoint that was trained on it.
        with_test: whether test can be judged: it has no label outside of the corpus's set.

    Returns:
        The figures, and the suspects: columns ``part``, ``rank`` (from 1 in each part, the most suspicious first),
        ``probability`` (of its label), ``suggested`` (the most probable class), ``label``, ``id``, ``line``, ``text``
        (cleaned).

    Raises:
        UserError: a part cannot be trained or measured on.
    """
    names = ["train", "dev", *(["test"] if with_test else [])]
    baseline = baseline_of(parts, names)
    judges = {name: ("baseline", each.answers) for name, each in baseline.items()}
    judges["train"] = "baseline, cross-validated", baseline["train"].answers
    if classifier is not None:
        judges |= _checkpoint_answers(parts, classifier, baseline["dev"].answers, names[1:])
    table = _suspect_rows(parts, {name: answers for name, (_, answers) in judges.items()})
    suspected = {
        name: {"by": by, "rows": len(answers.labels), "suspects": int((table["part"] == name).sum())}
        for name, (by, answers) in judges.items()
    }
    return {"baseline": _baseline_figures(baseline["dev"]), "suspects": suspected}, table


def _checkpoint_answers(
    parts: Parts, classifier: Classifier, baseline: Answers, names: list[str]
) -> dict[str, tuple[str, Answers]]:
    """The checkpoint's answers to dev and test; none if it is not more accurate on dev than the baseline."""
    answers = {"dev": _classified(classifier, parts.rows("dev"))}
    own, other = float(answers["dev"].correct.mean()), float(baseline.correct.mean())
    if own <= other:
        report(f"suspects: found by the baseline, which has {other:.2%} of dev right; the checkpoint has {own:.2%}.")
        return {}
    answers |= {name: _classified(classifier, parts.rows(name)) for name in names if name != "dev"}
    return {name: ("checkpoint", each) for name, each in answers.items()}


def _baseline_figures(dev: PartBaseline) -> dict[str, Any]:
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


def _classified(classifier: Classifier, rows: pd.DataFrame) -> Answers:
    """Compute a checkpoint's probabilities of a part's rows, with a progress bar on a terminal."""
    from tqdm import tqdm

    texts = rows["text"].tolist()
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    found = [classifier.probabilities(chunk).numpy() for chunk in tqdm(chunks, desc="checkpoint", disable=None)]
    return Answers(rows["label"].to_numpy(np.int64), np.concatenate(found).astype(np.float64))


def _suspect_rows(parts: Parts, answers: Mapping[str, Answers]) -> pd.DataFrame:
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
        found.append(table[_COLUMNS])
    return pd.concat(found, ignore_index=True)
