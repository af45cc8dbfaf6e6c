"""Two processes train and measure as one does, also where they do not get equally many batches or tokens."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from tests.conftest import SMALL
from tests.faults.conftest import Forked

TRAIN, DEV, TEST = 42, 7, 5


def write(path: Path, reviews: int) -> None:
    """Short reviews and, first of all, a long one: whichever process gets that has more tokens than the other."""
    texts = ["아주 " * 9 + "길다", *(f"{'재미' if i % 3 else '지루함'} {i}" for i in range(1, reviews))]
    rows = [{"id": i, "text": text, "label": i % 3 % 2} for i, text in enumerate(texts)]
    pd.DataFrame(rows).to_csv(path, index=False)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe without dropout on a corpus of a few reviews, for whose batches the tests reckon."""
    folder = tmp_path_factory.mktemp("own")
    for part, reviews in (("train", TRAIN), ("dev", DEV), ("test", TEST), ("predict", 3)):
        write(folder / f"{part}.csv", reviews)
    corpus = {
        "name": "own",
        **{part: {"file": f"{part}.csv"} for part in ("train", "dev", "test")},
        "text_column": "text",
        "label_column": "label",
        "id_column": "id",
        "format": "csv",
        "labels": [{"value": "0", "name": "negative"}, {"value": "1", "name": "positive"}],
    }
    (folder / "corpus.yaml").write_text(yaml.safe_dump(corpus), encoding="utf-8")
    no_dropout = {"dropout": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    settings = {
        "data": {"corpus": str(folder / "corpus.yaml"), "data_dir": str(folder), "cache_dir": str(folder / "cache"),
                 "max_length": 40},
        "model": {"backbone": SMALL, "lr": 1e-6, **no_dropout},
        "trainer": {"max_epochs": 1, "log_every_n_steps": 1, "enable_model_summary": False},
    }  # fmt: skip
    (folder / "own.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


def fit(own: Path, logs: Path, processes: int, *args: str) -> list[str]:
    batch_size = f"--data.batch_size={32 // processes}"
    return ["fit", "--config", str(own / "own.yaml"), "--log_dir", str(logs), batch_size, *args]


def moments(logs: Path, steps: int) -> list[torch.Tensor]:
    """Adam's running means of the gradients, of all weights, after so many steps."""
    checkpoint = torch.load(logs / "own" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == steps
    states = checkpoint["optimizer_states"][0]["state"]
    return [states[i]["exp_avg"] for i in sorted(states)]


@pytest.mark.parametrize("class_weights", ["null", "[1.0, 5.0]"])
def test_a_step_of_two_processes_is_that_of_one(own: Path, tmp_path: Path, class_weights: str) -> None:
    for processes in (1, 2):
        logs = tmp_path / str(processes)
        args = fit(own, logs, processes, f"--model.class_weights={class_weights}")
        run = Forked(args, log=tmp_path / "log", processes=processes)
        assert run.end() == 0, run.stderr[-3000:]
    # Not the weights: Adam divides a gradient by its size, and so makes a step of the rounding error of a tiny one.
    # The learning rate is too small for a first step of that kind to show in the second's gradients.
    for one, two in zip(moments(tmp_path / "1", 2), moments(tmp_path / "2", 2), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-6 * max(1.0, float(one.abs().max())))


def test_a_step_of_pretraining_of_two_processes_is_that_of_one(own: Path, tmp_path: Path) -> None:
    settings = {
        "data": {"corpus": {"file": str(own / "train.csv")}, "val_texts": 4, "max_length": 40},
        "model": {"backbone": SMALL, "lr": 1e-6, "hidden_dropout": 0.0, "attention_dropout": 0.0},
        "trainer": {"max_epochs": 1, "enable_model_summary": False},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for processes in (1, 2):  # processes have unequal numbers of hidden tokens
        logs, batch_size = tmp_path / str(processes), f"--data.batch_size={32 // processes}"
        args = ["pretrain", "--config", str(tmp_path / "own.yaml"), "--log_dir", str(logs), batch_size]
        run = Forked(args, log=tmp_path / "log", processes=processes)
        assert run.end() == 0, run.stderr[-3000:]
    for one, two in zip(moments(tmp_path / "1", 2), moments(tmp_path / "2", 2), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-6 * max(1.0, float(one.abs().max())))
    one, two = (pd.read_csv(tmp_path / name / "own" / "version_0" / "metrics.csv") for name in "12")
    for metric in ("val/loss", "val/accuracy"):
        assert two[metric].dropna().tolist() == pytest.approx(one[metric].dropna().tolist(), abs=1e-5)


@pytest.mark.faults
@pytest.mark.parametrize("class_weights", ["null", "[1.0, 5.0]"])
def test_an_accumulated_step_is_that_of_one_large_batch(own: Path, tmp_path: Path, class_weights: str) -> None:
    for processes, batch_size, batches in ((1, 42, 1), (1, 16, 3), (2, 8, 3)):  # 42 reviews, or 16, 16 and 10
        logs = tmp_path / f"{processes}_{batches}"
        sizes = [f"--data.batch_size={batch_size}", f"--trainer.accumulate_grad_batches={batches}"]
        args = [*fit(own, logs, processes), *sizes, f"--model.class_weights={class_weights}"]
        run = Forked(args, log=tmp_path / "log", processes=processes)
        assert run.end() == 0, run.stderr[-3000:]
    expected = moments(tmp_path / "1_1", 1)
    for found in (moments(tmp_path / "1_3", 1), moments(tmp_path / "2_3", 1)):
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-6 * max(1.0, float(one.abs().max())))


def test_processes_with_unequal_numbers_of_batches_wait_for_nobody(own: Path, tmp_path: Path) -> None:
    # In batches of one review the dev part gives 4 and 3, the test part 3 and 2, the file 2 and 1; of 42 reviews to
    # train on, batches of 41 leave one, which only one process could have.
    last = str(tmp_path / "own" / "version_0" / "checkpoints" / "last.ckpt")
    one_each = "--data.max_tokens=1"
    more = ["--trainer.max_epochs=2", "--trainer.val_check_interval=1", one_each]
    train = ["fit", "--config", str(own / "own.yaml"), "--log_dir", str(tmp_path), "--data.batch_size=20", *more]
    written: dict[int, list[pd.DataFrame]] = {}
    for processes in (2, 1):
        output = [str(tmp_path / f"{name}_{processes}.csv") for name in ("test", "predict")]
        name = f"--name=on_{processes}"
        commands = [
            ["validate", "--ckpt_path", last, "--log_dir", str(tmp_path), name, one_each],
            ["test", "--ckpt_path", last, "--log_dir", str(tmp_path), name, one_each, "--output", output[0]],
            ["predict", "--ckpt_path", last, "--log_dir", str(tmp_path), name, one_each, "--output", output[1],
             "--data.predict_path", str(own / "predict.csv")],
        ]  # fmt: skip
        run = Forked(*([train] if processes == 2 else []), *commands, log=tmp_path / "log", processes=processes)
        assert run.end() == 0, run.stderr[-3000:]
        metrics = pd.read_csv(tmp_path / f"on_{processes}" / "version_0" / "metrics.csv")
        written[processes] = [pd.read_csv(path) for path in output] + [metrics[["val/accuracy", "val/f1", "val/loss"]]]
    for one, two in zip(written[1], written[2], strict=True):
        pd.testing.assert_frame_equal(two, one, atol=1e-6)


def test_every_command_with_its_defaults_writes_the_files_of_one_process(own: Path, tmp_path: Path) -> None:
    best = "lightning_logs/own/version_0/checkpoints/best.ckpt"
    measure = ["test", "--ckpt_path", best]
    predict = ["predict", "--ckpt_path", best, "--data.predict_path", str(own / "predict.csv")]
    train = ["fit", "--config", str(own / "own.yaml")]
    commands = [train, ["validate", "--ckpt_path", best], measure, predict]
    written: list[list[pd.DataFrame]] = []
    reports: list[dict[str, Any]] = []
    for words, processes in ((commands, 2), ([measure, predict], 1)):
        run = Forked(*words, log=tmp_path / "log", processes=processes, folder=tmp_path)
        assert run.end() == 0, run.stderr[-3000:]
        (folder,) = (tmp_path / "lightning_logs" / "own").iterdir()  # that of the run, for all commands
        written.append([pd.read_csv(folder / f"{name}.csv") for name in ("test", "predictions")])
        reports.append(json.loads((folder / "test.json").read_text(encoding="utf-8")))
    for of_two, of_one in zip(*written, strict=True):
        pd.testing.assert_frame_equal(of_two, of_one, atol=1e-6)
    scores = [{name: score["value"] for name, score in report["scores"].items()} for report in reports]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert [report["rows"] for report in reports] == [TEST, TEST]
