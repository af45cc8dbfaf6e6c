"""Splits: no text on both sides, labels in proportion, the same rows for the same seed."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsmc_lightning.data.clean import clean_train
from nsmc_lightning.data.split import normalise_for_matching, split_rows
from nsmc_lightning.errors import UserError


def frame(texts: list[str], labels: list[int]) -> pd.DataFrame:
    """Rows with their position as id."""
    return pd.DataFrame({"id": range(len(texts)), "text": texts, "label": labels})


def distinct(rows: int, classes: int = 2) -> pd.DataFrame:
    """Rows of different texts, classes in turn."""
    return frame([f"리뷰 {i}" for i in range(rows)], [i % classes for i in range(rows)])


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("좋아요!", "좋아요"),
        ("정말 좋아요", "정말좋아요..."),
        ("GOOD", "ｇｏｏｄ"),
        ("good_movie", "Good Movie ♥"),
        ("\u1100\u1161", "가"),
        ("줄\n바꿈", "줄바꿈"),
    ],
)
def test_texts_that_match(text: str, other: str) -> None:
    assert normalise_for_matching(text) == normalise_for_matching(other)


@pytest.mark.parametrize(
    ("text", "other"), [("좋아요", "안좋아요"), ("10점", "1점"), ("ㅋㅋ", "ㅋㅋㅋ"), ("...", "!!!"), ("♥", "")]
)
def test_texts_that_do_not_match(text: str, other: str) -> None:
    assert normalise_for_matching(text) != normalise_for_matching(other)


@pytest.mark.parametrize("text", ["...", "!?", "♥♥", "_ _", ""])
def test_a_text_without_letters_is_unchanged(text: str) -> None:
    assert normalise_for_matching(text) == text


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.text("ab!. 가", max_size=3), st.integers(0, 2)), min_size=1, max_size=80),
    st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    st.integers(0, 3),
)
def test_no_row_is_lost_and_no_text_is_on_both_sides(rows: list[tuple[str, int]], fraction: float, seed: int) -> None:
    whole = frame([text for text, _ in rows], [label for _, label in rows])
    try:
        rest, off = split_rows(whole, fraction, seed)
    except UserError:
        return
    assert len(off)
    assert len(rest)
    assert sorted([*rest["id"], *off["id"]]) == list(range(len(rows)))
    assert rest["id"].is_monotonic_increasing
    assert off["id"].is_monotonic_increasing
    assert not set(rest["text"].map(normalise_for_matching)) & set(off["text"].map(normalise_for_matching))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_size_and_labels_in_proportion(fraction: float) -> None:
    rest, off = split_rows(distinct(10_000, classes=4), fraction, seed=1)
    assert len(off) == 10_000 * fraction
    assert off["label"].value_counts().tolist() == [2_500 * fraction] * 4
    assert list(rest.index) == list(range(len(rest)))


def test_seed_decides() -> None:
    rows = distinct(200)
    first, again, other = (split_rows(rows, 0.2, seed)[1]["id"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_choice_does_not_depend_on_the_index() -> None:
    rows = distinct(200)
    moved = rows.set_axis(range(1_000, 1_400, 2))
    assert split_rows(rows, 0.2, 1)[1].equals(split_rows(moved, 0.2, 1)[1])


def test_equal_texts_count_with_their_most_frequent_label() -> None:
    rows = frame([f"리뷰 {i}" for i in range(40)] + ["굿", "굿!", "굿?"], [0] * 40 + [0, 1, 1])
    rest, off = split_rows(rows, 0.5, seed=0)
    # "굿" alone stands for label 1: a label of one text cannot be on both sides and stays in the rest.
    assert rest["text"].tolist()[-3:] == ["굿", "굿!", "굿?"]
    assert off["label"].tolist() == [0] * 20


def test_rows_without_a_label_stay_in_the_rest() -> None:
    rows = distinct(40).astype({"label": object})
    rows.loc[[3, 4], "label"] = None
    rest, off = split_rows(rows, 0.25, seed=0)
    assert {3, 4} <= set(rest["id"])
    assert off["label"].notna().all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fraction_outside_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=r"--data\.dev_fraction is .*between 0 and 1"):
        split_rows(distinct(10), fraction, seed=0)


@pytest.mark.parametrize(
    "rows",
    [distinct(3), distinct(10), distinct(0), frame(["굿", "굿!", "굿?"] * 20, [0, 1, 1] * 20)],
    ids=["three rows", "one row for two labels", "no rows", "one text"],
)
def test_too_few_texts_are_refused_by_name(rows: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=rf"^--data\.dev_fraction 0\.1: cannot split {len(rows)} rows"):
        split_rows(rows, 0.1, seed=0)
    with pytest.raises(UserError, match=r"^corpus\.test_fraction 0\.1: "):
        split_rows(rows, 0.1, seed=0, key="corpus.test_fraction")


def test_nsmc(shared: Path) -> None:
    rows = pd.read_csv(shared / "nsmc" / "ratings_train.txt", sep="\t", dtype=str, keep_default_na=False)
    rows = rows.rename(columns={"document": "text"}).assign(line=range(2, len(rows) + 2))
    rows, _ = clean_train(rows, ["0", "1"], repair_quotes=True)
    rest, off = split_rows(rows, 0.1, seed=42)
    assert len(off) == pytest.approx(0.1 * len(rows), rel=0.01)
    assert off["label"].mean() == pytest.approx(rest["label"].mean(), abs=0.005)
    assert not set(rest["text"].map(normalise_for_matching)) & set(off["text"].map(normalise_for_matching))


def test_rows_with_half_of_a_surrogate_pair_are_split() -> None:
    rows = distinct(20)
    rows["text"] = pd.Series(["\ud800" * number for number in range(1, 21)], dtype=object)  # no letters
    kept, split_off = split_rows(rows, 0.2, seed=0)
    assert (len(kept), len(split_off)) == (16, 4)
