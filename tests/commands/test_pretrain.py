"""The command pretrain: from raw texts to an encoder that fit and transformers take."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.cli import main
from nsmc_lightning.commands import trainer as trainer_room
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.model.backbone import load_encoder
from tests.conftest import ROOT, SMALL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder, raw texts with ratings, and a recipe."""
    folder = tmp_path_factory.mktemp("pretrain")
    rows = demo_rows("train", 400, seed=0)
    tokenizer = train_tokenizer([row[1] for row in rows], 500)
    tokenizer.save_pretrained(folder / "backbone")
    config = transformers.AutoConfig.for_model(**{**SMALL, "vocab_size": len(tokenizer)})
    transformers.AutoModel.from_config(config).save_pretrained(folder / "backbone")
    table = pd.DataFrame(rows, columns=["id", "text", "label"])
    table["stars"] = table["label"].astype(int) * 9 + 1
    table.to_csv(folder / "raw.csv", index=False)
    recipe: dict[str, Any] = {
        "data": {
            "corpus": {"file": str(folder / "raw.csv"), "id_column": "id", "rating_column": "stars"},
            "exclude": str(ROOT / "configs" / "corpus" / "demo.yaml"),
            "val_texts": 40,
            "batch_size": 16,
            "max_length": 40,
        },
        "model": {"backbone": str(folder / "backbone"), "lr": 0.01, "hidden_dropout": 0.0},
        "trainer": {"max_epochs": 3, "log_every_n_steps": 1},
        "log_dir": str(folder),
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def run(folder: Path, name: str, *more: str) -> Path:
    main(["pretrain", "--config", str(folder / "small.yaml"), "--name", name, *more])
    return folder / name / "version_0"


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return run(folder, "whole")


def test_hidden_tokens_are_learnt(whole: Path) -> None:
    table = pd.read_csv(whole / "metrics.csv")
    losses = table["val/loss"].dropna().tolist()
    assert len(losses) == 3
    assert losses[-1] < losses[0] < math.log(500) + 1
    assert table["val/accuracy"].dropna().iloc[-1] > 0.1
    assert (whole / "run.json").is_file()
    assert (whole / "config.yaml").is_file()


def test_its_folder_is_an_encoder_for_transformers_and_for_fit(whole: Path, tmp_path: Path) -> None:
    encoder = whole / "encoder"
    content = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    loaded = load_encoder(str(encoder), pretrained=True, need_pooler=False).state_dict()
    assert all(torch.equal(tensor, content[f"encoder.{name}"]) for name, tensor in loaded.items())
    masked = transformers.AutoModelForMaskedLM.from_pretrained(encoder)
    assert masked.config.architectures == ["BertForMaskedLM"]
    bias = content["head.model.cls.predictions.bias"]
    assert bias.abs().sum() > 0
    assert torch.equal(masked.get_output_embeddings().bias, bias)
    assert masked.config.hidden_dropout_prob == 0.1  # the backbone's, not that of pretraining
    words = ["--config", "configs/demo.yaml", "--model.backbone", str(encoder), "--trainer.max_steps", "2"]
    main(["fit", *words, "--trainer.limit_val_batches", "1", "--log_dir", str(tmp_path), "--data.max_length", "40"])


class _Copy(Callback):
    """Keeps the last.ckpt of a step."""

    def __init__(self, step: int, target: Path) -> None:
        self.step, self.target = step, target

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step and not self.target.exists():
            last = Path(str(trainer.log_dir)) / "checkpoints" / "last.ckpt"
            shutil.copy(last, self.target)


def test_a_resumed_run_ends_as_the_undisturbed_one(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, copy = trainer_room.pretraining_run, tmp_path / "step.ckpt"
    monkeypatch.setattr(
        "nsmc_lightning.commands.pretrain_cli.pretraining_run",
        lambda config, texts: (run := build(config, texts))._replace(callbacks=[_Copy(30, copy), *run.callbacks]),
    )
    run(folder, "disturbed", "--save_minutes", "0")
    assert torch.load(copy, weights_only=True)["global_step"] == 30
    main(["pretrain", "--ckpt_path", str(copy), "--name", "resumed"])
    for name in ("disturbed", "resumed"):
        ours, theirs = (
            torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
            for path in (folder / name / "version_0", whole)
        )
        assert ours["global_step"] == theirs["global_step"] > 30
        for key, tensor in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][key], tensor), key
    curve = pd.read_csv(folder / "resumed" / "version_0" / "metrics.csv")["val/loss"].dropna().tolist()
    assert curve == pd.read_csv(whole / "metrics.csv")["val/loss"].dropna().tolist()[-len(curve) :]


def test_ratings_are_a_second_loss_where_asked(folder: Path) -> None:
    rated = run(folder, "rated", "--model.rating_weight", "1", "--trainer.max_epochs", "1")
    table = pd.read_csv(rated / "metrics.csv")
    assert table["val/rating_loss"].notna().sum() == 1
    assert table["train/rating_loss"].notna().sum() == table["train/loss"].notna().sum()
    loaded = load_encoder(str(rated / "encoder"), pretrained=True, need_pooler=False)
    assert not any("rating" in name for name in loaded.state_dict())


def test_texts_of_a_file_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [row[1] for row in demo_rows("train", 200, seed=1)]
    (tmp_path / "comments.txt").write_text("\n".join(lines), encoding="utf-8")
    words = ["--data.corpus.file", str(tmp_path / "comments.txt"), "--model.backbone", str(folder / "backbone")]
    more = ["--data.val_texts", "20", "--data.max_length", "40", "--trainer.max_steps", "2", "--log_dir", str(tmp_path)]
    main(["pretrain", *words, *more])
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert f"fit --config RECIPE --model.backbone {tmp_path}/default/version_0/encoder" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.corpus.file", "there/is/none.csv"], "none.csv: cannot be read"),
        (["--model.rating_weight", "1", "--data.corpus.rating_column", "null"], "rating_column"),
        (["--trainer.max_epochs", "-1"], "trainer.max_epochs"),
        (["--data.mask_rat", "0.2"], "data.mask_rate"),
        (["--data.corpus", "null"], "data.corpus is missing"),
        (["--data.mask_rate", "1.5"], "data.mask_rate"),
        (["--data.val_texts", "400"], "data.val_texts"),
        (["--data.exclude", "configs/corpus/none.yaml"], "none.yaml"),
    ],
)
def test_mistakes(folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(folder, "mistake", *words)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert message in "".join(lines[-2:]), lines


def test_a_run_without_validations_writes_its_encoder_too(folder: Path) -> None:
    path = run(folder, "unmeasured", "--trainer.limit_val_batches", "0", "--trainer.max_steps", "2")
    content = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    loaded = load_encoder(str(path / "encoder"), pretrained=True, need_pooler=False).state_dict()
    assert all(torch.equal(tensor, content[f"encoder.{name}"]) for name, tensor in loaded.items())


def test_without_a_logger_all_is_in_the_run_s_folder_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = run(folder, "unlogged", "--trainer.logger", "false", "--trainer.max_steps", "1")
    assert {"checkpoints", "config.yaml", "encoder", "run.json"} == {file.name for file in path.iterdir()}
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_names_its_texts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(folder, "infinite", "--model.lr", "1e30", "--model.warmup_steps", "0")
    assert stopped.value.code == 2
    assert "the loss is not finite" in capsys.readouterr().err
    written = json.loads((folder / "infinite" / "version_0" / "non_finite_0.json").read_text(encoding="utf-8"))
    texts = pd.read_csv(folder / "raw.csv", dtype=str)
    assert len(written["ids"]) == len(written["rows"]) == 16
    assert set(written["ids"]) <= set(texts["id"])


def test_checkpoints_of_one_command_are_refused_by_the_other(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(whole / "checkpoints" / "last.ckpt")
    for command in ("fit", "test", "classify"):
        with pytest.raises(SystemExit):
            main([command, "--ckpt_path", last, *(["좋다"] if command == "classify" else [])])
        assert "--model.backbone" in capsys.readouterr().err
