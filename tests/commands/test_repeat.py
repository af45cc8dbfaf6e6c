"""repeat: two seeds through main(args), and what is left to do for a seed in each state."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from sklearn.metrics import accuracy_score, brier_score_loss

from nsmc_lightning.cli import main
from nsmc_lightning.commands import children
from nsmc_lightning.commands.repeat import _slots
from nsmc_lightning.commands.seed_run import SeedRun
from nsmc_lightning.errors import UserError
from tests.conftest import ROOT, SMALL


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeat")
    settings = {
        "data": {"corpus": str(ROOT / "configs" / "corpus" / "demo.yaml"), "max_length": 40},
        "model": {"backbone": SMALL, "lr": 0.003},
        "trainer": {"max_epochs": 1, "limit_train_batches": 3, "limit_val_batches": 2, "limit_test_batches": 2},
        "log_dir": str(folder / "logs"),
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Run the commands in this process, which has the imports behind it; return them."""
    commands: list[list[str]] = []

    def start(words: list[str], *_: object) -> Any:
        commands.append(words)
        main(words)
        return SimpleNamespace(poll=lambda: 0, returncode=0)

    monkeypatch.setattr(children, "start", start)
    return commands


def test_two_seeds_are_trained_and_tested_once(
    recipe: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["repeat", "--config", str(recipe), "--seeds=5,3"]
    main([*words, "--trainer.log_every_n_steps=1"])
    assert [command[0] for command in started] == ["fit", "test"] * 2
    folder = recipe.parent / "logs" / "small" / "repeat"
    content = json.loads((folder / "repeat.json").read_text(encoding="utf-8"))
    tables = [pd.read_csv(folder / f"seed_{seed}" / "test.csv").dropna(subset="label") for seed in (5, 3)]
    for name, score in (
        ("accuracy", lambda table: accuracy_score(table["target"], table["label"])),
        ("brier", lambda table: brier_score_loss(table["target"] == "positive", table["probability_positive"])),
    ):
        values = [score(table) for table in tables]
        assert [run["test"][name] for run in content["runs"]] == pytest.approx(values)
        assert content["test"][name]["mean"] == pytest.approx(sum(values) / 2)
    records = [json.loads((folder / f"seed_{seed}" / "run.json").read_text(encoding="utf-8")) for seed in (5, 3)]
    assert [record["seed"] for record in records] == [5, 3]
    assert records[0]["sha256"] == records[1]["sha256"]
    assert content["median"]["seed"] in (5, 3)

    started.clear()
    main([*words, "--trainer.log_every_n_steps=1"])  # finished
    assert started == []
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--trainer.log_every_n_steps=2"])
    error = capsys.readouterr().err.splitlines()
    assert (stopped.value.code, len(error)) == (2, 2)
    assert "trainer.log_every_n_steps is 2, but seed 5 was trained with 1" in error[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds=0"], "--seeds 0"),
        (["--seeds=3,3"], "--seeds 3,3"),
        (["--seeds=2", "--seed_everything=1"], "--seeds"),
        (["--seeds=2", "--model.learning_rate=1"], "model.lr"),
        (["--seeds=2", "--trainer.fast_dev_run=true"], "checkpoint"),
        (["--seeds=2", "--checkpoint.dirpath=x"], "checkpoint.dirpath"),
    ],
)
def test_mistakes_are_refused_before_anything_is_trained(
    words: list[str], message: str, recipe: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["repeat", "--config", str(recipe), "--name=refused", *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert started == []
    assert not (recipe.parent / "logs" / "refused").exists()


@pytest.fixture
def seed(tmp_path: Path) -> Callable[..., SeedRun]:
    """Build a seed's run with the files that are there."""

    def build(*files: str, result: bool = False) -> SeedRun:
        run = SeedRun(4, str(tmp_path), "small/repeat", ["--model.lr=1"])
        for file in ("run.json", *files):
            (run.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / file).touch()
        (run.folder / "run.json").write_text(json.dumps({"result": {}} if result else {}), encoding="utf-8")
        return run

    return build


def test_a_seed_does_what_it_lacks(seed: Callable[..., SeedRun], tmp_path: Path) -> None:
    place = [f"--log_dir={tmp_path}", "--name=small/repeat", "--version=seed_4"]
    fit = ["fit", "--model.lr=1", "--seed_everything=4", *place]
    checkpoints = tmp_path / "small" / "repeat" / "seed_4" / "checkpoints"
    assert next(seed().commands()) == fit
    assert not (tmp_path / "small" / "repeat" / "seed_4").exists()  # killed before its first checkpoint
    stopped = seed("checkpoints/last.ckpt", "checkpoints/best.ckpt")
    test = ["test", "--model.lr=1", f"--ckpt_path={checkpoints / 'best.ckpt'}"]
    assert list(stopped.commands()) == [[*fit, f"--ckpt_path={checkpoints / 'last.ckpt'}"], test]
    trained = seed("checkpoints/last.ckpt", "checkpoints/best.ckpt", result=True)
    assert list(trained.commands()) == [test]
    assert not trained.is_finished
    assert not seed("test.csv", result=True).is_finished  # killed before its report
    assert seed("test.csv", "test.json", result=True).is_finished


def test_a_run_without_a_best_checkpoint_is_tested_at_its_end(seed: Callable[..., SeedRun]) -> None:
    run = seed("checkpoints/last.ckpt", "test-last.csv", "test-last.json", result=True)
    assert run.checkpoint.name == "last.ckpt"
    assert run.is_finished


def test_another_seed_or_place_is_no_other_setting(seed: Callable[..., SeedRun]) -> None:
    run = seed()
    settings = {"seed_everything": 1, "name": "small", "log_dir": "logs", "model": {"lr": 1, "backbone": {"a": 1}}}
    (run.folder / "config.yaml").write_text(yaml.safe_dump({**settings, "seed_everything": 4, "name": "x"}), "utf-8")
    run.refuse_other_settings(settings)
    with pytest.raises(UserError, match=r"^model\.backbone\.a is 2, but seed 4 was trained with 1 "):
        run.refuse_other_settings({**settings, "model": {"lr": 1, "backbone": {"a": 2}}})


def test_jobs_share_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [slot.environment for slot in _slots(3)] == [{"CUDA_VISIBLE_DEVICES": number} for number in "474"]
    assert [slot.environment for slot in _slots(1)] == [{}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    assert [slot.environment for slot in _slots(2)] == [{"OMP_NUM_THREADS": "4"}] * 2
