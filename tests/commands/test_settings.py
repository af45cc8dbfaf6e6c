"""Settings that are refused before anything is built, and Lightning's own refusals."""

from typing import Any

import pytest
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher

from nsmc_lightning.commands.settings import no_trainer, refuse_unwise, refused_by_lightning
from nsmc_lightning.errors import UserError

DEFAULTS = {
    "max_epochs": 1,
    "max_steps": -1,
    "limit_train_batches": None,
    "accumulate_grad_batches": 1,
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


def test_a_value_error_from_elsewhere_is_the_program_s() -> None:
    def setup_data() -> None:
        raise ValueError("of ours")

    with pytest.raises(ValueError, match="of ours"), refused_by_lightning():
        setup_data()
    with pytest.raises(ValueError, match="prefetch_batches"), refused_by_lightning():
        _PrefetchDataFetcher(prefetch_batches=-1)  # Lightning's, but not as it sets up a loop


def not_built(**trainer: Any) -> str:
    """The message about settings that no trainer can be built from."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    config = Namespace(**{"accelerator": "auto", "strategy": "auto", "devices": "auto", **trainer})
    with pytest.raises(UserError) as refused, no_trainer(config):
        Trainer(**config.as_dict(), **quiet)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("trainer", "way_out"),
    [
        ({"accelerator": "tpu"}, "give --trainer.accelerator auto"),
        ({"accelerator": "nonsense"}, "trainer.accelerator nonsense: there is no such accelerator; give auto, cpu"),
        ({"strategy": "nonsense"}, "trainer.strategy nonsense: there is no such strategy; give auto, ddp"),
        ({"accelerator": "cpu", "devices": 0}, "trainer.devices 0: give a number of processes from 1 up"),
        ({"accelerator": "cpu", "devices": -3}, "trainer.devices -3: give a number of processes from 1 up"),
        ({"accelerator": "cpu", "devices": "x"}, "trainer.devices x: give a number of processes from 1 up"),
        ({"accelerator": "cpu", "strategy": "fsdp"}, "trainer: The strategy `fsdp` requires a GPU"),
        ({"accelerator": "cpu", "limit_val_batches": -1}, "trainer: You have passed invalid value -1 for limit_val"),
    ],
)
def test_a_trainer_that_cannot_be_built_is_answered_with_the_way_out(trainer: dict[str, Any], way_out: str) -> None:
    assert way_out in not_built(**trainer)


def test_gpus_that_there_are_not_are_answered_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for name in ("gpu", "cuda"):
        assert f"trainer.accelerator {name}: PyTorch finds none" in not_built(accelerator=name, devices=4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert not_built(accelerator="gpu", devices=4).startswith("trainer.devices 4: the GPUs of this machine are [0, 1];")
    assert "trainer.devices x: give a number" in not_built(accelerator="gpu", devices="x")


def test_a_mistake_within_an_own_class_is_the_program_s() -> None:
    with pytest.raises(ValueError, match="of ours"), no_trainer(Namespace()):
        raise ValueError("of ours")
