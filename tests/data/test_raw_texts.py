"""Raw texts: what may be learnt from, and what is left out."""

from pathlib import Path

import pandas as pd
import pytest

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.data.raw_corpus import RawCorpus
from nsmc_lightning.data.raw_texts import RawTexts
from nsmc_lightning.errors import UserError

LABELLED = Corpus(
    name="own",
    train=Source("train.tsv"),
    dev=Source("dev.tsv"),
    test=Source("test.tsv"),
    labels=[Label("0", "negative"), Label("1", "positive")],
    id_column="id",
)
RAW = RawCorpus("raw.csv", id_column="id", rating_column="stars")


def texts(folder: Path, raw: pd.DataFrame, corpus: RawCorpus = RAW, val_texts: int = 1) -> RawTexts:
    raw.to_csv(folder / corpus.file, index=False)
    parts = {"train": ["배운 것", "또 배운 것"], "dev": ["고를 것", "둘째"], "test": ["잴 것!", "끝"]}
    for number, (part, rows) in enumerate(parts.items()):
        table = pd.DataFrame({"id": [f"{number}{i}" for i in range(2)], "text": rows, "label": [0, 1]})
        table.to_csv(folder / f"{part}.tsv", sep="\t", index=False)
    exclude = Parts(LABELLED, folder, folder, 0.1, 0, None, "utf-8", "error")
    return RawTexts(lambda: folder / corpus.file, corpus, exclude, val_texts)


def table(*rows: tuple[object, object, object]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["id", "text", "stars"])


def test_rows_of_test_and_dev_are_left_out_by_id_and_by_text(tmp_path: Path) -> None:
    raw = table(
        ("20", "새 글자로 쓴 시험 글", 1),  # the id of a test row
        ("x1", "잴 것...", 2),  # a test text, but for its punctuation
        ("11", "dev의 번호", 3),
        ("x2", " 고를것", 4),
        ("00", "배운 것", 5),  # train may be learnt from
        ("x3", "   ", 6),
        ("x4", "새 글 하나", 10),
        ("x5", "새 글 둘", 1),
    )
    found = texts(tmp_path, raw)
    assert sorted([*found.rows("train")["text"], *found.rows("dev")["text"]]) == ["배운 것", "새 글 둘", "새 글 하나"]
    assert found.counts == {
        "rows in": 8,
        "no text": 1,
        "ids of test": 1,
        "texts of test": 1,
        "ids of dev": 1,
        "texts of dev": 1,
        "rows out": 3,
    }


def test_no_copy_of_a_text_held_out_is_trained_on(tmp_path: Path) -> None:
    raw = table(*((f"r{i}", f"글{i % 20}{'!' * (i % 3)}", i % 10) for i in range(200)))
    found = texts(tmp_path, raw, val_texts=5)
    train, dev = ({text.strip("!") for text in found.rows(part)["text"]} for part in ("train", "dev"))
    assert len(found.rows("dev")) == len(dev) == 5
    assert len(train) == 15
    assert not train & dev
    assert len(found.rows("train")) == 150


def test_ratings_are_scaled_and_may_be_missing(tmp_path: Path) -> None:
    raw = table(("a", "하나", 1), ("b", "둘", 10), ("c", "셋", None), ("d", "넷", 5.5))
    found = texts(tmp_path, raw)
    both = pd.concat([found.rows("train"), found.rows("dev")]).set_index("text")["rating"]
    assert both[["하나", "둘", "넷"]].tolist() == [0, 1, 0.5]
    assert pd.isna(both["셋"])
    assert both.dtype == "float32"


def test_a_file_of_lines_has_neither_ids_nor_ratings(tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text("하나\n\n둘\n", encoding="utf-8")
    found = RawTexts(lambda: tmp_path / "raw.txt", RawCorpus("raw.txt"), None, 1)
    assert found.rows("train")["rating"].isna().all()
    assert found.counts == {"rows in": 3, "no text": 1, "rows out": 2}


@pytest.mark.parametrize(
    ("stars", "val_texts", "words"),
    [
        (["1", "많이"], 1, "stars is not all numbers"),
        (["3", "3"], 1, "stars has no two different ratings"),
        (["1", "2"], 2, "--data.val_texts"),
    ],
)
def test_what_cannot_be_learnt_from(tmp_path: Path, stars: list[str], val_texts: int, words: str) -> None:
    raw = table(("a", "하나", stars[0]), ("b", "둘", stars[1]))
    with pytest.raises(UserError, match=words):
        texts(tmp_path, raw, val_texts=val_texts).rows("train")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rating_column"):
        texts(tmp_path, pd.DataFrame({"id": ["a"], "text": ["하나"]})).rows("train")
