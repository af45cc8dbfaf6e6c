"""Settings that are refused before anything is built."""

import pytest
from jsonargparse import Namespace

from nsmc_lightning.commands.settings import refuse_unwise
from nsmc_lightning.errors import UserError

DEFAULTS = {
    "max_epochs": 1,
    "max_steps": -1,
    "limit_train_batches": None,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "overfit_batches": 0.0,
}


def settings(**trainer: float) -> Namespace:
    monitored = {"monitor": "val/accuracy", "mode": "max"}
    return Namespace(
        trainer=Namespace(**{**DEFAULTS, "limit_val_batches": None, "enable_checkpointing": None, **trainer}),
        checkpoint=Namespace(**monitored, dirpath=None, every_n_train_steps=None, train_time_interval=None),
        early_stopping=Namespace(**monitored),
    )


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
    ],
)
def test_what_cannot_train_is_refused_with_the_way_out(key: str, value: float, way_out: str) -> None:
    refuse_unwise(settings())
    with pytest.raises(UserError, match=f"trainer.{key}.*{way_out}"):
        refuse_unwise(settings(**{key: value}))
