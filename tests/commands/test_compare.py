"""compare, through main(args): figures against scipy, refusals, and the rows on which two models disagree."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from nsmc_lightning.cli import main
from nsmc_lightning.commands.compare import verdict
from nsmc_lightning.evaluation.bootstrap import Interval
from nsmc_lightning.evaluation.paired import Agreement

ROWS = 400


def table(seed: int, errors: float) -> pd.DataFrame:
    """Predictions that are wrong at a rate, on rows of which every tenth has the text of the one before."""
    random = np.random.default_rng(seed)
    target = np.where(np.arange(ROWS) % 2, "pos", "neg")
    wrong = random.random(ROWS) < errors
    label = np.where(wrong, np.where(target == "pos", "neg", "pos"), target)
    confidence = random.uniform(0.5, 1, ROWS)
    return pd.DataFrame(
        {
            "id": [f"{i:03}" for i in range(ROWS)],
            "text": [f"영화 {max(i - (i % 10 == 0), 0)}!" for i in range(ROWS)],
            "label": label,
            "target": target,
            "probability_neg": np.where(label == "neg", confidence, 1 - confidence),
            "probability_pos": np.where(label == "pos", confidence, 1 - confidence),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two files of the same rows in different formats; the first has fewer errors."""
    first, second = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table(0, 0.1).to_csv(first, index=False)
    table(1, 0.25).to_json(second, orient="records", lines=True, force_ascii=False)
    return str(first), str(second)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *words])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) <= 2
    return error


def test_figures_are_those_of_scipy_and_pandas(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", *files, "--output", str(tmp_path / "out.tsv")])
    printed = capsys.readouterr().out
    first, second = pd.read_csv(files[0], dtype=str), pd.read_json(files[1], lines=True, dtype=False)
    right = [(frame["label"] == frame["target"]).to_numpy() for frame in (first, second)]
    cells = pd.crosstab(right[0], right[1])
    assert "400 rows with 361 different texts" in printed
    for name, each in zip("AB", right, strict=True):
        assert f"accuracy of {name}   {100 * each.mean():6.2f} %" in printed
    assert f"A - B           {100 * (right[0].mean() - right[1].mean()):+6.2f} points" in printed
    assert re.search(rf"A right +{cells.loc[True, True]} +{cells.loc[True, False]}\n", printed)
    assert re.search(rf"A wrong +{cells.loc[False, True]} +{cells.loc[False, False]}\n", printed)
    p_value = binomtest(cells.loc[True, False], cells.loc[True, False] + cells.loc[False, True]).pvalue
    assert f"p = {p_value:.3g}" in printed
    assert "A is better, by more than chance explains." in printed
    written = pd.read_csv(tmp_path / "out.tsv", sep="\t", dtype={"id": str})
    assert written["id"].tolist() == first.loc[first["label"] != second["label"], "id"].tolist()
    assert (written["label_A"] != written["label_B"]).all()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("id", "x", "row 7: the id is '006' in A and 'x' in B"), ("text", "다른", "row 7: the text is '영화 6!' in A")],
)
def test_other_rows_are_refused_with_the_first(
    column: str, value: str, message: str, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    changed = table(1, 0.25)
    changed.loc[6:, column] = value
    changed.to_json(files[1], orient="records", lines=True)
    assert message in refused([*files], capsys)


def test_rows_that_only_one_has_are_refused(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    table(1, 0.25)[:100].to_json(files[1], orient="records", lines=True)
    assert "row 101: B ends at row 100, and A has 400" in refused([*files], capsys)
    limited = table(1, 0.25)
    limited.loc[50:, ["label", "probability_neg", "probability_pos"]] = None
    limited.to_json(files[1], orient="records", lines=True)
    assert "row 51: only A has a prediction" in refused([*files], capsys)


def test_mistakes(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such file" in refused([files[0], "nowhere.csv"], capsys)
    assert ".tsv" in refused([*files, "--output", "out.csv"], capsys)
    (tmp_path / "file").touch()
    assert "cannot be written" in refused([*files, "--output", str(tmp_path / "file" / "x.tsv")], capsys)


@pytest.mark.parametrize(
    ("interval", "p_value", "expected"),
    [((0.01, 0.03), 0.001, "A is better"), ((-0.01, 0.03), 0.2, "not larger"), ((-0.001, 0.03), 0.04, "undecided")],
)
def test_the_verdict_needs_both(interval: tuple[float, float], p_value: float, expected: str) -> None:
    assert expected in verdict(0.02, Interval(*interval), Agreement(50, 9, 2, 4, p_value))
