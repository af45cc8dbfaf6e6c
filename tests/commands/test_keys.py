"""A key that there is not is answered with the one that was meant."""

from pathlib import Path

import pytest

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.keys import nearest, refuse_unknown
from nsmc_lightning.errors import UserError

KEYS = """
config ckpt_path seed_everything name log_dir trainer trainer.max_epochs trainer.min_epochs trainer.precision
trainer.gradient_clip_val trainer.callbacks trainer.limit_train_batches model model.backbone model.lr model.layer_decay
model.warmup_ratio model.warmup_steps data data.corpus data.batch_size data.max_length checkpoint.monitor
early_stopping.monitor
"""
KNOWN = KEYS.split()
LINKS = {"model.num_labels": "data.corpus"}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("model.learning_rate", ["model.lr"]),
        ("learning_rate", ["model.lr"]),
        ("lr", ["model.lr"]),
        ("optimizer.lr", ["model.lr"]),
        ("trainer.epochs", ["trainer.max_epochs"]),
        ("data.batchsize", ["data.batch_size"]),
        ("trainer.batch_size", ["data.batch_size"]),
        ("data.train_batch_size", ["data.batch_size"]),
        ("model.backbon", ["model.backbone"]),
        ("trainar", ["trainer"]),
        ("max_seq_length", ["data.max_length"]),
        ("data.max-len", ["data.max_length"]),
        ("model_lr", ["model.lr"]),
        ("trainer.grad_clip", ["trainer.gradient_clip_val"]),
        ("seed", ["seed_everything"]),
        ("fp16", ["trainer.precision"]),
        ("model.warmup", ["model.warmup_ratio"]),
        ("monitor", ["checkpoint.monitor", "early_stopping.monitor"]),
        ("model.freeze", []),
        ("zzz", []),
    ],
)
def test_the_nearest_key_is_found(key: str, meant: list[str]) -> None:
    assert sorted(nearest(key, KNOWN)) == meant


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model.learning_rate", "1"], "there is no --model.learning_rate: did you mean --model.lr?"),
        (["--model.learning_rate=1"], "there is no --model.learning_rate: did you mean --model.lr?"),
        (["--zzz"], "there is no --zzz; --help lists them all."),
        (["--model.num_labels=3"], "--model.num_labels follows from --data.corpus: give that one."),
        (["--config={model: {learning_rate: 1}}"], "there is no key model.learning_rate: did you mean model.lr?"),
        (["--config", "{model: {num_labels: 1}}"], "model.num_labels follows from data.corpus"),
        (["--config", "model: 3"], "model 3: give settings"),
    ],
)
def test_an_unknown_key_is_refused_with_the_way_out(args: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        refuse_unknown(CommandLine(["fit", *args]), KNOWN, LINKS)
    assert said in str(refused.value)


def test_a_file_with_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "리뷰.yaml"
    path.write_text("name: x\nmodel:\n  learning_rate: 1\n")
    with pytest.raises(UserError, match=rf"^{path}: there is no key model.learning_rate: did you mean model.lr\?$"):
        refuse_unknown(CommandLine(["fit", "--config", str(path)]), KNOWN, LINKS)


def test_known_keys_pass_and_what_a_class_takes_is_left_to_the_parser() -> None:
    settings = "{name: x, model: {lr: 1, backbone: {anything: {at: all}}}, model.lr: 2, trainer: {callbacks+: {}}}"
    words = ["--config", settings, "--data.corpus.anything=1", "--model.lr", "-1", "--config", "{}", "--model", "{}"]
    refuse_unknown(CommandLine(["fit", *words, "--trainer.callbacks+=X", "--print_config"]), KNOWN, LINKS)
