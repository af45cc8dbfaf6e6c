"""The corpora in configs/corpus describe the published files correctly."""

import hashlib
import re
from pathlib import Path

import pandas as pd
import pytest
from jsonargparse import ArgumentParser

from nsmc_lightning.data.clean import has_text
from nsmc_lightning.data.corpus import NSMC, Corpus, Label, Source
from nsmc_lightning.data.download import fetch
from nsmc_lightning.data.read import read_labelled
from nsmc_lightning.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "corpus"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_raw"))  # test_raw_corpus.py
FOLDERS = {"nsmc": "nsmc", "korean_hate_speech": "corpora/korean-hate-speech", "sae4k": "corpora/sae4k"}


def load(name: str) -> Corpus:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--corpus", type=Corpus)
    corpus = parser.instantiate(parser.parse_args([f"--corpus={FOLDER / name}.yaml"])).corpus
    assert isinstance(corpus, Corpus)
    return corpus


def sources(corpus: Corpus) -> list[Source]:
    return [source for source in (corpus.train, corpus.dev, corpus.test) if source is not None]


def test_all_corpora_are_present() -> None:
    assert NAMES == ["3i4k", "demo", "imdb", "korean_hate_speech", "korean_sarcasm", "nsmc", "sae4k"]


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_complete(name: str) -> None:
    corpus = load(name)
    assert corpus.name == name.replace("_", "-")
    assert corpus.licence
    assert corpus.num_labels >= 2
    for spelling in ("value", "name", "korean"):
        words = [getattr(label, spelling) for label in corpus.labels]
        assert len(set(words)) == len(words)
        assert all(words)
    assert isinstance(corpus.text_column, str) == corpus.header == isinstance(corpus.label_column, str)
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_a_corpus_names_one_version_of_its_files(name: str) -> None:
    for source in sources(load(name)):
        assert source.url
        assert re.fullmatch("[0-9a-f]{64}", source.sha256 or "")
        assert source.url.endswith(f"/{source.archive or source.file}")
        if source.archive is None:
            assert re.match(r"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{40}/", source.url)


def test_the_example_is_the_default() -> None:
    assert load("nsmc") == NSMC


@pytest.mark.parametrize("name", FOLDERS)
def test_checksums_are_those_of_the_published_files(name: str, shared: Path) -> None:
    for source in sources(load(name)):
        path = fetch(source, shared / FOLDERS[name], name, Path("unused"))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256


def test_checksums_are_those_of_the_list(shared: Path) -> None:
    """Also for corpora whose files are not available here."""
    lines = (shared / "corpora" / "SHA256SUMS").read_text().splitlines()
    listed = {file: checksum for checksum, file in map(str.split, lines)}
    for name in ("3i4k", "korean_hate_speech", "korean_sarcasm", "sae4k"):
        corpus = load(name)
        for source in sources(corpus):
            assert listed[f"{corpus.name}/{source.file}"] == source.sha256


# Rows of the real files


def read(name: str, source: Source | None, directory: Path) -> pd.DataFrame:
    corpus = load(name)
    assert source is not None
    frame = read_labelled(fetch(source, directory, corpus.name, Path("unused")), corpus)
    assert set(frame["label"]) == {label.value for label in corpus.labels}
    return frame


def test_nsmc(shared: Path) -> None:
    train, test = (read("nsmc", source, shared / "nsmc") for source in (NSMC.train, NSMC.test))
    assert (len(train), has_text(train).sum(), train["text"].nunique()) == (150_000, 149_995, 146_182)
    assert (len(test), has_text(test).sum(), test["text"].nunique()) == (50_000, 49_997, 49_157)
    assert train.loc[has_text(train), "label"].value_counts().to_dict() == {"0": 75_170, "1": 74_825}
    assert train["id"].is_unique


def test_korean_hate_speech(shared: Path) -> None:
    corpus = load("korean_hate_speech")
    train, test = (read("korean_hate_speech", part, shared / FOLDERS["korean_hate_speech"]) for part in sources(corpus))
    assert train["label"].value_counts().to_dict() == {"none": 3486, "offensive": 2499, "hate": 1911}
    assert test["label"].value_counts().to_dict() == {"none": 160, "offensive": 189, "hate": 122}
    assert has_text(train).all()
    assert has_text(test).all()


def test_sae4k(shared: Path) -> None:
    corpus = load("sae4k")
    assert corpus.test is None
    frame = read("sae4k", corpus.train, shared / "corpora" / "sae4k")
    counts = {"0": 5718, "1": 227, "2": 11_924, "3": 477, "4": 12_369, "5": 122}
    assert frame["label"].value_counts().to_dict() == counts
    assert has_text(frame).all()
    assert not frame["text"].str.contains("\ufeff|\r|\t").any()


def test_imdb_sample(shared: Path) -> None:
    corpus = load("imdb")
    for source in sources(corpus):
        frame = read("imdb", source, shared / "corpora")
        assert frame["label"].value_counts().to_dict() == {"neg": 50, "pos": 50}
        assert frame["id"].is_unique
        numbers = [int(name.split("/")[1].split("_")[0]) for name in frame.loc[frame["label"] == "neg", "id"]]
        assert numbers == sorted(numbers)
        file = shared / "corpora" / source.file / f"{frame['id'][7]}.txt"
        assert frame["text"][7].encode() == file.read_bytes()


@pytest.mark.parametrize("values", [["1"], ["1", "1"]])
def test_labels_must_be_two_or_more_and_different(values: list[str]) -> None:
    with pytest.raises(UserError, match="two or more different values"):
        Corpus("own", Source("train.tsv"), [Label(value, f"name {i}") for i, value in enumerate(values)])


LABELS = [Label("0", "bad"), Label("1", "good")]


@pytest.mark.parametrize("path", ["/x", "../x", "a/../../x", "a\\..\\..\\x", "C:x", "\\x", "", "."])
def test_a_download_stays_in_the_cache(path: str) -> None:
    """A corpus may come from someone else, for example in a checkpoint."""
    with pytest.raises(UserError, match=r"corpus\.name"):
        Corpus(path, Source("train.tsv"), LABELS)
    with pytest.raises(UserError, match=r"test\.file"):
        Corpus("own", Source("train.tsv"), LABELS, test=Source(path, "http://127.0.0.1/x"))
    with pytest.raises(UserError, match=r"train\.archive"):
        Corpus("own", Source("train.tsv", "http://127.0.0.1/x", archive=path), LABELS)
    Corpus("own", Source(path), LABELS)  # the user's own file, which is only read


def test_a_file_may_lie_in_a_folder_below_the_cache_and_a_name_is_one_folder() -> None:
    Corpus("own", Source("a/train..tsv", "http://127.0.0.1/x"), LABELS)
    with pytest.raises(UserError, match=r"corpus.name 'a/b'"):
        Corpus("a/b", Source("train.tsv"), LABELS)
