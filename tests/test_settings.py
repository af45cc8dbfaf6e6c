"""Settings that are refused before anything is built, and Lightning's own refusals."""

import pytest
from jsonargparse import Namespace
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher

from nsmc_lightning.settings import refuse_unwise, refused_by_lightning
from nsmc_lightning.types import UserError

DEFAULTS = {"max_epochs": 1, "max_steps": -1, "accumulate_grad_batches": 1, "overfit_batches": 0.0}


def settings(**trainer: float) -> Namespace:
    monitored = {"monitor": "val/accuracy", "mode": "max"}
    return Namespace(
        trainer=Namespace(**{**DEFAULTS, "limit_val_batches": None, "enable_checkpointing": None, **trainer}),
        checkpoint=Namespace(**monitored, every_n_train_steps=None),
        early_stopping=Namespace(**monitored),
    )


@pytest.mark.parametrize(
    ("key", "value", "way_out"),
    [
        ("accumulate_grad_batches", 0, "at least 1"),
        ("overfit_batches", 4, "--trainer.limit_train_batches 4"),
        ("overfit_batches", 0.5, "--trainer.limit_train_batches 0.5"),
    ],
)
def test_what_cannot_train_is_refused_with_the_way_out(key: str, value: float, way_out: str) -> None:
    refuse_unwise(settings())
    with pytest.raises(UserError, match=f"trainer.{key}.*{way_out}"):
        refuse_unwise(settings(**{key: value}))


def test_a_value_error_from_elsewhere_is_the_program_s() -> None:
    def setup_data() -> None:
        raise ValueError("of ours")

    with pytest.raises(ValueError, match="of ours"), refused_by_lightning():
        setup_data()
    with pytest.raises(ValueError, match="prefetch_batches"), refused_by_lightning():
        _PrefetchDataFetcher(prefetch_batches=-1)  # Lightning's, but not as it sets up a loop
