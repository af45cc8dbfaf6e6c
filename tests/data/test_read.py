"""Rows from files of every format, and the messages for broken files."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from nsmc_lightning.data.corpus import NSMC, Corpus, Label, Source
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.errors import UserError

CORPUS = Corpus("small", Source("train.tsv"), [Label("0", "no"), Label("1", "yes")], id_column="id")
HEADER = "id\ttext\tlabel\n"
NO_HEADER = replace(CORPUS, header=False, text_column=1, label_column=0, id_column=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.tsv"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))


# Labelled tables


def test_rows_ids_labels_and_lines(path: Path) -> None:
    frame = read_labelled(write(path, HEADER + "7\t좋다\t1\n8\t\t0\n9\t별로\t\n"), CORPUS)
    assert list(frame.columns) == ["id", "text", "label", "line"]
    assert table(frame) == [("7", "좋다", "1", 2), ("8", None, "0", 3), ("9", "별로", None, 4)]


def test_ids_are_row_numbers_where_there_is_no_column(path: Path) -> None:
    frame = read_labelled(write(path, HEADER + "7\t가\t1\n8\t나\t0\n"), replace(CORPUS, id_column=None))
    assert frame["id"].tolist() == ["0", "1"]


@pytest.mark.parametrize("word", ["NA", "nan", "NULL", "None", "n/a", "<NA>", "#N/A", "-", "1.0", " "])
def test_words_for_missing_values_stay_texts(path: Path, word: str) -> None:
    assert read_labelled(write(path, HEADER + f"1\t{word}\t0\n"), CORPUS)["text"].tolist() == [word]


def test_byte_order_mark_and_windows_line_ends(path: Path) -> None:
    content = b"\xef\xbb\xbf" + (HEADER + "1\t가\t0\n2\t나\t1\n").replace("\n", "\r\n").encode()
    assert table(read_labelled(write(path, content), CORPUS)) == [("1", "가", "0", 2), ("2", "나", "1", 3)]


def test_quotes_are_undone_once_and_lines_stay_right(path: Path) -> None:
    content = HEADER + '1\t"첫 줄\n둘째 줄"\t0\n\n2\t"""""좋아"""""\t1\n3\t그는 "왜" 라고\t0\n'
    frame = read_labelled(write(path, content), CORPUS)
    assert frame["text"].tolist() == ["첫 줄\n둘째 줄", '""좋아""', '그는 "왜" 라고']
    assert frame["line"].tolist() == [2, 5, 6]
    assert frame["text"].tolist() == pd.read_csv(path, sep="\t")["text"].tolist()


def test_no_header_and_columns_by_number(path: Path) -> None:
    corpus = replace(CORPUS, header=False, text_column=0, label_column=2, id_column=None)
    frame = read_labelled(write(path, "문장\t논항\t1\n다른 문장\t\t0\n"), corpus)
    assert table(frame) == [("0", "문장", "1", 1), ("1", "다른 문장", "0", 2)]


def test_csv(path: Path) -> None:
    frame = read_labelled(write(path, ',text,label\n0,"가, 나",1\n'), replace(CORPUS, format="csv", id_column=""))
    assert table(frame) == [("0", "가, 나", "1", 2)]


def test_a_long_text(path: Path) -> None:
    assert read_labelled(write(path, HEADER + f"1\t{'음' * 200_000}\t0\n"), CORPUS)["text"].str.len().tolist() == [
        200_000
    ]


# Other formats


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"id": 1, "text": "한 줄\u2028두 줄", "label": 1}, {"id": "b", "text": None, "label": "0"}]
    content = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    frame = read_labelled(write(tmp_path / "rows.jsonl", content), replace(CORPUS, format="jsonl"))
    assert table(frame) == [("1", "한 줄\u2028두 줄", "1", 1), ("b", None, "0", 3)]


@pytest.mark.parametrize("labels", [[1, 0, None], [1.0, 0.0, None], ["1", "0", None]])
def test_parquet(tmp_path: Path, labels: list[Any]) -> None:
    big = 2**53 + 1  # a float would lose its last digit
    columns = {"id": [big, None, 3], "text": ["가", "나", None], "label": labels}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet")
    frame = read_labelled(tmp_path / "rows.parquet", replace(CORPUS, format="parquet"))
    assert table(frame) == [(str(big), "가", "1", 1), ("", "나", "0", 2), ("3", None, None, 3)]


def folders(tmp_path: Path) -> Corpus:
    for name, text in {"pos/10_7": "a<br />b\r\n", "pos/9_10": "c", "pos/9_8": "", "neg/2_1": "d"}.items():
        file = tmp_path / f"{name}.txt"
        file.parent.mkdir(exist_ok=True)
        write(file, text)
    return replace(CORPUS, format="folders", labels=[Label("neg", "negative"), Label("pos", "positive")])


def test_folders(tmp_path: Path) -> None:
    corpus = folders(tmp_path)
    (tmp_path / "neg" / "notes.md").touch()
    assert table(read_labelled(tmp_path, corpus)) == [
        ("neg/2_1", "d", "neg", 1),
        ("pos/9_8", None, "pos", 1),
        ("pos/9_10", "c", "pos", 1),
        ("pos/10_7", "a<br />b\r\n", "pos", 1),
    ]


# Texts to predict


def test_every_line_of_a_txt_is_a_row(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + '좋다\r\n\n"인용\u2028부호\x85\n  \n끝'.encode()
    assert table(read_texts(str(write(tmp_path / "in.txt", content)), NSMC)) == [
        ("0", "좋다", 1),
        ("1", None, 2),
        ("2", '"인용\u2028부호\x85', 3),
        ("3", "  ", 4),
        ("4", "끝", 5),
    ]


def test_a_txt_that_names_its_columns_is_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nsmc_lightning")
    path = str(write(tmp_path / "ratings_test.txt", "\ufeffid\tdocument\tlabel\r\n7\t좋다\t1\r\n8\t\t0\r\n"))
    assert table(read_texts(path, NSMC)) == [("7", "좋다", 2), ("8", None, 3)]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its first line is that of a table; read as tsv."
    ]


@pytest.mark.parametrize(
    ("corpus", "content", "expected"),
    [
        (NO_HEADER, "0\t좋은 영화\n1\t나쁜\n", [("0", "좋은 영화", 1), ("1", "나쁜", 2)]),
        (
            replace(NO_HEADER, text_column=0, label_column=2),
            "가\tx\t1\r\n나\t\t0\r\n",
            [("0", "가", 1), ("1", "나", 2)],
        ),
        (replace(NO_HEADER, format="csv"), '0,"좋은, 영화"\n', [("0", "좋은, 영화", 1)]),
        (replace(CORPUS, text_column="mytext"), "no\tmytext\ty\n1\t좋은 영화\t1\n", [("0", "좋은 영화", 2)]),
        (replace(CORPUS, text_column="mytext", format="csv"), "id,mytext\n7,가\n", [("7", "가", 2)]),
    ],
    ids=["label first", "text first", "csv", "named", "named csv"],
)
def test_a_txt_laid_out_as_the_corpus_is_a_table(
    tmp_path: Path, corpus: Corpus, content: str, expected: list[Any]
) -> None:
    assert table(read_texts(str(write(tmp_path / "in.txt", content)), corpus)) == expected


@pytest.mark.parametrize("content", ["no\tmytext\ty\n1\t좋다\t1\n", "0\t좋다\n", "첫 줄\n탭이\t있다\n", "9\t좋다\n"])
@pytest.mark.parametrize("corpus", [NSMC, replace(NO_HEADER, label_column=2)], ids=["header", "no header"])
def test_a_tab_in_a_text_a_line_is_refused_or_skipped(
    tmp_path: Path, content: str, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write(tmp_path / "in.txt", content))
    line = 1 + content.split("\n").index(next(one for one in content.split("\n") if "\t" in one))
    with pytest.raises(UserError, match=rf"in\.txt, line {line}: contains a tab.*\.tsv.*spaces"):
        read_texts(path, corpus)
    assert read_texts(path, corpus, on_bad_rows="skip")["text"][line - 1] is None
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    with pytest.raises(UserError, match=rf"standard input, line {line}: contains a tab"):
        read_texts("-", corpus)


@pytest.mark.parametrize("first", ["document", "text,label", "0", "x" * 200_000, ""])
def test_another_txt_is_a_text_a_line(tmp_path: Path, first: str) -> None:
    frame = read_texts(str(write(tmp_path / "in.txt", f"{first}\n좋다\n")), NSMC)
    assert frame["text"].tolist() == [first or None, "좋다"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("하나\n\n셋\n".encode()), encoding="ascii"))
    assert table(read_texts("-", NSMC)) == [("0", "하나", 1), ("1", None, 2), ("2", "셋", 3)]


@pytest.mark.parametrize("header", ["document", "text", "sentence", "review", "comments"])
def test_the_text_column_is_found(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "in.csv", f"id,{header}\na,좋다\nb,\nc,별로\n")
    assert table(read_texts(str(path), NSMC)) == [("a", "좋다", 2), ("b", None, 3), ("c", "별로", 4)]


def test_the_named_column_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "in.tsv", "text\tdocument\nwrong\tright\n")
    assert read_texts(str(path), NSMC)["text"].tolist() == ["right"]
    assert read_texts(str(path), NSMC)["id"].tolist() == ["0"]


def test_empty_lines_of_a_single_column_are_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "text\n가\n\n나\n")
    assert table(read_texts(str(path), CORPUS)) == [("0", "가", 2), ("1", None, 3), ("2", "나", 4)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("가\t1\n나\t0\n", [("0", "가", 1), ("1", "나", 2)]), ("label\ttext\n1\t가\n", [("0", "가", 2)])],
    ids=["no header", "header"],
)
def test_a_corpus_without_header_reads_both_kinds(tmp_path: Path, content: str, expected: list[Any]) -> None:
    assert table(read_texts(str(write(tmp_path / "in.tsv", content)), replace(NO_HEADER, text_column=0))) == expected


def test_json_lines_and_parquet_to_predict(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"sentence": ["가", None]}), tmp_path / "in.parquet")
    write(tmp_path / "in.jsonl", '{"sentence": "가"}\n{"sentence": ""}\n')
    for name in ("in.parquet", "in.jsonl"):
        assert table(read_texts(str(tmp_path / name), replace(NO_HEADER, text_column=0))) == [
            ("0", "가", 1),
            ("1", None, 2),
        ]


# Other encodings


@pytest.mark.parametrize("encoding", ["cp949", "euc-kr", "utf-16", "utf-8", "UTF_8"])
def test_files_in_the_encoding_that_is_named(path: Path, encoding: str) -> None:
    content = (HEADER + "1\t재미있는 영화\t0\r\n").encode(encoding)
    expected = ("1", "재미있는 영화", "0", 2)
    assert table(read_labelled(write(path, content), replace(CORPUS, encoding=encoding))) == [expected]
    assert read_texts(str(path), CORPUS, encoding)["text"].tolist() == ["재미있는 영화"]


def test_utf8_may_begin_with_a_byte_order_mark(path: Path) -> None:
    write(path, b"\xef\xbb\xbf" + HEADER.encode() + b"1\ta\t0\n")
    for name in ("utf-8", "UTF8", "utf_8"):
        assert read_texts(str(path), CORPUS, name)["id"].tolist() == ["1"]


@pytest.mark.parametrize("encoding", ["korean", "rot13", "no-such"])
def test_unknown_and_wrong_encodings_are_refused(path: Path, encoding: str) -> None:
    write(path, HEADER + "1\t가\t0\n")
    if encoding == "korean":  # one that Python knows, but not the file's
        with pytest.raises(UserError, match=r"rows\.tsv, line 2: not KOREAN; save the file as UTF-8"):
            read_texts(str(write(path, "text\n가\n".encode() + b"\xff\n")), CORPUS, encoding)
        return
    with pytest.raises(UserError, match=f"'{encoding}': there is no such text encoding"):
        read_texts(str(path), CORPUS, encoding)


# Rows that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "texts", "lines"),
    [
        (
            "in.tsv",
            'text\tstars\n가\t1\n나\n"다" 라\t3\n마\t4\t5\n\n바\t\n',
            ["가", None, None, None, "바"],
            [2, 3, 4, 5, 7],
        ),
        ("in.csv", 'text,stars\n"가\n나"다,1\n라,2\n', [None, "라"], [2, 4]),
        (
            "in.jsonl",
            '{"text": "가"}\n{"text": \n{"no": 1}\n{"text": 3}\n[]\n{"text": "나"}\n',
            ["가", None, None, None, None, "나"],
            [*range(1, 7)],
        ),
    ],
    ids=["tsv", "csv", "jsonl"],
)
def test_bad_rows_are_refused_or_keep_their_place(
    name: str, content: str, texts: list[Any], lines: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(write(tmp_path / name, content))
    with pytest.raises(UserError, match=rf"{name}, line {lines[texts.index(None)]}: "):
        read_texts(path, CORPUS)
    frame = read_texts(path, CORPUS, on_bad_rows="skip")
    assert table(frame) == [(str(i), *row) for i, row in enumerate(zip(texts, lines, strict=True))]
    assert f"{path}: {texts.count(None)} bad rows get no label (line {lines[texts.index(None)]}: " in caplog.text


def test_a_bad_row_has_no_id_where_there_is_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "id,text\n7,가\n8\n9,나\n")
    assert read_texts(str(path), CORPUS, on_bad_rows="skip")["id"].tolist() == ["7", "", "9"]


def test_an_open_quote_is_never_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", 'text\n가\n"나\n다\n')
    with pytest.raises(UserError, match="line 3: a quote"):  # the rest of the file may be its text
        read_texts(str(path), CORPUS, on_bad_rows="skip")


def test_a_missing_column_is_never_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "title,stars\n가,1\n")
    with pytest.raises(UserError, match="no column"):
        read_texts(str(path), CORPUS, on_bad_rows="skip")


def test_a_text_that_is_too_long_is_refused_or_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "in.txt", "가\n" + "x" * 1_000_001 + "\n나\n")
    with pytest.raises(UserError, match=r"line 2: a text of 1,000,001 characters"):
        read_texts(str(path), CORPUS)
    assert read_texts(str(path), CORPUS, on_bad_rows="skip")["text"].tolist() == ["가", None, "나"]


def test_of_many_columns_the_first_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", f"{','.join(f'c{i}' for i in range(99))}\n")
    with pytest.raises(UserError, match=r"no column 'text'; there are c0, c1, .*, c9, …\."):
        read_texts(str(path), CORPUS)


def test_nul_characters_are_text(tmp_path: Path) -> None:
    assert read_texts(str(write(tmp_path / "in.txt", "\0가\0\n\0\n")), CORPUS)["text"].tolist() == [
        "\0가\0",
        "\0",
    ]
    assert read_texts(str(write(tmp_path / "in.csv", "text\n가\0\n")), CORPUS)["text"].tolist() == ["가\0"]


# What is refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["there are no rows"]),
        (HEADER, ["there are no rows"]),
        ("id\tdocument\tlabel\n1\t가\t0\n", ["'text'", "id, document, label", "--data.corpus.text_column"]),
        ("id\ttext\tstars\n1\t가\t0\n", ["'label'", "id, text, stars", "--data.corpus.label_column"]),
        ("text\tlabel\n가\t0\n", ["'id'", "--data.corpus.id_column"]),
        ("text\ttext\tlabel\n가\t나\t0\n", ["'text' twice"]),
        (HEADER + "1\t가\t0\n2\t나\t다\t0\n", ["line 3", "4 columns", "3 are expected"]),
        (HEADER + "1\t가\t0\n2\t나\n", ["line 3", "2 columns"]),
        (HEADER + '1\t"가\n나"\t0\n2\t"다\t0\n3\t라\t0\n', ["line 4", "quote", "open"]),
        (HEADER + '1\t"최고" 라고\t0\n', ["line 2", "quote"]),
        (HEADER.encode() + "1\t가\t0\n2\t재미있는 영화\t1\n".encode("cp949"), ["line 2", "CP949", "encoding: cp949"]),
        ((HEADER + "1\t가\t0\n").encode("utf-16"), ["line 1", "UTF-16", "encoding: utf-16"]),
        (HEADER.encode() + "1\t가\t0\n2\t나".encode() + b"\xff\xff\t0\n", ["line 3", "not UTF-8"]),
    ],
)
def test_broken_tables(path: Path, content: str | bytes, words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        read_labelled(write(path, content), CORPUS)
    message = str(refused.value)
    assert "\n" not in message
    assert all(word in message for word in [str(path), *words]), message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["there are no rows"]),
        ('{"text": "가", "label": 1}\n{"text": \n', ["line 2", "not JSON"]),
        ('{"text": "가", "label": 1}\n["나", 0]\n', ["line 2", "not a JSON object", "list"]),
        ('{"text": "가", "label": 1}\n{"text": 3, "label": 1}\n', ["line 2", "text", "int"]),
        ('{"text": "가", "label": 1}\n{"label": 1}\n', ["line 2", "no column 'text'", "label"]),
    ],
)
def test_broken_json_lines(tmp_path: Path, content: str, words: list[str]) -> None:
    path = write(tmp_path / "rows.jsonl", content)
    with pytest.raises(UserError) as refused:
        read_labelled(path, replace(CORPUS, format="jsonl", id_column=None))
    message = str(refused.value)
    assert all(word in message for word in [str(path), *words]), message


def test_broken_parquet(tmp_path: Path) -> None:
    corpus = replace(CORPUS, format="parquet", id_column=None)
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_labelled(write(tmp_path / "rows.parquet", "no parquet"), corpus)
    pyarrow.parquet.write_table(pyarrow.table({"text": [1], "label": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="row 1: the text is not a text but int"):
        read_labelled(tmp_path / "rows.parquet", corpus)


def test_broken_folders(tmp_path: Path) -> None:
    corpus = folders(tmp_path)
    with pytest.raises(UserError, match="neutral: there is no such folder"):
        read_labelled(tmp_path, replace(corpus, labels=[Label("neutral", "neutral"), Label("neg", "negative")]))
    write(tmp_path / "neg" / "3_1.txt", "first\n나쁜 영화".encode("cp949"))
    with pytest.raises(UserError, match=r"3_1\.txt, line 2.*CP949"):
        read_labelled(tmp_path, corpus)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
    with pytest.raises(UserError, match="there are no texts"):
        read_labelled(tmp_path, replace(corpus, labels=[Label("a", "a"), Label("b", "b")]))


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet", "folders"])
def test_missing_files(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(UserError, match=r"nowhere.*: there is no such (file|folder)"):
        read_labelled(tmp_path / "nowhere", replace(CORPUS, format=kind))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.csv", "title,stars\n가,1\n", ["title, stars", "--data.corpus.text_column"]),
        ("in.csv", "", ["there are no rows"]),
        ("in.txt", "", ["there are no rows"]),
        ("in.xlsx", "", ["txt, tsv, csv, jsonl, parquet"]),
        ("in.txt", "first\n재미있는 영화".encode("cp949"), ["line 2", "--data.encoding cp949"]),
    ],
)
def test_texts_that_cannot_be_read(tmp_path: Path, name: str, content: str | bytes, words: list[str]) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as refused:
        read_texts(str(path), NSMC)
    assert all(word in str(refused.value) for word in [str(path), *words])


def test_no_such_texts(tmp_path: Path) -> None:
    for name in ("in.txt", "in.csv", "in.jsonl", "in.parquet"):
        with pytest.raises(UserError, match="no such file"):
            read_texts(str(tmp_path / name), CORPUS)


def test_standard_input_that_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "first\n재미있는 영화\n".encode("cp949")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(UserError, match=r"standard input, line 2.*CP949"):
        read_texts("-", CORPUS)


# Real files


@pytest.mark.parametrize(
    ("name", "corpus"),
    [
        ("nsmc/ratings_train.txt", NSMC),
        ("nsmc/ratings_test.txt", NSMC),
        (
            "corpora/korean-hate-speech/train.tsv",
            replace(NSMC, text_column="comments", label_column="hate", id_column=None),
        ),
        (
            "corpora/korean-hate-speech/dev.tsv",
            replace(NSMC, text_column="comments", label_column="hate", id_column=None),
        ),
        ("corpora/sae4k/sae4k_v1.txt", replace(NSMC, text_column=0, label_column=2, id_column=None, header=False)),
    ],
)
def test_rows_are_those_of_pandas(name: str, corpus: Corpus, shared: Path) -> None:
    frame = read_labelled(shared / name, corpus)
    expected = pd.read_csv(
        shared / name,
        sep="\t",
        dtype=str,
        keep_default_na=False,
        header=0 if corpus.header else None,
        encoding="utf-8-sig",
    )
    columns = {"text": corpus.text_column, "label": corpus.label_column, "id": corpus.id_column}
    for ours, theirs in columns.items():
        if theirs is not None:
            assert [value or "" for value in frame[ours]] == expected[theirs].tolist()
    assert frame["line"].tolist() == list(range(1 + corpus.header, len(frame) + 1 + corpus.header))


def test_no_published_text_is_read_as_missing(shared: Path) -> None:
    """pandas' own list of words for missing values makes no difference in NSMC."""
    for name, with_text in {"ratings_train.txt": 149_995, "ratings_test.txt": 49_997}.items():
        assert read_labelled(shared / "nsmc" / name, NSMC)["text"].notna().sum() == with_text
        assert pd.read_csv(shared / "nsmc" / name, sep="\t")["document"].notna().sum() == with_text
