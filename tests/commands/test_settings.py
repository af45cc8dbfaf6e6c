"""Settings that are refused before anything is built."""

from typing import Any

import pytest
from jsonargparse import Namespace

from nsmc_lightning.commands.settings import refuse_contradictions, refuse_spawning
from nsmc_lightning.errors import UserError

DEFAULTS = {
    "max_epochs": 1,
    "max_steps": -1,
    "max_time": None,
    "fast_dev_run": False,
    "limit_train_batches": None,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "overfit_batches": 0.0,
    "log_every_n_steps": 10,
    "gradient_clip_val": 1.0,
}


def settings(**trainer: Any) -> Namespace:
    monitored = {"monitor": "val/accuracy", "mode": "max"}
    return Namespace(
        trainer=Namespace(**{**DEFAULTS, "limit_val_batches": None, "enable_checkpointing": None, **trainer}),
        checkpoint=Namespace(**monitored, dirpath=None, every_n_train_steps=None, train_time_interval=None),
        early_stopping=Namespace(**monitored),
        save_minutes=10.0,
    )


@pytest.mark.parametrize("end", [{}, {"max_time": "00:01:00:00"}, {"max_epochs": -1}])
def test_training_needs_an_end_that_its_learning_rates_can_be_planned_for(end: dict[str, Any]) -> None:
    endless = {"max_epochs": None, **end}
    with pytest.raises(UserError, match=r"--trainer\.max_epochs .* --trainer\.max_steps"):
        refuse_contradictions(settings(**endless))
    refuse_contradictions(settings(**{**endless, "max_steps": 100}))
    refuse_contradictions(settings(**{**endless, "fast_dev_run": True}))


@pytest.mark.parametrize(
    ("key", "value", "way_out"),
    [
        ("accumulate_grad_batches", 0, "at least 1"),
        ("check_val_every_n_epoch", 0, "at least 1"),
        ("max_epochs", 0, "larger"),
        ("max_steps", 0, "larger"),
        ("limit_train_batches", 0.0, "larger"),
        ("overfit_batches", 4, "--trainer.limit_train_batches 4"),
        ("overfit_batches", 0.5, "--trainer.limit_train_batches 0.5"),
        ("log_every_n_steps", -1, "or 0"),
        ("gradient_clip_val", -1, "or 0"),
        ("gradient_clip_val", float("nan"), "or 0"),
    ],
)
def test_what_cannot_train_is_refused_with_the_way_out(key: str, value: float, way_out: str) -> None:
    refuse_contradictions(settings())
    with pytest.raises(UserError, match=f"trainer.{key}.*{way_out}"):
        refuse_contradictions(settings(**{key: value}))


@pytest.mark.parametrize("minutes", [-1.0, float("inf"), float("nan"), 1e300])
def test_minutes_between_saves_are_a_time(minutes: float) -> None:
    config = settings()
    config.save_minutes = 0.0
    refuse_contradictions(config)
    config.save_minutes = minutes
    with pytest.raises(UserError, match=r"^save_minutes is .*0 to save at each step"):
        refuse_contradictions(config)


def strategy(start_method: str) -> Namespace:
    name = "lightning.pytorch.strategies.DDPStrategy"
    return Namespace(class_path=name, init_args=Namespace(start_method=start_method))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("ddp_spawn", "trainer.strategy ddp_spawn"),
        ("ddp_spawn_find_unused_parameters_true", "trainer.strategy ddp_spawn_find_unused_parameters_true"),
        (strategy("spawn"), "trainer.strategy.start_method spawn"),
        (strategy("forkserver"), "trainer.strategy.start_method forkserver"),
    ],
    ids=str,
)
def test_processes_that_would_be_sent_the_trainer_are_refused(given: str | Namespace, key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}: .*\n.*--trainer\.strategy ddp,"):
        refuse_spawning(given)


@pytest.mark.parametrize(
    "given",
    ["auto", "ddp", "ddp_fork", "fsdp", strategy("popen"), Namespace(class_path="x.SingleDeviceStrategy")],
    ids=str,
)
def test_other_strategies_pass(given: str | Namespace) -> None:
    refuse_spawning(given)
