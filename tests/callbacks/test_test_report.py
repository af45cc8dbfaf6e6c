"""The report of a test, from the command line to its file."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from sklearn import metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.callbacks.report_tables import Baseline
from nsmc_lightning.callbacks.test_report import TestReport as Reporter
from nsmc_lightning.callbacks.test_report import worst_mistakes
from nsmc_lightning.cli import main
from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.errors import UserError
from nsmc_lightning.evaluation.scores import Answers
from tests.conftest import SMALL

DEMO = Path(__file__).parents[2] / "configs" / "corpus" / "demo.yaml"


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    settings = {
        "data": {"corpus": str(DEMO), "cache_dir": str(folder / "cache"), "max_length": 40},
        "model": {"backbone": SMALL, "pooling": "mean", "lr": 0.01},
        "log_dir": str(folder / "logs"),
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    main(["fit", "--config", str(folder / "small.yaml"), "--trainer.max_steps=60", "--trainer.limit_val_batches=1"])
    return str(folder / "logs" / "small" / "version_0" / "checkpoints" / "best.ckpt")


def measured(best: str, logs: Path, *args: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """The report of a test, and its predictions."""
    main(["test", "--ckpt_path", best, "--log_dir", str(logs), "--name=run", *args])
    folder = max((logs / "run").glob("version_*"))
    return json.loads((folder / "test.json").read_text(encoding="utf-8")), pd.read_csv(folder / "test.csv")


def test_the_report_is_that_of_the_predictions(best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, table = measured(best, tmp_path)
    truth, found = table["target"], table["label"]
    assert (report["checkpoint"], report["corpus"]) == (best, "demo")
    assert report["rows"] == report["rows_of_part"] == len(table) == 1000
    assert report["scores"]["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(truth, found))
    area = metrics.roc_auc_score(truth == "positive", table["probability_positive"])
    assert report["scores"]["auroc"]["value"] == pytest.approx(area)
    low, high = report["scores"]["accuracy"]["interval"].values()
    assert low < report["scores"]["accuracy"]["value"] < high
    expected = metrics.precision_recall_fscore_support(truth, found, labels=["negative", "positive"])
    for i, name in enumerate(("precision", "recall", "f1")):
        values = [report["classes"][label][name]["value"] for label in ("negative", "positive")]
        assert values == pytest.approx(list(expected[i]))
    short = table["text"].str.len() <= 10
    assert report["parts"]["length"]["1–10 characters"]["rows"] == short.sum()
    assert report["parts"]["train"]["not in train, verbatim"]["rows"] == 1000
    assert report["bootstrap"]["clusters"].keys() == {"equal texts"}
    temperature = torch.load(best, weights_only=True)["temperature"]
    assert (report["temperature"], report["notes"]) == (temperature, [])
    assert report["baseline"]["scores"]["accuracy"] > 0.8
    printed = capsys.readouterr().out
    assert re.search(rf"^accuracy +{report['scores']['accuracy']['value']:.4f}", printed, re.MULTILINE)
    assert "test.json" in printed
    assert len(printed.splitlines()) <= 45
    texts = texts_of(tmp_path / "run" / "version_0")
    assert f"| accuracy | {report['scores']['accuracy']['value']:.4f} |" in texts["test/report"]
    assert "| part of the rows |" in texts["test/report"]
    assert "| negative |" in texts["test/classes"]
    assert len(texts["test/mistakes"].splitlines()) == 2 + len(report["mistakes"]) == 22


def texts_of(run: Path) -> dict[str, str]:
    """What TensorBoard shows as text, by tag."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag.removesuffix("/text_summary"): events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
    }


def test_of_a_part_of_the_rows_the_report_says_so(
    best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, table = measured(best, tmp_path, "--trainer.limit_test_batches=2", "--data.max_tokens=500")
    predicted = table.dropna(subset="label")
    assert report["rows"] == len(predicted) < report["rows_of_part"] == 1000
    assert report["scores"]["accuracy"]["value"] == pytest.approx((predicted["label"] == predicted["target"]).mean())
    assert f"Only {len(predicted)} of 1,000 rows were measured" in report["notes"][0]
    assert report["notes"][0] in capsys.readouterr().out


def test_a_trial_run_has_no_report(best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["test", "--ckpt_path", best, "--trainer.fast_dev_run=true"])
    assert not [*tmp_path.rglob("test.json")]


def test_the_worst_mistakes_are_the_most_confident_ones() -> None:
    rows = pd.DataFrame({"id": list("abcde"), "text": ["가", "나", "다", "라", "나"], "label": [0, 0, 1, 1, 0]})
    shares = np.array([0.6, 0.9, 0.99, 0.2, 0.9])  # of class 1; the last text is the second once more
    answers = Answers(rows["label"].to_numpy(), np.stack([1 - shares, shares], axis=1))
    found = worst_mistakes(rows, answers, ["negative", "positive"])
    assert [(one.id, one.text, one.label, one.predicted) for one in found] == [
        ("b", "나", "negative", "positive"),
        ("d", "라", "positive", "negative"),
        ("a", "가", "negative", "positive"),
    ]
    assert [one.probability for one in found] == pytest.approx([0.9, 0.8, 0.6])
    assert worst_mistakes(rows, Answers(answers.predicted, answers.probabilities), ["negative", "positive"]) == []


@pytest.fixture
def own(tmp_path: Path) -> tuple[PredictionWriter, Any]:
    """The predictions for a corpus of 30 test rows, in reverse order, and a trainer that has tested on it."""
    for name in ("train", "test"):
        texts = [f"{name} {i}" for i in range(30)]
        pd.DataFrame({"text": texts, "label": [0, 1] * 15}).to_csv(tmp_path / f"{name}.csv", index=False)
    labels = [Label("0", "negative"), Label("1", "positive")]
    corpus = Corpus("own", Source("train.csv"), labels, test=Source("test.csv"), format="csv")
    parts = Parts(corpus, tmp_path, tmp_path, 0.1, 1, None, "utf-8", "error")
    writer, data = PredictionWriter(), SimpleNamespace(parts=parts, corpus=corpus)
    share = np.linspace(0.05, 0.95, 30, dtype=np.float32)
    writer.gathered = np.arange(30)[::-1], np.stack([1 - share, share], axis=1)
    return writer, SimpleNamespace(
        log_dir=str(tmp_path), ckpt_path=None, is_global_zero=True, fast_dev_run=False, datamodule=data, loggers=[]
    )


def test_calibration_is_that_before_and_after_the_model_s_temperature(
    own: tuple[PredictionWriter, Any], tmp_path: Path
) -> None:
    writer, trainer = own
    module = LightningModule()
    module.temperature = 2.0
    Reporter(writer, None).on_test_end(trainer, module)
    report = json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))
    assert report["temperature"] == 2.0
    share, positive = np.linspace(0.95, 0.05, 30), np.arange(30) % 2
    squares = {1: (positive - share) ** 2, 2: (positive - share**2 / (share**2 + (1 - share) ** 2)) ** 2}
    assert report["scores"]["brier"]["value"] == pytest.approx(squares[1].mean(), abs=1e-6)
    assert report["before_temperature"]["brier"]["value"] == pytest.approx(squares[2].mean(), abs=1e-6)
    assert report["parts"]["writing"]["tears"]["accuracy"] == {"value": None, "interval": None, "clusters": None}


def test_a_baseline_is_shown_or_left_out_with_a_line(
    own: tuple[PredictionWriter, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def computed(parts: Parts, rows: np.ndarray) -> Baseline:
        return Baseline("n-grams", {"accuracy": float((parts.rows("test")["label"].iloc[rows] == 0).mean())})

    def refused(parts: Parts, rows: np.ndarray) -> Baseline:
        raise UserError("no texts\nto learn from.")

    writer, trainer = own
    Reporter(writer, None, computed).on_test_end(trainer, LightningModule())
    baseline = {"name": "n-grams", "scores": {"accuracy": 0.5}}
    assert json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))["baseline"] == baseline
    assert "n-grams" in capsys.readouterr().out
    Reporter(writer, None, refused).on_test_end(trainer, LightningModule())
    report = json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))
    assert (report["baseline"], report["notes"]) == (None, ["Left out: the baseline: no texts to learn from."])
