"""The command audit: its keys, its checkpoint and what it prints and writes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from nsmc_lightning.classifier import Classifier
from nsmc_lightning.cli import main
from nsmc_lightning.data.demo.grammar import write_demo
from nsmc_lightning.files import default_cache_dir

ROOT = Path(__file__).resolve().parents[2]
EARLIER = ROOT / "tests" / "checkpoints" / "6252e12.ckpt"
CORPUS = """\
name: own
train: { file: train.csv }
test: { file: test.csv }
format: csv
labels:
  - { value: "0", name: negative }
  - { value: "1", name: positive }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for part, count in (("train", 60), ("test", 20)):
        texts = [f"{'재미있다' if i % 2 else '지루하다'} {part} {i}" for i in range(count)]
        pd.DataFrame({"text": texts, "label": [i % 2 for i in range(count)]}).to_csv(tmp_path / f"{part}.csv")
    (tmp_path / "own.yaml").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "data: { corpus: own.yaml, max_length: 6, batch_size: 4 }\nmodel:\n  lr: 1.0e-3\n"
        "  backbone: { model_type: bert, vocab_size: 60 }\ntrainer: { max_epochs: 2 }\noutput: predictions.csv\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_gives_corpus_tokenizer_and_length(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["audit", "--config=recipe.yaml", "--data.data_dir", str(folder), "--data.dev_fraction=0.2"])
    output = folder / "lightning_logs" / "audit" / "own"
    figures = json.loads((output / "audit.json").read_text(encoding="utf-8"))
    assert figures["parts"]["test"]["rows"] == 20
    assert figures["parts"]["train"]["tokens"]["max_length"] == 6
    assert figures["baseline"]["rows"] == 12
    tables = {path.stem for path in output.glob("*.tsv")}
    assert tables == {"damaged", "duplicates", "near_duplicates", "conflicts", "leaks", "suspects"}
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    for words in ("60", "cut at 6 tokens", "12 rows of dev", "chosen on dev", "lightning_logs/audit/own"):
        assert words in printed
    assert not (folder / "predictions.csv").exists()


def test_a_broken_corpus_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["audit", "--data.corpus=own.yaml", "--data.data_dir=.", "--output=out"]
    main([*args, "--data.corpus.labels=[{value: a, name: a}, {value: b, name: b}]"])
    printed = capsys.readouterr().out
    assert "train: labels outside the corpus's set: '0' (30), '1' (30)" in printed
    assert "no baseline and no suspects: " in printed


def test_a_checkpoint_brings_its_corpus_and_finds_suspects_if_it_is_good_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsmc_lightning.evaluation.baseline.LONGEST_NGRAMS", (3,))
    monkeypatch.setattr("nsmc_lightning.evaluation.baseline.COSTS", (8.0,))
    write_demo(default_cache_dir() / "demo")
    main(["audit", f"--ckpt_path={EARLIER}", f"--output={tmp_path / 'out'}"])
    figures = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert figures["corpus"] == "demo"
    assert figures["parts"]["train"]["tokens"]["max_length"] == 40
    by = {part: each["by"] for part, each in figures["suspects"].items()}
    assert by == {"train": "baseline, cross-validated", "dev": "baseline", "test": "baseline"}  # it hardly learnt

    texts = pd.concat(
        [pd.read_csv(default_cache_dir() / "demo" / f"{part}.tsv", sep="\t", dtype=str) for part in ("dev", "test")]
    )
    labels = texts.set_index("document")["label"].astype(int).to_dict()

    def knows_all(self: Classifier, given: list[str]) -> object:
        import torch

        right = torch.tensor([labels[text] for text in given])
        return torch.nn.functional.one_hot(right, 2).float()

    monkeypatch.setattr(Classifier, "probabilities", knows_all)
    main(["audit", f"--ckpt_path={EARLIER}", f"--output={tmp_path / 'out'}"])
    figures = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert figures["suspects"]["test"] == {"by": "checkpoint", "rows": 1000, "suspects": 0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.data_di=x"], "did you mean --data.data_dir?"),
        (["--data.batch_size=3"], "audit does not use --data.batch_size"),
        (["--trainer.max_epochs=3"], "audit does not use --trainer.max_epochs"),
        (["--data.tokenizer=x"], "--data.tokenizer follows from --model.backbone"),
        (["--config={data: {max_lenght: 3}}"], "did you mean data.max_length?"),
        (["--config=configs/kleu.yaml"], "configs/klue.yaml"),
        (["--data.max_length=0"], "data.max_length 0"),
        (["--data.data_dir=nowhere"], "ratings_train.txt"),
        (["--ckpt_path=none.ckpt"], "--ckpt_path none.ckpt"),
        ([f"--ckpt_path={EARLIER}", "--data.split_seed=1"], "data.split_seed is 1"),
        ([f"--ckpt_path={EARLIER}", "--model.backbone=x"], "model.backbone is 'x'"),
        (["--data.corpus=own.yaml", "--data.data_dir=.", "--output=."], "--output"),
    ],
    ids=lambda value: value[-1].partition("=")[0] if isinstance(value, list) else "",
)
def test_mistakes(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["audit", *words])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
