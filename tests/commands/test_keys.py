"""A key that there is not is answered with the one that was meant."""

from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from nsmc_lightning.commands.keys import Keys, nearest
from nsmc_lightning.errors import UserError

KNOWN = {
    "config": "path to a configuration",
    "ckpt_path": "checkpoint",
    "seed_everything": "an int",
    "trainer": "",
    "trainer.max_epochs": "Stop training once this number of epochs is reached.",
    "trainer.min_epochs": "Force training for at least these many epochs.",
    "trainer.precision": "Double precision, full precision, mixed precision",
    "trainer.gradient_clip_val": "The value at which to clip gradients.",
    "model": "",
    "model.backbone": "hub id or folder of a pretrained encoder",
    "model.lr": "learning rate at the end of the warm-up.",
    "model.layer_decay": "factor on the learning rate from each layer to the one below.",
    "model.warmup_ratio": "share of all steps over which the learning rate rises from 0.",
    "model.warmup_steps": "number of such steps",
    "data": "",
    "data.batch_size": "reviews in a training batch",
    "data.max_length": "tokens a review is cut to",
    "checkpoint.monitor": "quantity",
    "early_stopping.monitor": "quantity",
}


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
        ("model.warmup", ["model.warmup_ratio", "model.warmup_steps"]),
        ("monitor", ["checkpoint.monitor", "early_stopping.monitor"]),
        ("model.freeze", []),
        ("zzz", []),
    ],
)
def test_the_nearest_key_is_found(key: str, meant: list[str]) -> None:
    assert nearest(key, KNOWN) == meant


class Model:
    def __init__(self, lr: float = 0.1, size: dict | None = None, labels: int = 2) -> None:
        """Takes settings.

        Args:
            lr: learning rate.
            size: anything.
            labels: how many.
        """


@pytest.fixture(scope="module")
def keys() -> Keys:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--corpus", type=int)
    parser.add_class_arguments(Model, "model")
    parser.link_arguments("corpus", "model.labels")
    return Keys.of(parser)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model.learning_rate", "1"], "there is no --model.learning_rate: did you mean --model.lr?"),
        (["--model.learning_rate=1"], "there is no --model.learning_rate: did you mean --model.lr?"),
        (["--zzz"], "there is no --zzz; `python -m nsmc_lightning fit --help` lists them all."),
        (["--model.labels=3"], "--model.labels follows from --corpus: give that one."),
        (["--config={model: {learning_rate: 1}}"], "there is no key model.learning_rate: did you mean model.lr?"),
        (["--config", "{model: {labels: 1}}"], "model.labels follows from corpus"),
        (["--model", "{learning_rate: 1}"], "there is no key model.learning_rate: did you mean model.lr?"),
        (["--config", "a: {"], "line 1: not YAML"),
        (["--config", "[1]"], "not a file of settings"),
        (["--config"], "--config: give a file"),
    ],
)
def test_an_unknown_key_is_refused_with_the_way_out(keys: Keys, args: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        keys.refuse_unknown(["fit", *args])
    assert said in str(refused.value)


def test_a_file_with_an_unknown_key_is_named(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("corpus: 1\nmodel:\n  learning_rate: 1\n")
    with pytest.raises(UserError, match=rf"^{path}: there is no key model.learning_rate: did you mean model.lr\?$"):
        keys.refuse_unknown(["fit", "--config", str(path)])


def test_known_keys_pass_and_what_a_class_takes_is_left_to_the_parser(keys: Keys) -> None:
    settings = "{corpus: 1, model: {lr: 1, size: {anything: {at: all}}}, model.lr: 2, model.size+: {}}"
    keys.refuse_unknown(["fit", "--config", settings, "--model.size.anything=1", "--model.lr", "-1", "--config", "{}"])
