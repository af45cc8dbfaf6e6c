"""The command export: from a run's checkpoint to a folder that transformers alone loads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.classifier import Classifier
from nsmc_lightning.cli import main
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.tokenizer import load_tokenizer, train_tokenizer
from nsmc_lightning.export import folder as export_folder
from tests.conftest import ROOT, SMALL

EARLIER = ROOT / "tests" / "checkpoints" / "6252e12.ckpt"  # of pooling cls
MAX_LENGTH = 24
PIPELINE = """
import json, sys
from transformers import pipeline
texts = json.load(sys.stdin)
classify = pipeline("text-classification", sys.argv[1], device="cpu")
found = classify(texts, truncation=True, top_k=None)
assert not any(name.startswith("nsmc_lightning") for name in sys.modules)
print(json.dumps([{each["label"]: each["score"] for each in row} for row in found]))
"""


def fit(folder: Path, name: str, data: dict[str, Any], model: dict[str, Any], *flags: str) -> Path:
    """Train for some steps, and return the run's folder."""
    data = {"cache_dir": str(folder / "cache"), "max_length": MAX_LENGTH, **data}
    trainer = {"max_steps": 5, "limit_val_batches": 3}
    settings = {"data": data, "model": {"lr": 0.003, **model}, "trainer": trainer, "log_dir": str(folder / "logs")}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    main(["fit", "--config", str(folder / f"{name}.yaml"), *flags])
    return folder / "logs" / name / "version_0"


def own_corpus(folder: Path, names: dict[str, str]) -> dict[str, Any]:
    """The settings of a small corpus whose labels have these names, by their values in its file."""
    rows = pd.DataFrame(demo_rows("train", 300, seed=2), columns=["id", "text", "label"])
    rows["label"] = [[*names][i % len(names)] for i in range(len(rows))]
    rows.to_csv(folder / f"{len(names)}.csv", index=False)
    labels = [{"value": value, "name": name} for value, name in names.items()]
    corpus = {"name": "own", "format": "csv", "train": {"file": f"{len(names)}.csv"}, "labels": labels}
    return {"corpus": corpus, "data_dir": str(folder)}


def export(run: Path, output: Path, *flags: str) -> Path:
    main(["export", "--ckpt_path", str(run), "--output", str(output), *flags])
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    data = {"corpus": str(ROOT / "configs" / "corpus" / "demo.yaml")}
    return fit(folder, "own-head", data, {"backbone": SMALL, "pooling": "head"}, "--trainer.max_steps=200")


@pytest.fixture(scope="module")
def exported(run: Path, folder: Path) -> Path:
    return export(run, folder / "demo-classifier")


def reviews(number: int) -> list[str]:
    """Generated reviews, some of them longer than the model takes, and some with blanks around them."""
    texts = [text for _, text, _ in demo_rows("test", number, seed=3)]
    return [f"  {text} " if i % 7 == 0 else " ".join(texts[i : i + 5]) if i % 5 == 0 else text
            for i, text in enumerate(texts)]  # fmt: skip


def from_pipeline(folder: Path, texts: list[str]) -> pd.DataFrame:
    """Probabilities by label, from transformers' pipeline."""
    classify = transformers.pipeline("text-classification", str(folder), device="cpu")
    found = classify(texts, truncation=True, top_k=None)
    return pd.DataFrame([{each["label"]: each["score"] for each in row} for row in found])


def from_a_process_of_its_own(folder: Path, texts: list[str]) -> pd.DataFrame:
    """The same in a process that does not import this package, nor code of the folder's."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, folder.name],
        input=json.dumps(texts), cwd=folder.parent, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return pd.DataFrame(json.loads(done.stdout))


def largest_difference(output: Path, checkpoint: Path) -> float:
    """Between the probabilities of a folder and of its checkpoint, for some reviews."""
    classifier = Classifier(str(checkpoint))
    ours = classifier.probabilities(reviews(40))
    theirs = from_pipeline(output, reviews(40))[[label.name for label in classifier.labels]]
    return float((torch.tensor(theirs.to_numpy().copy()) - ours).abs().max())


def test_a_pipeline_predicts_what_predict_does(exported: Path, run: Path, folder: Path) -> None:
    texts = reviews(1000)
    (folder / "reviews.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    args = ["--data.predict_path", str(folder / "reviews.txt"), "--output", str(folder / "predicted.csv")]
    main(["predict", "--ckpt_path", str(run), *args, "--log_dir", str(folder / "logs")])
    ours, theirs = pd.read_csv(folder / "predicted.csv"), from_a_process_of_its_own(exported, texts)
    assert ours["probability_positive"].std() > 0.05  # training told texts apart
    for label in ("negative", "positive"):
        assert (theirs[label] - ours[f"probability_{label}"]).abs().max() < 1e-4
    assert (theirs.idxmax(axis=1) == ours["label"]).mean() == 1


def test_a_folder_is_a_classifier_too(exported: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (Classifier(str(path)) for path in (run / "checkpoints" / "best.ckpt", exported))
    assert (ours.probabilities(reviews(40)) - theirs.probabilities(reviews(40))).abs().max() < 1e-5
    assert [label.name for label in theirs.labels] == ["negative", "positive"]
    capsys.readouterr()
    for path in (run, exported):
        main(["classify", "--ckpt_path", str(path), "--language", "ko", "좋은 영화", "별로"])
    answers = capsys.readouterr().out.splitlines()
    assert answers[:2] == answers[2:]
    assert re.fullmatch("[0-9.]+% 확률로 (긍정|부정) .+입니다.\t좋은 영화", answers[0])


def test_the_files(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    config = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}
    assert config["problem_type"] == "single_label_classification"
    assert {tensor.dtype for tensor in load_file(exported / "model.safetensors").values()} == {torch.float32}
    tokenizer = json.loads((exported / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"  # transformers 4 lacks the class of version 5
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1
    assert not [text for text in names if str(exported.parent) in (exported / text).read_text("utf-8", "replace")]


def test_the_tokenizer_is_fast_and_gives_the_same_ids(exported: Path, run: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(exported)
    ours = Classifier(str(run / "checkpoints" / "best.ckpt")).tokenizer
    assert theirs.is_fast
    assert theirs.model_max_length == MAX_LENGTH
    for text in [*reviews(50), "[SEP] 그리고 [UNK]"]:
        ids = ours(text.strip(), truncation=True, max_length=MAX_LENGTH)["input_ids"]
        assert theirs(text, truncation=True)["input_ids"] == ids


def test_the_model_card(exported: Path, run: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    data = ModelCard(text).data
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    (metrics,) = next(value["metrics"] for value in state.values() if value.get("metrics")).values()
    results = {result.metric_type: result for result in data.eval_results}
    assert {result.dataset_split for result in data.eval_results} == {"dev"}
    for name in ("accuracy", "f1"):
        assert results[name].metric_value == pytest.approx(metrics[f"val/{name}"], abs=1e-4)
    assert (data.pipeline_tag, data.library_name, data.model_name) == (
        *("text-classification", "transformers"),
        "demo-classifier",
    )
    sums = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["run"]["sha256"]
    for name in ("train.tsv", "dev.tsv"):
        assert f"| {name} | {sums[name]} |" in text
    assert "| 1 | positive | 1 | 긍정 |" in text
    assert "limit_val_batches 3" in text
    assert "Nothing was measured on test" in text
    assert 'pipeline("text-classification", "demo-classifier")' in text


def test_the_card_of_a_checkpoint_without_metrics(run: Path, folder: Path) -> None:
    output = export(run / "checkpoints" / "last.ckpt", folder / "last")
    text = (output / "README.md").read_text(encoding="utf-8")
    assert ModelCard(text).data.eval_results is None
    assert "records no metrics" in text


def test_half_precision(exported: Path, run: Path, folder: Path) -> None:
    half = export(run, folder / "half", "--dtype", "float16")
    assert {tensor.dtype for tensor in load_file(half / "model.safetensors").values()} == {torch.float16}
    whole, found = (from_pipeline(path, reviews(30)) for path in (exported, half))
    assert 0 < (whole - found).abs().max().max() < 2e-3
    ours = Classifier(str(half)).probabilities(reviews(30))
    assert (torch.tensor(found[["negative", "positive"]].to_numpy().copy()) - ours).abs().max() < 1e-5


def test_a_sigmoid_of_a_pretrained_encoder_without_its_folder(folder: Path) -> None:
    texts = [text for _, text, _ in demo_rows("train", 200, seed=1)]
    backbone = folder / "backbone"
    train_tokenizer(texts, 400).save_pretrained(backbone)
    keys = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    AutoModel.from_config(AutoConfig.for_model("electra", vocab_size=400, **keys)).save_pretrained(backbone)
    (backbone / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    data = own_corpus(folder, {"0": "negative", "1": "positive"})
    run = fit(folder, "sigmoid", data, {"backbone": str(backbone), "loss": "binary_cross_entropy"})
    text = (export(run, folder / "before") / "README.md").read_text(encoding="utf-8")
    assert "Encoder: backbone (mit)" in text
    backbone.rename(folder / "moved")
    output = export(run, folder / "after")
    assert largest_difference(output, run / "checkpoints" / "best.ckpt") < 1e-4
    assert str(folder) not in (output / "README.md").read_text(encoding="utf-8")


def test_three_classes_of_an_own_corpus(folder: Path) -> None:
    data = own_corpus(folder, {"a": "하나", "b|c": "둘", "d": "셋"})
    run = fit(folder, "three", data, {"backbone": {**SMALL, "model_type": "roberta"}, "pooling": "head"})
    output = export(run, folder / "three-classes")
    assert largest_difference(output, run / "checkpoints" / "best.ckpt") < 1e-4
    text = (output / "README.md").read_text(encoding="utf-8")
    assert "| 1 | 둘 | b\\|c |  |" in text
    assert "mean over the classes" in text


def test_a_checkpoint_of_an_earlier_version(folder: Path) -> None:
    output = export(EARLIER, folder / "earlier")
    assert largest_difference(output, EARLIER) < 1e-4
    assert "passes its input on" in (output / "README.md").read_text(encoding="utf-8")


def test_kobert_s_tokenizer(shared: Path, folder: Path) -> None:
    source = folder / "kobert"
    source.mkdir()
    for file in (shared / "tokenizers" / "kobert").iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    tokenizer = load_tokenizer(str(source))
    config = {**SMALL, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    AutoModel.from_config(AutoConfig.for_model(**config)).save_pretrained(source)
    data = own_corpus(folder, {"0": "negative", "1": "positive"})
    run = fit(folder, "with-kobert", data, {"backbone": str(source), "pooling": "head"})
    output = export(run, folder / "kobert-classifier")
    reloaded = AutoTokenizer.from_pretrained(output, trust_remote_code=False)
    for text in ["역시 최고의 영화ㅋㅋㅋ 둘이 보다 하나가.... 됐다", *reviews(30)]:
        ids = tokenizer(text.strip(), truncation=True, max_length=MAX_LENGTH)["input_ids"]
        assert reloaded(text, truncation=True)["input_ids"] == ids
    assert largest_difference(output, run / "checkpoints" / "best.ckpt") < 1e-4


# Mistakes


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *args])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error[error.index("error:") :].strip().splitlines()) <= 2
    return error


def test_mistakes_are_refused(
    run: Path, exported: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = str(run / "checkpoints" / "best.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "file").write_text("")
    new = str(tmp_path / "new")
    for args, message in (
        ([best, str(exported)], "--output .*demo-classifier: exists already.\n"),
        ([best, str(tmp_path / "file")], "--output .*file: exists already"),
        ([best, str(tmp_path / "file" / "new")], "--output .*new: cannot be written"),
        ([str(tmp_path / "none.ckpt"), new], "--ckpt_path .*none.ckpt: there is no such file"),
        ([str(tmp_path / "other.ckpt"), new], "other.ckpt: not a checkpoint of this package"),
        ([str(EARLIER), new, "--dtype", "float16"], "--dtype float16: .*model.pooling cls.*\n.*--model.pooling head"),
        ([best, new, "--dtype", "int8"], "export: argument --dtype"),
    ):
        assert re.search(message, refused(["--ckpt_path", args[0], "--output", *args[1:]], capsys)), message
    assert {path.name for path in tmp_path.iterdir()} == {"other.ckpt", "file"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which no user can write")
def test_a_folder_that_cannot_be_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(["--ckpt_path", str(run), "--output", "/proc/new"], capsys)
    assert "--output /proc/new: cannot be written" in error


def test_a_folder_that_differs_from_the_checkpoint_is_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = transformers.BertForSequenceClassification.save_pretrained

    def spoilt(self: Any, *args: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            self.classifier.bias[0] += 0.01
        whole(self, *args, **kwargs)

    monkeypatch.setattr(transformers.BertForSequenceClassification, "save_pretrained", spoilt)
    with pytest.raises(RuntimeError, match="probabilities differ by"):
        export(run, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_the_tokens_are_compared_too(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_folder, "_prepared", lambda tokenizer, max_length: tokenizer)
    with pytest.raises(RuntimeError, match="other tokens"):
        export(run, tmp_path / "new")


def test_checkpoints_of_a_sigmoid_have_one_output() -> None:
    content = {"cli_config": "model: {loss: binary_cross_entropy}", "NSMCDataModule": {"corpus": {"labels": [1, 2]}}}
    assert Checkpoint("x.ckpt", content).num_outputs == 1
