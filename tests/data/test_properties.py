"""Properties of every text and every file, sampled by hypothesis.

The suite tries the same 100 cases of each every time; ``make faults`` tries more, as many as ``NSMC_CASES``.
"""

import os
import unicodedata
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.callbacks.predictions import prediction_table, write_table
from nsmc_lightning.data.batch import collate
from nsmc_lightning.data.clean import clean_text, clean_train, undo_quoting
from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.encode import Encoded, encode
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.sampler import LengthGroupedSampler, StratifiedSampler, TrainSampler
from nsmc_lightning.data.split import normalise_for_matching, split_rows
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Batch

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
# Bytes that resemble the formats, so that cases pass the first check.
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


def ids_of(encoded: Encoded, row: int) -> np.ndarray:
    return encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(pd.Series(["재미있는 영화", "지루한 영화 ㅠㅠ", "정말 좋다!"] * 20), 200)


@given(texts=st.lists(ODD_TEXTS, min_size=1, max_size=8), max_length=st.integers(3, 20))
def test_every_text_is_encoded(tokenizer: PreTrainedTokenizerFast, texts: list[str], max_length: int) -> None:
    cleaned = [clean_text(text) for text in texts]
    encoded = encode(tokenizer, cleaned, max_length)
    assert len(encoded.lengths) == len(texts)
    for row in range(len(texts)):
        ids = ids_of(encoded, row)
        assert 2 <= len(ids) <= max_length
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert not {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id} & set(ids[1:-1])
        assert ids.max() < len(tokenizer)


# Batches


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=80)


def unpacked(batch: Batch) -> list[list[int]]:
    """Token ids of each review of a batch, from its mask and first tokens."""
    width = batch.input_ids.shape[1]
    reviews = []
    for number, first in enumerate(batch.first_tokens.tolist(), start=1):
        slots = (batch.attention_mask.flatten() == number).nonzero().flatten()
        assert slots.tolist() == list(range(first, first + len(slots)))  # end to end
        assert slots[0] // width == slots[-1] // width  # in one row
        assert batch.position_ids.flatten()[slots].tolist() == list(range(len(slots)))
        reviews.append(batch.input_ids.flatten()[slots].tolist())
    return reviews


@given(lengths=LENGTHS, rows=st.integers(1, 9), wider=st.integers(0, 30), packed=st.booleans(), data=st.data())
def test_a_batch_keeps_every_token_of_every_review_once(
    lengths: list[int], rows: int, wider: int, packed: bool, data: st.DataObject
) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    encoded = Encoded(np.arange(1, offsets[-1] + 1, dtype=np.int32), offsets, np.asarray(lengths, np.int32))
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    labels = np.arange(len(lengths)) % 3
    batch = collate(encoded, labels, chosen, 0, (rows, max(lengths) + wider) if packed else None)
    assert batch.packed == packed
    assert unpacked(batch) == [ids_of(encoded, row).tolist() for row in chosen]
    empty = batch.attention_mask == 0
    assert batch.num_tokens == int((~empty).sum()) == sum(lengths[row] for row in chosen)
    assert (batch.input_ids[empty] == 0).all()
    assert batch.rows.tolist() == chosen
    assert batch.labels is not None
    assert batch.labels.tolist() == labels[chosen].tolist()


@pytest.mark.parametrize("kind", [StratifiedSampler, LengthGroupedSampler])
@given(lengths=LENGTHS, batch_size=st.integers(1, 20), world_size=st.integers(1, 4), done=st.integers(0, 90))
def test_an_epoch_has_every_review_once_and_resumes(
    kind: type[TrainSampler], lengths: list[int], batch_size: int, world_size: int, done: int
) -> None:
    samplers = [kind(np.asarray(lengths), batch_size, 1, rank, world_size) for rank in range(world_size)]
    epochs = [list(sampler) for sampler in samplers]
    assert {len(epoch) for epoch in epochs} == {len(samplers[0])}
    for batches in zip(*epochs, strict=True):
        assert len({len(batch) for batch in batches}) == 1 <= len(batches[0])
    rows = [row for epoch in epochs for batch in epoch for row in batch]
    assert len(rows) == len(set(rows)) > len(lengths) - world_size
    for sampler, epoch in zip(samplers, epochs, strict=True):
        sampler.resume_at(0, done)
        assert list(sampler) == epoch[done:]


# Writing and reading


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@given(texts=st.lists(WRITABLE, min_size=1, max_size=6))
@example(texts=["a\rb"])  # the csv module does not quote it
def test_written_predictions_read_back_equal(texts: list[str], ending: str, tmp_path: Path) -> None:
    frame = frame_of([(text or None, None) for text in texts])[["id", "text", "line"]]
    probabilities = np.tile([0.25, 0.75], (len(texts), 1))
    path = tmp_path / f"out.{ending}"
    write_table(prediction_table(frame, ["no", "yes"], np.arange(len(texts)), probabilities), path)
    back = read_texts(str(path), replace(CORPUS, id_column="id"))
    assert back["text"].tolist() == [text or None for text in texts]
    assert back["id"].tolist() == frame["id"].tolist()
    labels = read_texts(str(path), replace(CORPUS, text_column="label"))["text"].tolist()
    assert labels == ["yes" if text.strip() else None for text in texts]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "parquet"])
@given(content=ODD_FILES, number=st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, number: bool, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"odd.{kind}"
    path.write_bytes(content)
    asked = replace(CORPUS, id_column="id", text_column=0 if number else "text")
    for encoding in ("utf-8", "cp949", "utf-16"):
        try:
            frame = read_texts(str(path), asked, encoding, on_bad_rows="skip")
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
