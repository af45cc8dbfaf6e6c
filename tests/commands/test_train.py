"""A run that resumes under other settings than it was interrupted with, by main(args)."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nsmc_lightning.cli import main
from tests.conftest import SMALL

CORPUS = Path(__file__).parents[2] / "configs" / "corpus" / "demo.yaml"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs, whose best checkpoint is by the dev loss."""
    folder = tmp_path_factory.mktemp("resume")
    settings = {
        "data": {"corpus": str(CORPUS), "cache_dir": str(folder / "cache"), "max_length": 40},
        "model": {"backbone": SMALL, "lr": 0.003},
        "trainer": {"limit_train_batches": 6, "limit_val_batches": 2, "log_every_n_steps": 1},
        "checkpoint": {"monitor": "val/loss", "mode": "min"},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    main(["fit", "--config", str(folder / "small.yaml"), "--log_dir", str(folder), "--trainer.max_epochs=2"])
    return folder / "small" / "version_0"


@pytest.mark.parametrize(
    "plan", [[], ["--trainer.max_epochs=1"], ["--trainer.max_steps=12"], ["--trainer.accumulate_grad_batches=3"]]
)
def test_a_plan_that_is_over_is_refused_and_nothing_is_lost(
    first: Path, plan: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--ckpt_path", str(first / "checkpoints" / "last.ckpt"), *plan])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.partition("error: ")[2].splitlines()
    assert len(error) == 2
    assert "nothing is left to train" in error[0]
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before


def test_a_longer_plan_trains_on_at_its_own_rates(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = first / "checkpoints" / "last.ckpt"
    args = ["--name=longer", "--trainer.max_epochs=4", "--trainer.accumulate_grad_batches=2"]
    capsys.readouterr()
    main(["fit", "--ckpt_path", str(last), *args])
    run = first.parents[1] / "longer" / "version_0"
    (path,) = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("checkpoint:")]
    assert Path(path) == run / "checkpoints" / "best.ckpt"
    assert Path(path).is_file()
    metrics = pd.read_csv(run / "metrics.csv")
    rates = metrics.groupby("step")["lr-AdamW/all_decay"].first().dropna()
    assert rates.index.tolist() == list(range(12, 18))  # 2 epochs of 6 batches in steps of 2, after 12 steps
    assert rates.tolist() == pytest.approx([0.003 * (18 - step) / (18 - 2) for step in range(12, 18)])  # 2 of warm-up


def test_the_settings_of_a_resumed_run_start_a_new_one(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, runs = first / "checkpoints" / "last.ckpt", first.parents[1] / "again"
    main(["fit", "--ckpt_path", str(last), "--name=again", "--trainer.max_epochs=3"])
    config = runs / "version_0" / "config.yaml"
    main(["fit", "--config", str(config), "--trainer.max_steps=1", "--trainer.limit_val_batches=1"])
    records = [json.loads((runs / f"version_{i}" / "run.json").read_text(encoding="utf-8")) for i in range(2)]
    assert [record["ckpt_path"] for record in records] == [str(last), None]
    config.write_text(f"{config.read_text(encoding='utf-8')}\n".replace("ckpt_path: null", "ckpt_path: last"), "utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config)])
    error = capsys.readouterr().err
    assert "ckpt_path last is in a file of settings" in error
    assert "--ckpt_path last" in error


def test_steps_have_the_numbers_of_a_run_that_was_never_cut_off(first: Path) -> None:
    args = ["fit", "--config", str(first.parents[1] / "small.yaml"), "--log_dir", str(first.parents[1])]
    plan = ["--model.schedule=constant", "--model.warmup_steps=0"]
    main([*args, *plan, "--name=whole", "--trainer.max_steps=9"])
    main([*args, *plan, "--name=cut", "--trainer.max_steps=4"])  # within an epoch, where no validation is due
    last = first.parents[1] / "cut" / "version_0" / "checkpoints" / "last.ckpt"
    main(["fit", "--ckpt_path", str(last), "--trainer.max_steps=9"])
    tables = [pd.read_csv(first.parents[1] / name / "version_0" / "metrics.csv") for name in ("cut", "whole")]
    cut, whole = (table.groupby("step")[["train/loss", "lr-AdamW/all_decay"]].first() for table in tables)
    pd.testing.assert_frame_equal(cut, whole, check_exact=True)


def test_the_best_of_a_new_search_takes_the_place_of_the_old(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = first / "checkpoints"
    capsys.readouterr()
    settings = ["--trainer.max_epochs=3", "--checkpoint.monitor=val/accuracy", "--checkpoint.mode=max"]
    main(["fit", "--ckpt_path", str(folder), *settings])
    assert f"checkpoint:  {folder / 'best.ckpt'}" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
