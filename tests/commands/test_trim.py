"""The command trim: from a backbone and texts to a folder that transformers loads and fit trains."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoModel, AutoTokenizer

from nsmc_lightning.cli import main
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.tokenizer import load_tokenizer, train_tokenizer
from tests.conftest import SMALL

CORPUS = {
    "name": "own",
    "train": {"file": "train.csv"},
    "test": {"file": "test.csv"},
    "format": "csv",
    "labels": [{"value": "0", "name": "negative"}, {"value": "1", "name": "positive"}],
    "licence": "CC0",
}


def write_corpus(folder: Path, **changes: Any) -> Path:
    for part in ("train", "test"):
        table = pd.DataFrame(demo_rows(part, 120, seed=0), columns=["id", "text", "label"])
        table.to_csv(folder / f"{part}.csv", index=False)
    (folder / "own.yaml").write_text(yaml.safe_dump({**CORPUS, **changes}), encoding="utf-8")
    return folder / "own.yaml"


def write_backbone(folder: Path) -> Path:
    """A random encoder with a vocabulary of words that the corpus has, and of words that it lacks."""
    texts = [row[1] for row in demo_rows("train", 400, seed=1)]
    tokenizer = train_tokenizer([*texts, *(f"낱말{number}" for number in range(100, 300) for _ in (1, 2))], 900)
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(**{**SMALL, "vocab_size": len(tokenizer) + 3})  # rows without a piece, as e5 has
    AutoModel.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# An encoder\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trim")
    write_backbone(folder / "backbone")
    write_corpus(folder)
    (folder / "more.txt").write_text("낱말123 낱말123\n", encoding="utf-8")
    return folder


def words(folder: Path, output: str, *more: str) -> list[str]:
    own = {"--backbone": folder / "backbone", "--corpus": folder / "own.yaml", "--data_dir": folder}
    return ["trim", *(str(word) for pair in own.items() for word in pair), "--output", str(folder / output), *more]


@pytest.fixture(scope="module")
def trimmed(folder: Path) -> Path:
    main(words(folder, "trimmed", "--texts", str(folder / "more.txt")))
    return folder / "trimmed"


def texts_of(folder: Path) -> list[str]:
    return [*pd.read_csv(folder / "train.csv")["text"], "낱말123 낱말123"]


def test_transformers_loads_it_and_it_computes_the_same(folder: Path, trimmed: Path) -> None:
    before, after = (AutoTokenizer.from_pretrained(path) for path in (folder / "backbone", trimmed))
    whole, cut = (
        AutoModel.from_pretrained(path, dtype=torch.float32).eval() for path in (folder / "backbone", trimmed)
    )
    assert len(after) == cut.config.vocab_size < len(before)
    for text in texts_of(folder)[-30:]:
        assert after.tokenize(text) == before.tokenize(text)
        expected = whole(**before(text, return_tensors="pt"))[0]
        torch.testing.assert_close(cut(**after(text, return_tensors="pt"))[0], expected, atol=1e-5, rtol=0)
    unused = {f"낱말{number}" for number in range(100, 300)} - {"낱말123"}
    assert not unused & after.get_vocab().keys()


def test_its_card_says_where_it_comes_from(folder: Path, trimmed: Path) -> None:
    text = (trimmed / "README.md").read_text(encoding="utf-8")
    assert ModelCard(text).data.to_dict() == {"license": "mit", "library_name": "transformers"}
    for file in ("train.csv", "more.txt"):
        assert f"| {file} | {hashlib.sha256((folder / file).read_bytes()).hexdigest()} |" in text
    assert "test.csv" not in text
    assert str(folder) not in text + (trimmed / "config.json").read_text(encoding="utf-8")
    assert "own (CC0)" in text
    assert len({path.stat().st_mode for path in trimmed.iterdir()}) == 1  # others may read the weights too
    pieces = [len(load_tokenizer(str(path))) for path in (folder / "backbone", trimmed)]
    assert [f"{number:,}" for number in pieces] == [cell.strip() for cell in text.split("| pieces")[1].split("|")[1:3]]


def test_the_printed_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(words(folder, "again"))
    printed = capsys.readouterr().out
    before, after = load_tokenizer(str(folder / "backbone")), load_tokenizer(str(folder / "again"))
    weights = sum(tensor.numel() for tensor in AutoModel.from_pretrained(folder / "again").parameters())
    test = pd.read_csv(folder / "test.csv")["text"]
    different = sum(before.tokenize(text) != after.tokenize(text) for text in test)
    assert different > 0  # nothing was taken from test
    assert f"{weights:,}" in printed
    assert f"Of the 120 texts of the test part, {different} ({different / 120:.2%}) are split otherwise." in printed
    assert f"{len(set(pd.read_csv(folder / 'train.csv')['text']))} texts were read" in printed


def test_a_corpus_without_a_test_file_measures_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path, test=None)
    (tmp_path / "test.csv").unlink()
    (tmp_path / "out").mkdir()  # an empty folder may be there
    args = ["--backbone", str(folder / "backbone"), "--corpus", str(corpus), "--data_dir", str(tmp_path)]
    monkeypatch.chdir(tmp_path / "out")
    main(["trim", *args, "--output", "."])
    assert "test part" not in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"),
    }


@pytest.mark.parametrize("name", ["kobert", "klue"])
def test_published_vocabularies(shared: Path, folder: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.mkdir()
    for file in (shared / "tokenizers" / name).iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    tokenizer = load_tokenizer(str(source))
    config = {**SMALL, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    AutoModel.from_config(AutoConfig.for_model(**config)).save_pretrained(source)
    args = ["--corpus", str(folder / "own.yaml"), "--data_dir", str(folder), "--output", str(tmp_path / "out")]
    main(["trim", "--backbone", str(source), *args])
    after = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert len(after) < len(tokenizer)
    for text in texts_of(folder)[:100]:
        assert after.convert_ids_to_tokens(after(text)["input_ids"]) == tokenizer.convert_ids_to_tokens(
            tokenizer(text)["input_ids"]
        )
    assert AutoConfig.from_pretrained(tmp_path / "out").pad_token_id == after.pad_token_id


# Mistakes


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error[error.index("error:") :].strip().splitlines()) <= 2
    return error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--backbone", "runs/best.ckpt"], "--backbone runs/best.ckpt: a checkpoint.*\n.*hub id or a folder"),
        (["--backbone", "nowhere/at all"], "--backbone FOLDER"),
        (["--corpus", "none.yaml"], "--corpus none.yaml: there is no such file.\nThe package ships configs/corpus"),
        (["--corpus", "{name: own}"], "--corpus {name: own}: lacks train.file, labels"),
        (["--corpus", "{name: own, label: a}"], "there is no key label"),
        (["--corpus", "{train: {file: a}, format: xls}"], "format xls: give one of tsv"),
        (["--data_dir", "nowhere"], r"train\.csv: there is no such file; --data_dir"),
        (["--texts", "none.csv"], "--texts none.csv: there is no such file"),
        (["--unknown", "1"], "trim: unrecognized arguments"),
    ],
)
def test_mistakes_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    assert re.search(message, refused(words(folder, "new", *change), capsys))
    assert not (folder / "new").exists()


def test_a_folder_with_files_is_not_written_to(folder: Path, trimmed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trimmed / "config.json").read_bytes()
    assert "--output" in refused(words(folder, "trimmed"), capsys)
    assert (trimmed / "config.json").read_bytes() == before
    assert "more.txt: exists" in refused(words(folder, "more.txt"), capsys)
    assert "more.txt/new: cannot be written" in refused(words(folder, "more.txt/new"), capsys)


def test_nothing_is_taken_from_a_copy_of_the_test_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy.csv").write_bytes((folder / "test.csv").read_bytes())
    assert "copy.csv: the corpus's test part" in refused(
        words(folder, "new", "--texts", str(tmp_path / "copy.csv")), capsys
    )


def test_files_that_cannot_be_used_are_named_by_the_options_of_trim(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cp949.txt").write_bytes("재미 있다".encode("cp949"))
    assert "iconv -f cp949" in refused(words(folder, "new", "--texts", str(tmp_path / "cp949.txt")), capsys)
    (tmp_path / "own.csv").write_text("body\n좋다\n", encoding="utf-8")
    assert "--text_column" in refused(words(folder, "new", "--texts", str(tmp_path / "own.csv")), capsys)
    corpus = write_corpus(tmp_path, text_column="body")
    error = refused(words(folder, "new", "--corpus", str(corpus)), capsys)
    assert "the corpus's text_column" in error
    assert "--data." not in error
    assert not list(folder.glob(".new-*"))


def test_tokenizers_of_merges_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((folder / "backbone" / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"] = {"type": "BPE", "vocab": content["model"]["vocab"], "merges": [], "unk_token": "[UNK]"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    error = refused(words(folder, "new", "--backbone", str(tmp_path)), capsys)
    assert "BPE" in error
    assert "Unigram" in error
