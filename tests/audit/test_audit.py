"""What an audit finds: planted cases, each in its place, and the known figures of NSMC."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nsmc_lightning.audit.audit import Audit, Model, audit, examine
from nsmc_lightning.audit.folder import write as write_folder
from nsmc_lightning.audit.report import report_of
from nsmc_lightning.data.corpus import NSMC, Corpus, Label, Source
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.errors import UserError

LABELS = [Label("0", "negative"), Label("1", "positive")]
LONG = "이 영화는 처음부터 끝까지 정말 재미있게 보았습니다 강력 추천합니다"
TRAIN = [
    ("a0", "재미있다", "1"),
    ("a1", "재미있다", "1"),  # exact duplicate
    ("a2", "재미 있다!!", "1"),  # normalised duplicate
    ("a3", "그냥 그렇다", "1"),
    ("a4", "그냥 그렇다", "0"),  # conflict
    ("a5", "그냥 그렇다", "0"),
    ("a6", LONG, "1"),
    ("a7", f"{LONG} 꼭", "1"),  # near duplicate
    ("a8", "", "1"),  # no text
    ("a9", "별로였다", "2"),  # label outside the set
    ("a10", "좋았다", ""),  # no label
    ("a11", unicodedata.normalize("NFD", "한글"), "0"),
    ("a12", '"그는 ""최고""다"', "1"),  # a second layer of quotes
    ("a13", '"명작"', "1"),  # the author's own
]
TEST = [
    ("b0", "재미있다", "1"),  # exact leak, same label
    ("b1", "그냥그렇다", "1"),  # normalised leak; most of train has 0
    ("b2", f"{LONG} 꼭꼭", "0"),  # near leak, other label
    ("b3", "처음 보는 글", "0"),
    ("b4", "처음 보는 글", "1"),  # conflict: one forced error
]


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    quoted = [(number, text.replace('"', '""'), label) for number, text, label in rows]
    lines = [f'{number}\t"{text}"\t{label}' for number, text, label in quoted]
    path.write_text("\n".join(["id\ttext\tlabel", *lines]), encoding="utf-8")


def parts_of(folder: Path, **changes: Any) -> Parts:
    settings = {"test": Source("test.tsv"), "id_column": "id", "repair_quotes": True, **changes}
    corpus = Corpus("own", Source("train.tsv", sha256="0" * 64), LABELS, **settings)
    return Parts(corpus, folder, folder / "cache", 0.2, 42, None, "utf-8", "error")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("planted")
    write(folder / "train.tsv", TRAIN)
    write(folder / "test.tsv", TEST)
    return examine(parts_of(folder), Model(128))


def ids(table: pd.DataFrame, part: str, **values: str) -> list[str]:
    chosen = table[table["part"] == part]
    for column, value in values.items():
        chosen = chosen[chosen[column] == value]
    return sorted(chosen["id"], key=lambda each: int(each[1:]))


def test_damaged_rows_are_counted_and_listed(found: Audit) -> None:
    train, table = found.figures["parts"]["train"], found.tables["damaged"]
    assert (train["rows"], train["rows_with_text"], train["without_text"]) == (14, 13, 1)
    assert train["labels_outside"] == {"2": 1, "(none)": 1}
    assert train["rows_per_label"] == {"negative": 3, "positive": 8}
    assert (train["quotes"], train["quotes_repairable"], train["not_nfc"]) == (2, 1, 1)
    for reason, expected in (
        ("no text", ["a8"]),
        ("label outside the corpus's set", ["a9", "a10"]),
        ("doubled or wrapping quotes", ["a12", "a13"]),
        ("a second layer of quotes", ["a12"]),
        ("not NFC", ["a11"]),
    ):
        assert ids(table, "train", reason=reason) == expected
    assert not ids(table, "test")
    assert table.set_index("id").loc["a9", "line"] == 11


def test_repeated_texts_are_counted_and_listed(found: Audit) -> None:
    train, test = (found.figures["parts"][part] for part in ("train", "test"))
    assert train["duplicates"] == {"exact": 3, "normalised": 4, "near": 2}
    assert train["conflicts"]["exact"] == {"texts": 1, "rows": 3, "forced_errors": 1}
    assert test["conflicts"]["normalised"] == {"texts": 1, "rows": 2, "forced_errors": 1}
    tables = found.tables
    assert ids(tables["duplicates"], "train", kind="exact") == ["a0", "a1", "a3", "a4", "a5"]
    assert ids(tables["duplicates"], "train", kind="normalised") == ["a2"]
    assert tables["duplicates"].set_index("id").loc[["a0", "a1", "a2"], "group"].nunique() == 1
    assert ids(tables["conflicts"], "train") == ["a3", "a4", "a5"]
    assert ids(tables["conflicts"], "test") == ["b3", "b4"]
    near = tables["near_duplicates"].set_index("id")
    assert near.loc["a6", "similar_id"] == "a7"
    assert near.loc["a7", "similar_id"] == "a6"


def test_texts_of_test_that_train_has_are_counted_and_listed(found: Audit) -> None:
    leaks = found.figures["parts"]["test"]["leaks"]["train"]
    assert leaks["exact"] == {"rows": 1, "share": 0.2, "label_agreement": 1}
    assert leaks["normalised"] == {"rows": 2, "share": 0.4, "label_agreement": 0.5}
    assert leaks["near"] == {"rows": 3, "share": 0.6, "label_agreement": pytest.approx(1 / 3)}
    table = found.tables["leaks"].set_index("id")
    assert table["kind"].to_dict() == {"b0": "exact", "b1": "normalised", "b2": "near"}
    assert table["earlier_id"].to_dict() == {"b0": "a0", "b1": "a3", "b2": "a7"}
    assert table.loc["b2", "similarity"] > 0.8


def test_checksums_are_compared_with_the_published_ones(found: Audit) -> None:
    assert found.figures["parts"]["train"]["as_published"] is False
    assert found.figures["parts"]["test"]["as_published"] is None


def test_lengths_and_tokens(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", [("a0", "가나", "0"), ("a1", "가 나 다", "1"), ("a2", "가 쀍", "1")])
    write(tmp_path / "test.tsv", [("b0", '"가 ""나"""', "1")])
    tokenizer = train_tokenizer(["가 나 다 가나"] * 5, 40)
    found = examine(parts_of(tmp_path), Model(4, tokenizer))
    train = found.figures["parts"]["train"]
    assert train["characters"]["histogram"] == {2: 1, 3: 1, 5: 1}
    assert train["tokens"]["histogram"] == {3: 1, 4: 1, 5: 1}  # with [CLS] and [SEP]
    assert train["tokens"]["unknown_share"] == pytest.approx(1 / 6)
    assert train["tokens"]["cut_share"] == pytest.approx(1 / 3)
    test = found.figures["parts"]["test"]
    assert test["characters"]["longest"] == 9  # as published
    assert test["tokens"]["longest"] == len(tokenizer('가 "나"')["input_ids"])  # as a model gets it


def easy(count: int, part: str) -> list[tuple[str, str, str]]:
    words = ("지루하다", "재미있다")
    return [(f"{part}{i}", f"{words[i % 2]} {part}{i} 편", str(i % 2)) for i in range(count)]


def test_planted_label_errors_are_the_first_suspects(tmp_path: Path) -> None:
    rows = easy(200, "a")
    wrong = {rows[i][0] for i in (3, 50, 121)}
    flipped = [(number, text, str(1 - int(label)) if number in wrong else label) for number, text, label in rows]
    write(tmp_path / "train.tsv", flipped)
    write(tmp_path / "test.tsv", [*easy(20, "b"), *((f"c{i}", f"재미있다 c{i} 편", "0") for i in range(6))])
    found = audit(parts_of(tmp_path), Model(128))
    table = found.tables["suspects"]
    listed = {part: rows["id"].tolist() for part, rows in table.groupby("part")}
    assert {*listed["train"], *listed.get("dev", [])} == wrong
    assert {each[0] for each in listed["test"]} == {"c"}
    first = table[table["part"] == "test"].iloc[0]
    assert (first["label"], first["suggested"], first["rank"]) == ("0", "1", 1)
    scored = found.figures["baseline"]
    assert (scored["rows"], scored["measured_on"], scored["chosen_on"]) == (40, "dev", "dev")
    assert found.figures["suspects"]["train"]["rows"] == 160


def test_a_corpus_that_cannot_be_trained_on_is_examined_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", [("a0", "가", "x"), ("a1", "나", "y")])
    write(tmp_path / "test.tsv", [("b0", "가", "x")])
    found = audit(parts_of(tmp_path), Model(128))
    assert found.figures["parts"]["train"]["labels_outside"] == {"x": 1, "y": 1}
    assert "dev_fraction" in found.figures["not_scored"]
    assert found.figures["parts"]["test"]["leaks"]["train"]["exact"]["rows"] == 1


def test_a_test_part_with_other_labels_is_not_judged(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", easy(60, "a"))
    write(tmp_path / "test.tsv", [*easy(10, "b"), ("b10", "글", "x")])
    assert set(audit(parts_of(tmp_path), Model(128)).figures["suspects"]) == {"train", "dev"}


def test_a_corpus_without_a_test_file_is_examined_as_it_is_split(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", [*easy(100, "a"), ("a100", "", "1")])
    figures = examine(parts_of(tmp_path, test=None), Model(128)).figures["parts"]
    assert (figures["train"]["rows"], figures["train"]["without_text"], figures["test"]["rows"]) == (91, 1, 10)


def test_half_of_a_surrogate_pair_is_written_as_a_question_mark(tmp_path: Path) -> None:
    for part in ("train", "test"):
        lines = [json.dumps({"text": f"\ud800 재미 {part}", "label": "0"}), '{"text": "글", "label": "\\udc00"}']
        (tmp_path / f"{part}.tsv").write_text("\n".join(lines), encoding="utf-8")
    found = audit(parts_of(tmp_path, format="jsonl", id_column=None), Model(128))
    assert found.figures["parts"]["test"]["leaks"]["train"]["exact"]["rows"] == 1
    write_folder(found, tmp_path / "out", 128)
    assert "글" in (tmp_path / "out" / "leaks.tsv").read_text(encoding="utf-8")
    assert "?" in (tmp_path / "out" / "audit.json").read_text(encoding="utf-8")
    report_of(found.figures).encode()


def test_a_corpus_without_any_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", [("a0", "", "0")])
    write(tmp_path / "test.tsv", [("b0", " ", "1")])
    with pytest.raises(UserError, match=r"own.*text_column"):
        examine(parts_of(tmp_path), Model(128))


def test_nsmc_has_the_known_figures(shared: Path, tmp_path: Path) -> None:
    parts = Parts(NSMC, shared / "nsmc", tmp_path, 0.1, 42, None, "utf-8", "error")
    figures = examine(parts, Model(128)).figures["parts"]
    train, test = figures["train"], figures["test"]
    assert (train["as_published"], test["as_published"]) == (True, True)
    assert (train["rows"], train["without_text"], test["rows"], test["without_text"]) == (150_000, 5, 50_000, 3)
    assert train["rows_per_label"] == {"negative": 75_170, "positive": 74_825}
    assert train["rows_with_text"] - train["duplicates"]["exact"] == 146_182
    assert test["rows_with_text"] - test["duplicates"]["exact"] == 49_157
    assert train["conflicts"]["exact"]["texts"] == 157
    assert test["conflicts"]["exact"]["forced_errors"] == 83  # and one in the three rows without text
    assert (train["quotes"], test["quotes"]) == (623, 233)
    leaks = test["leaks"]["train"]
    assert leaks["exact"]["rows"] == 1_568
    assert leaks["exact"]["label_agreement"] == pytest.approx(0.895, abs=5e-4)
    assert leaks["normalised"]["share"] == pytest.approx(0.0513, abs=5e-5)
    assert (round(train["characters"]["mean"]), train["characters"]["longest"]) == (35, 146)
