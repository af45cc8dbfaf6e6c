"""The command line as users call it: main(args), from fit to prediction, on a small corpus made here."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nsmc_lightning.cli import main
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.run.average_weights import TRAINED
from tests.conftest import SMALL
from tests.faults.conftest import TWO, Run

LIMITS = [
    "--trainer.limit_train_batches=4",
    "--trainer.limit_val_batches=2",
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Path:
    """A recipe of a small encoder on the demo corpus, with a cache of its own."""
    corpus = Path(__file__).parents[1] / "configs" / "corpus" / "demo.yaml"
    settings = {
        "data": {"corpus": str(corpus), "cache_dir": str(folder / "cache"), "max_length": 40},
        "model": {"backbone": SMALL, "lr": 0.003},
        "log_dir": str(folder / "logs"),
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(folder: Path, recipe: Path) -> Path:
    """The folder of a finished fit."""
    main(["fit", "--config", str(recipe), "--log_graph=true", *LIMITS])
    return folder / "logs" / "small" / "version_0"


@pytest.fixture(scope="module")
def best(run: Path) -> str:
    return str(run / "checkpoints" / "best.ckpt")


def refused(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that must end with code 2, at most two lines and no traceback."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(args)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:") or "Traceback" in line]
    assert stopped.value.code == 2
    assert len(error) == 1
    assert "Traceback" not in error[0]
    return error[0]


# fit


def test_fit_leaves_logs_config_and_checkpoints(run: Path) -> None:
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "hparams.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    events = EventAccumulator(str(run), size_guidance={"images": 0})
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "val/accuracy", "val/f1", "train/reviews_per_second", "val_best/accuracy"} <= scalars
    assert {"train/lengths", "val/confusion_matrix"} <= set(events.Tags()["images"])
    assert events.Tags()["graph"]
    assert "_hparams_/session_start_info" in events.summary_metadata
    best = max(event.value for event in events.Scalars("val/accuracy"))
    assert events.Scalars("val_best/accuracy")[-1].value == pytest.approx(best)


def test_checkpoint_holds_plain_types_only(best: str) -> None:
    checkpoint = torch.load(best, weights_only=True)
    state = checkpoint["NSMCDataModule"]
    assert state["corpus"]["name"] == "demo"
    assert "tokenizer.json" in state["tokenizer_files"]


def test_a_run_says_what_it_came_from(run: Path, best: str, folder: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record.pop("result")["steps"] == 8
    assert torch.load(best, weights_only=True)["run"] == record
    assert {name: record[name] for name in ("recipe", "seed", "corpus")} == {
        "recipe": "small",
        "seed": 42,
        "corpus": "demo",
    }
    assert record["versions"]["torch"] == torch.__version__
    for name in ("train.tsv", "dev.tsv"):
        data = (folder / "cache" / "demo" / name).read_bytes()
        assert record["sha256"][name] == hashlib.sha256(data).hexdigest()


def test_one_seed_gives_one_set_of_weights(recipe: Path, folder: Path) -> None:
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        args = [f"--name=seed-{name}", f"--seed_everything={seed}", "--trainer.max_steps=4"]
        main(["fit", "--config", str(recipe), *args, "--trainer.limit_val_batches=1"])
        last = folder / "logs" / f"seed-{name}" / "version_0" / "checkpoints" / "last.ckpt"
        weights.append(torch.load(last, weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][name], weight) for name, weight in weights[1].items())
    assert not all(torch.equal(weights[0][name], weight) for name, weight in weights[2].items())


def test_without_validations_nothing_is_monitored(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["fit", "--config", str(recipe), "--name=blind", "--trainer.limit_val_batches=0", "--trainer.max_steps=2"]
    assert "checkpoint.monitor" in refused(args, capsys)
    main([*args, "--checkpoint.monitor=null"])


def test_a_second_fit_gets_a_folder_of_its_own(run: Path, recipe: Path) -> None:
    main(["fit", "--config", str(recipe), "--trainer.max_steps=1", "--trainer.limit_val_batches=1"])
    second = run.parent / "version_1"
    assert (second / "config.yaml").is_file()
    assert (second / "checkpoints" / "best.ckpt").is_file()  # also where the steps end within an epoch
    assert (run / "config.yaml").is_file()


@pytest.mark.parametrize("logger", [["false"], ["CSVLogger", "--trainer.logger.save_dir=own"]])
def test_with_another_logger_the_run_is_where_it_always_is(
    logger: list[str], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["--log_dir=logs", "--trainer.max_steps=1", "--trainer.limit_val_batches=1", "--trainer.logger", *logger]
    main(["fit", "--config", str(recipe), *settings])
    run = tmp_path / "logs" / "small" / "version_0"
    assert {path.name for path in run.iterdir()} == {"checkpoints", "config.yaml", "run.json"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {path.name for path in tmp_path.iterdir()} == {"logs"} | ({"own"} if len(logger) > 1 else set())


@pytest.mark.parametrize("fault", ["--data.data_dir=nowhere", "--trainer.val_check_interval=500"])
def test_a_command_that_fails_before_training_leaves_no_folder(
    fault: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["fit", "--config", str(recipe), *LIMITS, f"--log_dir={tmp_path / 'logs'}", fault], capsys)
    assert not (tmp_path / "logs").exists()


def test_fit_keeps_best_by_dev_accuracy(recipe: Path, folder: Path) -> None:
    main(["fit", "--config", str(recipe), "--name=best", "--trainer.max_epochs=3", "--trainer.limit_train_batches=20"])
    run = folder / "logs" / "best" / "version_0"
    epochs = pd.read_csv(run / "metrics.csv").dropna(subset="val/accuracy")
    best = epochs.loc[epochs["val/accuracy"].idxmax()]
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["epoch"] == best["epoch"]
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2


def test_every_command_reads_averaged_weights(
    recipe: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--averaging.decay=0.9", "--model.r_drop=1", "--trainer.max_epochs=1"]
    main(["fit", "--config", str(recipe), "--name=averaged", *LIMITS, *settings])
    checkpoints = folder / "logs" / "averaged" / "version_0" / "checkpoints"
    names = ["val/loss", "val/accuracy"]
    measured = pd.read_csv(checkpoints.parent / "metrics.csv").dropna(subset=names)[names]
    best, last = str(checkpoints / "best.ckpt"), str(checkpoints / "last.ckpt")
    main(["validate", "--ckpt_path", best, "--trainer.limit_val_batches=2", "--log_dir", str(tmp_path)])
    alone = pd.read_csv(tmp_path / "averaged" / "version_0" / "metrics.csv")[names]
    assert alone.to_numpy() == pytest.approx(measured.to_numpy(), abs=1e-6)
    main(["classify", "--ckpt_path", best, "시간이 아깝다"])
    assert capsys.readouterr().out.endswith("시간이 아깝다\n")
    average, trained = (torch.load(best, weights_only=True)[key] for key in ("state_dict", TRAINED))
    loaded = BertClassifierModule.load_from_checkpoint(best).state_dict()
    assert all(torch.equal(loaded[name], average[name]) for name in trained)
    assert not any(torch.equal(trained[name], average[name]) for name in trained if "norm" in name.lower())
    main(["fit", "--ckpt_path", last, "--trainer.max_epochs=2"])
    assert torch.load(last, weights_only=True)["callbacks"]["AverageWeights"] == {"updates": 8}


def newest(folder: Path, name: str) -> Path:
    return max(folder.rglob(name), key=lambda path: path.stat().st_mtime_ns)


def test_two_processes_test_every_row_once(recipe: Path, folder: Path, best: str) -> None:
    # Processes of their own, as a user starts them: each rank runs the whole command.
    fit = ["fit", "--config", str(recipe), "--name=two", "--trainer.max_steps=2", "--trainer.limit_val_batches=2"]
    perturbed = ["test", "--ckpt_path", best, "--data.perturb=typos", "--log_dir", str(folder / "perturbed")]
    test = [*perturbed, "--name=two", "--output", str(folder / "two.csv")]
    for args in (fit, test):
        run = Run([*args, *TWO])
        assert run.end() == 0, run.stderr[-3000:]
    assert (folder / "logs" / "two" / "version_0" / "checkpoints" / "best.ckpt").is_file()
    found = [newest(folder, "robustness.json").read_text()]
    main([*perturbed, "--output", str(folder / "one.csv")])
    found.append(newest(folder, "robustness.json").read_text())
    assert found[0] == found[1]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "two.csv"), pd.read_csv(folder / "one.csv"), atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_precision_is_a_flag(recipe: Path, precision: str) -> None:
    main(["fit", "--config", str(recipe), f"--trainer.precision={precision}", "--trainer.fast_dev_run=2"])


# test, validate


def test_metrics_equal_scikit_learn_on_the_written_predictions(
    best: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # from any folder, by the checkpoint's path alone
    output = tmp_path / "test.csv"
    main(["test", "--ckpt_path", best, "--output", str(output), "--log_dir", str(tmp_path / "logs")])
    table = pd.read_csv(output)
    logged = pd.read_csv(tmp_path / "logs" / "small" / "version_0" / "metrics.csv").iloc[-1]
    truth, said = table["target"] == "positive", table["label"] == "positive"
    for name, score in {
        "accuracy": accuracy_score,
        "f1": f1_score,
        "precision": precision_score,
        "recall": recall_score,
    }.items():
        assert logged[f"test/{name}"] == pytest.approx(score(truth, said), abs=1e-6)


def test_results_are_in_the_folder_of_the_checkpoint_s_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(run, tmp_path / "moved" / "run", ignore=shutil.ignore_patterns("events*", "test*"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    best = str(run / "checkpoints" / "best.ckpt")
    kept = {name: (run / name).read_bytes() for name in ("config.yaml", "run.json", "metrics.csv")}
    Path("in.txt").write_text("좋다\n", encoding="utf-8")
    main(["predict", "--ckpt_path", best, "--data.predict_path=in.txt"])
    for ckpt_path in (best, best.replace("best", "last")):
        main(["test", "--ckpt_path", ckpt_path, "--trainer.limit_test_batches=1"])
    main(["validate", "--ckpt_path", best, "--trainer.limit_val_batches=1"])
    assert {"predictions.csv", "test.csv", "test-last.csv"} <= {path.name for path in run.iterdir()}
    assert {name: (run / name).read_bytes() for name in kept} == kept
    assert [path.name for path in (*run.parent.iterdir(), *Path().iterdir())] == ["run", "in.txt"]
    steps = [torch.load(path, weights_only=True)["global_step"] for path in sorted((run / "checkpoints").iterdir())]
    for folder, name, expected in ((run, "test/accuracy", steps), (run / "validate", "val/accuracy", steps[:1])):
        events = EventAccumulator(str(folder)).Reload()
        assert [event.step for event in events.Scalars(name)] == expected


def test_a_moved_checkpoint_stands_alone(best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = shutil.copy(best, tmp_path / "moved.ckpt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", str(tmp_path / "cache"))
    main(["validate", "--ckpt_path", str(moved), "--data.cache_dir", str(tmp_path / "cache")])
    assert (tmp_path / "lightning_logs" / "small" / "version_0" / "run.json").is_file()


@pytest.mark.parametrize("value", ["best", "folder"])
def test_a_keyword_or_a_folder_in_place_of_a_checkpoint(
    value: str, run: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = str(run) if value == "folder" else value
    capsys.readouterr()
    main(["test", f"--ckpt_path={given}", "--config", str(recipe), "--trainer.limit_test_batches=1"])
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("--ckpt_path")]
    assert re.fullmatch(rf"--ckpt_path {given}: {run.parent}/version_\d/checkpoints/best\.ckpt", said)


def test_a_saved_config_beside_a_checkpoint_does_not_test_an_untrained_model(
    run: Path, best: str, tmp_path: Path
) -> None:
    args = ["--output", str(tmp_path / "with.csv"), "--config", str(run / "config.yaml")]
    main(["test", "--ckpt_path", best, *args])
    main(["test", "--ckpt_path", best, "--output", str(tmp_path / "without.csv")])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "with.csv"), pd.read_csv(tmp_path / "without.csv"))


def test_values_beside_a_checkpoint_win_or_are_refused(best: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["test", "--ckpt_path", best, "--data.max_tokens=99", "--trainer.limit_test_batches=1"])
    assert "model.pooling" in refused(["test", "--ckpt_path", best, "--model.pooling=mean"], capsys)
    assert "only test perturbs" in refused(["validate", "--ckpt_path", best, "--data.perturb=typos"], capsys)
    assert "model.lr" in refused(["fit", "--ckpt_path", best, "--model.lr=0.1"], capsys)


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_without_a_checkpoint_nothing_is_measured(
    command: str, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--ckpt_path" in refused([command, "--config", str(recipe)], capsys)


# predict, classify


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_predict_writes_every_row_in_order(best: str, tmp_path: Path, ending: str) -> None:
    texts = [
        "정말 재미있어요",
        "",
        "최악의 영화\t였다" if ending == "csv" else "최악의 영화",
        "음" * 200,
        "쏘쏘 \ud83d",
    ]
    source, output = tmp_path / "in.jsonl", tmp_path / f"out.{ending}"
    source.write_text("".join(json.dumps({"text": text, "id": i}) + "\n" for i, text in enumerate(texts)))
    main(["predict", "--ckpt_path", best, "--data.predict_path", str(source), "--output", str(output)])
    readers = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    table = readers[ending](output)
    assert table["id"].astype(str).tolist() == ["0", "1", "2", "3", "4"]
    assert table["text"].fillna("").tolist() == [
        *texts[:-1],
        "쏘쏘 ?",
    ]  # half a character is written as a question mark
    assert table["label"].isna().tolist() == [False, True, False, False, False]
    said = table.loc[table["label"].notna()]
    assert (said["probability_negative"] + said["probability_positive"]).to_numpy() == pytest.approx(1, abs=1e-5)


def test_predict_reads_standard_input(best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.csv"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("좋아요\n\n싫어요\n".encode())))
    main(["predict", "--ckpt_path", best, "--data.predict_path", "-", "--output", str(output)])
    assert pd.read_csv(output)["text"].fillna("").tolist() == ["좋아요", "", "싫어요"]


def test_classify_says_what_predict_says(best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["연기는 별로지만 재미 하나는 끝내줌!", "시간이 아깝다"]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    path = str(tmp_path / "in.txt")
    main(["predict", "--ckpt_path", best, "--data.predict_path", path, "--output", str(tmp_path / "out.csv")])
    capsys.readouterr()
    main(["classify", "--ckpt_path", best, *texts])
    main(["classify", "--ckpt_path", best, "--language", "ko", *texts])
    english, korean = (lines := capsys.readouterr().out.splitlines())[:2], lines[2:]
    korean_names = {"negative": "부정", "positive": "긍정"}
    for i, row in pd.read_csv(tmp_path / "out.csv").iterrows():
        percent = f"{100 * max(row['probability_negative'], row['probability_positive']):.2f}%"
        assert english[i] == f"{row['label']}\t{percent}\t{texts[i]}"
        assert korean[i] == f"{percent} 확률로 {korean_names[row['label']]} 리뷰입니다.\t{texts[i]}"


# Corpora beside recipes and checkpoints

OWN = """name: own
format: csv
train: {file: train.csv}
labels:
  - {value: joy, name: joy}
  - {value: anger, name: anger}
  - {value: fear, name: fear}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a corpus of three classes, its YAML and no test part."""
    words = {"joy": "기쁘다", "anger": "화난다", "fear": "무섭다"}
    rows = [(f"{i} {word} {i * 7}", label) for i in range(60) for label, word in words.items()]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    return tmp_path


def test_a_text_that_begins_with_a_dash(best: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: -_-" in refused(["classify", "--ckpt_path", best, "-_-"], capsys)
    main(["classify", "--ckpt_path", best, "--", "-_-"])
    assert capsys.readouterr().out.endswith("\t-_-\n")


def test_classify_ends_quietly_where_nobody_reads_on(best: str) -> None:
    command = [sys.executable, "-m", "nsmc_lightning", "classify", "--ckpt_path", best]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate("좋다\n싫다\n".encode(), timeout=600)
    assert (process.returncode, b"BrokenPipe" in errors) == (141, False), errors.decode()[-3000:]


def test_an_own_corpus_replaces_the_recipe_s_whole_and_is_classified(
    own: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = ["--data.corpus", str(own / "own.yaml"), "--data.data_dir", str(own)]
    main(["fit", "--config", str(recipe), *corpus, "--log_dir", str(own), "--trainer.max_steps=3"])
    run = own / "small" / "version_0"
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]["corpus"]
    assert kept["generate"] is None
    assert kept["test"] is None
    best = str(run / "checkpoints" / "best.ckpt")
    main(["test", "--ckpt_path", best, "--output", str(own / "test.csv")])
    assert set(pd.read_csv(own / "test.csv")["target"]) == {"joy", "anger", "fear"}
    other_split = ["test", "--ckpt_path", best, "--data.corpus.test_fraction=0.5"]
    assert "data.corpus.test_fraction is 0.5" in refused(other_split, capsys)
    capsys.readouterr()
    main(["classify", "--ckpt_path", best, "기쁘다"])
    assert capsys.readouterr().out.split("\t")[0] in {"joy", "anger", "fear"}


def test_a_corpus_with_other_labels_beside_a_checkpoint_is_refused(
    own: Path, best: str, capsys: pytest.CaptureFixture[str]
) -> None:
    swapped = "name: x\ntrain: {file: t}\nlabels: [{value: '1', name: positive}, {value: '0', name: negative}]\n"
    (own / "swapped.yaml").write_text(swapped, encoding="utf-8")
    for name in ("swapped.yaml", "own.yaml"):
        assert "labels" in refused(["test", "--ckpt_path", best, "--data.corpus", str(own / name)], capsys)


def test_a_corpus_that_cannot_be_is_answered_in_a_line(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = OWN.replace("train.csv", "../../x, url: 'http://127.0.0.1:9/x'")
    (tmp_path / "outside.yaml").write_text(corpus, encoding="utf-8")
    fit = ["fit", "--config", str(recipe), "--data.corpus", str(tmp_path / "outside.yaml"), "--trainer.max_steps=1"]
    assert "train.file '../../x'" in refused(fit, capsys)


def test_a_run_that_ended_within_an_epoch_goes_on(recipe: Path, folder: Path) -> None:
    args = ["fit", "--config", str(recipe), "--name=resumed", "--trainer.limit_val_batches=1"]
    main([*args, "--trainer.max_steps=3"])
    last = folder / "logs" / "resumed" / "version_0" / "checkpoints" / "last.ckpt"
    main([*args, "--trainer.max_steps=5", "--ckpt_path", str(last)])
    resumed = torch.load(last, weights_only=True)
    assert resumed["global_step"] == 5
    assert resumed["hyper_parameters"]["backbone"] == SMALL  # as it was given, for the table of runs


def test_a_run_goes_on_with_another_batch_size_from_an_epoch_s_end(run: Path, tmp_path: Path) -> None:
    settings = ["--data.batch_size=16", "--trainer.limit_train_batches=6", "--trainer.val_check_interval=4"]
    logs = ["--log_dir", str(tmp_path), "--name=on"]
    main(["fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *settings, "--trainer.max_epochs=3", *logs])
    logged = pd.read_csv(tmp_path / "on" / "version_0" / "metrics.csv").dropna(subset="train/accuracy")
    assert logged[["epoch", "step"]].to_numpy().tolist() == [[1, 2 * 4 - 1], [2, 2 * 4 + 6 - 1]]


# A user's mistakes


def test_unknown_keys_and_wrong_types_are_named(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(["fit", "--config", str(recipe), "--data.batchsize=3"], capsys)
    assert "there is no --data.batchsize: did you mean --data.batch_size?" in message
    message = refused(["fit", "--config", str(recipe), "--model.learning_rate", "1e-4"], capsys)
    assert "there is no --model.learning_rate: did you mean --model.lr?" in message
    assert "max_epochs" in refused(["fit", "--config", str(recipe), "--trainer.max_epochs=many"], capsys)
    assert "missing.yaml" in refused(["fit", "--config", "missing.yaml"], capsys)
    assert "trein" in refused(["trein"], capsys)


def test_unknown_key_in_yaml_is_named(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = yaml.safe_load(recipe.read_text())
    settings["model"]["learning_rate"] = 1
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(settings))
    message = refused(["fit", "--config", str(tmp_path / "bad.yaml")], capsys)
    assert f"{tmp_path}/bad.yaml: there is no key model.learning_rate: did you mean model.lr?" in message


def test_a_key_is_not_shortened(recipe: Path, best: str, capsys: pytest.CaptureFixture[str]) -> None:
    # It would go past what puts --config first and reads the checkpoint.
    fit = ["fit", "--config", str(recipe)]
    assert "did you mean --trainer.max_epochs?" in refused([*fit, "--trainer.max_epoch=1"], capsys)
    assert "did you mean --config?" in refused([*fit, "--confi", str(recipe)], capsys)
    assert "did you mean --ckpt_path?" in refused(["test", "--ckpt", best], capsys)


def test_missing_and_broken_checkpoints_are_named(
    tmp_path: Path, best: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(Path(best).read_bytes()[:5000])
    for path in ("nowhere.ckpt", str(broken)):
        assert path in refused(["test", "--ckpt_path", path], capsys)
        assert path in (message := refused(["classify", "--ckpt_path", path, "텍스트"], capsys))
        assert not any(word in message for word in ("torch", "weights_only", "Errno"))
    assert "give a checkpoint's file" in refused(["fit", "--ckpt_path="], capsys)


def test_a_logger_that_lacks_an_argument_or_its_package_is_answered(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = ["fit", "--config", str(recipe), "--trainer.max_steps=1", "--trainer.logger"]
    assert "give --trainer.logger.save_dir VALUE" in refused([*fit, "CSVLogger"], capsys)
    absent = type("Absent", (), {"__bool__": lambda self: False, "__str__": lambda self: "try `pip install wandb`"})
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", absent())
    assert "WandbLogger: try `pip install wandb`" in refused([*fit, "WandbLogger"], capsys)


@pytest.mark.parametrize(
    ("args", "way_out"),
    [
        (["fit"], "--config configs/klue.yaml"),
        (["fit", "--trainer.max_epochs=1"], "--model.backbone"),
        (["fit", "--model.backbone.model_type=bert"], "needs vocab_size"),
        (["fit", "--model.backbone=x", "--config=data: {corpus: {name: own}}"], "needs name, train and labels"),
        (["test"], "--ckpt_path FILE"),
        (["validate"], "--ckpt_path FILE"),
        (["predict", "--output=x.csv"], "--ckpt_path FILE"),
    ],
)
def test_what_is_missing_is_named(args: list[str], way_out: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(args, capsys)
    assert way_out in message
    assert "compute_fn" not in message


def test_what_lightning_refuses_before_the_first_step_is_the_user_s(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", "--config", str(recipe), "--name=refused", *LIMITS, "--trainer.val_check_interval=500"]
    assert "batches (4)" in refused(fit, capsys)


def test_a_trial_run_and_one_without_a_logging_interval_end_well(recipe: Path) -> None:
    fit = ["fit", "--config", str(recipe), "--name=trial"]
    main([*fit, "--trainer.fast_dev_run=true"])
    main([*fit, "--trainer.max_steps=2", "--trainer.limit_val_batches=1", "--trainer.log_every_n_steps=0"])


def test_monitor_and_mode_must_agree(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "checkpoint.mode" in refused(
        ["fit", "--config", str(recipe), *LIMITS, "--checkpoint.monitor=val/loss"], capsys
    )


def test_what_cannot_be_monitored_or_end_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "--config", str(recipe)]
    assert "max_epochs" in refused(fit, capsys)
    assert "val/acc:" in refused([*fit, "--trainer.max_steps=1", "--early_stopping.monitor=val/acc"], capsys)
    for key in ("every_n_train_steps=1", "train_time_interval=0:01:00"):
        every = [*fit, "--trainer.max_steps=1", f"--checkpoint.{key}"]
        assert f"checkpoint.{key.split('=')[0]} saves between" in refused(every, capsys)
    assert "foo" in refused([*fit, "--trainer.max_steps=1", "--trainer.strategy=foo"], capsys)
    padded = [*fit, "--trainer.max_steps=1", "--compile=true", "--data.packed=false"]
    assert "data.packed" in refused(padded, capsys)


def test_too_long_is_refused_with_the_limit(recipe: Path, best: str, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["fit", "--config", str(recipe), *LIMITS], ["test", "--ckpt_path", best]):
        assert "give --data.max_length 40 or less" in refused([*args, "--data.max_length=41"], capsys)


def test_debug_alone_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--debug"])
    assert "usage: python -m nsmc_lightning COMMAND" in capsys.readouterr().out


def test_debug_shows_the_traceback() -> None:
    from nsmc_lightning.errors import UserError

    with pytest.raises(UserError):
        main(["test", "--ckpt_path", "nowhere.ckpt", "--debug"])


@pytest.mark.parametrize("command", ["fit", "classify"])
def test_a_command_s_help_lists_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    expected = {"--ckpt_path", "--debug"} | ({"--trust-config", "--model.lr"} if command == "fit" else {"--language"})
    assert all(option in text for option in expected)
