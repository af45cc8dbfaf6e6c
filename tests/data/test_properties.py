"""What must hold for every text and every file, however odd: sampled by hypothesis.

The suite tries the same few hundred cases each time; ``NSMC_CASES=10000`` (``make faults``) tries that many of each.
"""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.callbacks.predictions import prediction_table, write_table
from nsmc_lightning.data.clean import clean_text, clean_train, undo_quoting
from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.split import normalise_for_matching, split_rows
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.types import UserError

CASES = int(os.environ.get("NSMC_CASES", "100"))
settings.register_profile(
    "faults",
    max_examples=CASES,
    derandomize=CASES <= 100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("faults")

CHARACTERS = st.one_of(
    st.characters(),  # all of Unicode, halves of surrogate pairs too
    st.sampled_from(
        "\0\t\n\r\v\f\x1c\x85\u2028\ufeff\"',\\ \u3000가나다각\u1100\u1161\u11a8ᄀㅋㅠ♥\U0001f600\u200d\ud83d"
    ),
)
ODD_TEXTS = st.text(CHARACTERS, max_size=40) | st.sampled_from(["", "[SEP]", "[CLS]", "NA", '""""', "ẛ̣", "İ"])
WRITABLE = ODD_TEXTS.filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text))
CORPUS = Corpus("odd", Source("train.tsv"), [Label("0", "no"), Label("1", "yes")])
# Bytes that look like the formats, so that more than the first check is reached.
PIECES = st.sampled_from(
    [
        *(mark.encode() for mark in ("text", "id", "label", *'\t,\n\r"{}[:-0\0가')),
        *[
            b'{"text": "a"}',
            b"1e999",
            b"NaN",
            b"\\ud83d",
            "가".encode("cp949"),
            b"PAR1",
            b"\xff",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
        ],
    ]
)
ODD_FILES = st.lists(PIECES | st.binary(max_size=3), max_size=60).map(b"".join)


# Cleaning


@given(ODD_TEXTS)
def test_cleaning_is_idempotent_and_leaves_what_can_be_encoded(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == cleaned.strip()
    cleaned.encode()


@given(WRITABLE.filter(lambda text: '"' in text))
def test_a_layer_of_quotes_is_undone(text: str) -> None:
    quoted = '"' + text.replace('"', '""') + '"'
    assert undo_quoting(quoted) == text


ROWS = st.lists(st.tuples(ODD_TEXTS | st.none(), st.sampled_from(["0", "1", "2", None])), max_size=30)


def frame_of(rows: list[tuple[str | None, str | None]]) -> pd.DataFrame:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    columns = {"id": [str(i) for i in range(len(rows))], "text": texts, "label": labels}
    return pd.DataFrame(columns, dtype=object).assign(line=np.arange(len(rows)))


@given(ROWS)
def test_a_cleaned_part_is_clean(rows: list[tuple[str | None, str | None]]) -> None:
    cleaned, counts = clean_train(frame_of(rows), ["0", "1"], repair_quotes=False)
    assert cleaned["text"].is_unique
    assert all(cleaned["text"].map(lambda text: text != "" and clean_text(text) == text))
    dropped = ["no text", "label outside the corpus's set", "duplicates dropped", "conflicting labels dropped"]
    assert counts["rows in"] - sum(counts[rule] for rule in dropped) == counts["rows out"] == len(cleaned)
    again, _ = clean_train(cleaned.assign(label=cleaned["label"].map(str)), ["0", "1"], repair_quotes=False)
    pd.testing.assert_frame_equal(again, cleaned, check_dtype=False)  # of a column without rows


# Splitting


@given(ROWS, st.floats(0.05, 0.95), st.integers(0, 99))
def test_no_text_is_on_both_sides_of_a_split(
    rows: list[tuple[str | None, str | None]], fraction: float, seed: int
) -> None:
    plain = [(f"{text or ''}{i}", "01"[i % 2]) for i, (text, _) in enumerate(rows)]
    frame = frame_of([*plain, *[(f" {text.upper()}!", label) for text, label in plain[::3]]])
    try:
        left, right = split_rows(frame, fraction, seed)
    except UserError:
        assume(False)
        return
    assert sorted([*left["id"], *right["id"]], key=int) == frame["id"].tolist()
    assert not set(left["text"].map(normalise_for_matching)) & set(right["text"].map(normalise_for_matching))


# Encoding


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(pd.Series(["재미있는 영화", "지루한 영화 ㅠㅠ", "정말 좋다!"] * 20), 200)


@given(texts=st.lists(ODD_TEXTS, min_size=1, max_size=8), max_length=st.integers(3, 20))
def test_every_text_is_encoded(tokenizer: PreTrainedTokenizerFast, texts: list[str], max_length: int) -> None:
    cleaned = [clean_text(text) for text in texts]
    encoded = encode(tokenizer, cleaned, max_length)
    assert len(encoded.lengths) == len(texts)
    for row in range(len(texts)):
        ids = encoded.ids(row)
        assert 2 <= len(ids) <= max_length
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert not {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id} & set(ids[1:-1])
        assert ids.max() < len(tokenizer)


# Writing and reading


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@given(texts=st.lists(WRITABLE, min_size=1, max_size=6))
@example(texts=["a\rb"])  # what the csv module leaves without quotes
def test_written_predictions_read_back_equal(texts: list[str], ending: str, tmp_path: Path) -> None:
    frame = frame_of([(text or None, None) for text in texts])[["id", "text", "line"]]
    probabilities = np.tile([0.25, 0.75], (len(texts), 1))
    path = tmp_path / f"out.{ending}"
    write_table(prediction_table(frame, ["no", "yes"], np.arange(len(texts)), probabilities), path)
    back = read_texts(str(path), "text", "id")
    assert back["text"].tolist() == [text or None for text in texts]
    assert back["id"].tolist() == frame["id"].tolist()
    labels = read_texts(str(path), "label", None)["text"].tolist()
    assert labels == ["yes" if text.strip() else None for text in texts]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "parquet"])
@given(content=ODD_FILES, number=st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, number: bool, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"odd.{kind}"
    path.write_bytes(content)
    column = 0 if number else "text"
    for encoding in ("utf-8", "cp949", "utf-16"):
        try:
            frame = read_texts(str(path), column, "id", encoding, on_bad_rows="skip")
        except UserError as error:
            message = str(error)
        else:
            message = None
        if message is not None:
            assert str(path) in message
            assert "\n" not in message
            continue
        assert len(frame) > 0
        assert frame["line"].is_monotonic_increasing
        frame["text"].dropna().map(clean_text)
    if kind != "txt":
        corpus = Corpus("odd", Source("x"), CORPUS.labels, format=kind, header=not number)  # type: ignore[arg-type]
        with suppress(UserError):
            read_labelled(path, corpus)
