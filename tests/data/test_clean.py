"""Each cleaning rule by itself, and all of them on NSMC."""

import csv
import io
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsmc_lightning.data.clean import RULES, clean_test, clean_text, clean_train, has_text, undo_quoting
from nsmc_lightning.errors import UserError

LABELS = ["0", "1"]


def frame(*rows: tuple[str | None, str | None]) -> pd.DataFrame:
    """Rows of text and label, ids and lines by their position."""
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(len(rows))],
            "text": pd.Series([text for text, _ in rows], dtype=object),
            "label": pd.Series([label for _, label in rows], dtype=object),
            "line": range(2, len(rows) + 2),
        }
    )


def nsmc(shared: Path, part: str) -> pd.DataFrame:
    """A published file as pandas reads it."""
    rows = pd.read_csv(shared / "nsmc" / f"ratings_{part}.txt", sep="\t", dtype=str, keep_default_na=False)
    return rows.rename(columns={"document": "text"}).assign(line=range(2, len(rows) + 2))


# Texts


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("좋아요", "좋아요"),
        (unicodedata.normalize("NFD", "좋아요"), "좋아요"),
        ("  좋아요\t\n", "좋아요"),
        ("\u3000좋아요\u00a0", "좋아요"),
        ("한 줄\n두 줄\x07\x00 셋", "한 줄\n두 줄\x07\x00 셋"),
        ("반쪽 \ud83d", "반쪽 \ufffd"),
        ("😀 👍🏽", "😀 👍🏽"),
        ("ｗｏｗ ①", "ｗｏｗ ①"),  # NFC, not NFKC: the author's letters stay
        (" \n ", ""),
        ("", ""),
    ],
)
def test_clean_text(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@given(st.text(st.characters()))
def test_clean_text_twice_is_once_and_always_encodes(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert clean_text(cleaned) == cleaned == unicodedata.normalize("NFC", cleaned)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ('"보고나면 ""ㅈ같다."""', '보고나면 "ㅈ같다."'),
        ('"""전체"""', '"전체"'),
        ('"""첫"" 말"', '"첫" 말'),
        ('"하나만 "" 있다"', '하나만 " 있다'),
        ('"네 개 """" 오~ 주여~~"""" 끝"', '네 개 "" 오~ 주여~~"" 끝'),
        ('"두 줄\n""둘"""', '두 줄\n"둘"'),
    ],
)
def test_second_layer_of_quoting_is_undone(text: str, repaired: str) -> None:
    assert undo_quoting(text) == repaired


@pytest.mark.parametrize(
    "text",
    [
        '"재미" 있다 "굿"',
        '""재미"" 있다 ""굿""',
        '이 ""영화"" 뭐지',
        '"굿"',
        '"굿',
        '굿"',
        '"',
        '""',
        '"""',
        "",
        "따옴표 없음",
        '"앞만 ""겹쳤다" 끝"',
        '"공백이 ""뒤에 있다""" ',
    ],
)
def test_quotes_of_the_author_stay(text: str) -> None:
    assert undo_quoting(text) == text


@given(st.text(st.sampled_from('" a가,\n')))
def test_repair_undoes_what_a_csv_writer_did(text: str) -> None:
    if '"' in text:
        written = io.StringIO()
        csv.writer(written, delimiter="\t", lineterminator="").writerow([text])
        assert undo_quoting(written.getvalue()) == text
    else:
        assert undo_quoting(text) == text


# Parts


def test_train_counts_every_rule_and_keeps_the_first_of_equal_rows() -> None:
    rows = frame(
        ("좋아요", "1"),
        (None, "1"),
        (" \t", "0"),
        ("라벨 없음", None),
        ("라벨 틀림", "2"),
        ('"그는 ""왕"""', "0"),
        (unicodedata.normalize("NFD", "좋아요"), "1"),
        ("  좋아요 ", "1"),
        ("별로", "0"),
        ("글쎄", "0"),
        ("글쎄", "1"),
        ("글쎄", "1"),
    )
    cleaned, counts = clean_train(rows, LABELS, repair_quotes=True)
    assert cleaned.to_dict("list") == {
        "id": ["r0", "r5", "r8"],
        "text": ["좋아요", '그는 "왕"', "별로"],
        "label": [1, 0, 0],
        "line": [2, 7, 10],
    }
    assert cleaned["label"].dtype == "int64"
    assert list(cleaned.index) == [0, 1, 2]
    assert counts == {
        "rows in": 12,
        "no text": 2,
        "label outside the corpus's set": 2,
        "quotes repaired": 1,
        "normalised to NFC": 1,
        "white space trimmed": 1,
        "duplicates dropped": 3,
        "conflicting labels dropped": 2,
        "rows out": 3,
    }


def test_label_ids_follow_the_order_of_the_corpus() -> None:
    cleaned, _ = clean_train(frame(("가", "neg"), ("나", "pos"), ("다", "neu")), ["pos", "neu", "neg"], False)
    assert cleaned["label"].tolist() == [2, 0, 1]


def test_quotes_stay_without_repair_quotes() -> None:
    cleaned, counts = clean_train(frame(('"그는 ""왕"""', "0")), LABELS, repair_quotes=False)
    assert cleaned["text"].tolist() == ['"그는 ""왕"""']
    assert counts["quotes repaired"] == 0


@pytest.mark.parametrize("rows", [frame(), frame((None, None), (None, "1")), frame(("가", None))])
def test_a_part_may_become_empty(rows: pd.DataFrame) -> None:
    cleaned, counts = clean_train(rows, LABELS, repair_quotes=True)
    assert list(cleaned.columns) == ["id", "text", "label", "line"]
    assert (len(cleaned), counts["rows out"], list(counts)) == (0, 0, ["rows in", *RULES, "rows out"])


def test_the_rows_given_are_not_changed() -> None:
    rows = frame((" 가 ", "0"), ('"그는 ""왕"""', "1"))
    before = rows.copy(deep=True)
    clean_train(rows, LABELS, True)
    clean_test(rows, LABELS, True, "t.tsv")
    pd.testing.assert_frame_equal(rows, before)


def test_test_rows_are_dropped_only_for_lack_of_text() -> None:
    rows = frame(("같다", "0"), ("같다", "0"), ("같다", "1"), (None, "9"), ('" ""끝"""', "1"))
    cleaned, counts = clean_test(rows, LABELS, True, "t.tsv")
    assert cleaned["text"].tolist() == ["같다", "같다", "같다", '"끝"']
    assert cleaned["label"].tolist() == [0, 0, 1, 1]
    assert (counts["no text"], counts["quotes repaired"], counts["duplicates dropped"]) == (1, 1, 0)
    assert list(counts) == ["rows in", *RULES, "rows out"]


def test_a_wrong_label_in_a_test_part_names_file_lines_and_labels() -> None:
    rows = frame(("가", "0"), ("나", "pos"), ("다", None), ("라", "2"), ("마", "3"), ("바", "4"))
    with pytest.raises(UserError) as error:
        clean_test(rows, LABELS, False, "ratings_test.txt")
    message = str(error.value)
    assert message.startswith("ratings_test.txt, line 3: 'pos'; line 4: no label; line 5: '2'; and 2 more rows.")
    assert "labels are '0', '1'" in message


def test_missing_values_of_any_kind_are_no_text() -> None:
    texts = pd.Series(["가", None, float("nan"), pd.NA, "", " \n\u3000"], dtype=object)
    assert has_text(pd.DataFrame({"text": texts})).tolist() == [True, False, False, False, False, False]
    assert not has_text(pd.DataFrame({"text": [float("nan")] * 2})).any()


# NSMC


def test_nsmc_train(shared: Path) -> None:
    rows = nsmc(shared, "train")
    with_text = rows[has_text(rows)]
    assert len(with_text) == 149_995
    assert with_text["text"].nunique() == 146_182
    cleaned, counts = clean_train(rows, LABELS, repair_quotes=True)
    assert counts == {
        "rows in": 150_000,
        "no text": 5,
        "label outside the corpus's set": 0,
        "quotes repaired": 623,
        "normalised to NFC": 12,
        "white space trimmed": 0,
        "duplicates dropped": 3_656,
        "conflicting labels dropped": 314,  # 157 texts, once with each label
        "rows out": 146_025,
    }
    assert cleaned["text"].is_unique
    repaired = cleaned.set_index("id")["text"]["10122280"]
    assert repaired == '영화 끝나갈때쯤에 멍하다가 다보고나면 한마디 나올거임 "ㅈ같다."'


def test_nsmc_test(shared: Path) -> None:
    cleaned, counts = clean_test(nsmc(shared, "test"), LABELS, True, "ratings_test.txt")
    assert (len(cleaned), counts["no text"], counts["quotes repaired"], counts["normalised to NFC"]) == (
        49_997,
        3,
        233,
        4,
    )


@pytest.mark.parametrize("repair_quotes", [True, False])
def test_half_of_a_surrogate_pair_in_a_file_is_replaced(repair_quotes: bool) -> None:
    rows = frame(("반쪽 \ud83d", "0"), ("글", "1"))
    train, _ = clean_train(rows, LABELS, repair_quotes)
    test, _ = clean_test(rows, LABELS, repair_quotes, "file")
    assert train["text"].tolist() == test["text"].tolist() == ["반쪽 \ufffd", "글"]
