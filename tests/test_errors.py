"""What a user sees of an error: their own mistakes in a line, a program's errors with a traceback."""

import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

import pytest
from jsonargparse import ArgumentParser
from jsonargparse.typing import ClosedUnitInterval, PositiveFloat, PositiveInt
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher

from nsmc_lightning.commands.trust import restrict_imports
from nsmc_lightning.data.corpus import Corpus
from nsmc_lightning.errors import UserError, building_trainer, parsing, running, shown_to_user
from nsmc_lightning.signature import NumClasses


def test_a_user_s_mistake_is_short_and_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, shown_to_user(debug=False):
        raise UserError("data.x is 3: give 4.")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: data.x is 3: give 4.\n"


def test_a_program_s_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), shown_to_user(debug=False):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="of ours"), parsing():
        raise ValueError("of ours")
    with pytest.raises(ValueError, match="of ours"), building_trainer({}):
        raise ValueError("of ours")
    with pytest.raises(ValueError, match="prefetch_batches"), running():
        _PrefetchDataFetcher(prefetch_batches=-1)
    with pytest.raises(ModuleNotFoundError), running():
        raise ModuleNotFoundError("No module named 'own'")


# The parser's refusals


class Settings:
    """Slots of the kinds that settings have."""

    def __init__(
        self,
        logger: Logger | Iterable[Logger] | bool | None = None,
        callbacks: list[Callback] | Callback | None = None,
        corpus: Corpus | None = None,
        epochs: int | None = None,
        lr: PositiveFloat = 1.0,
        steps: PositiveInt = 1,
        share: ClosedUnitInterval | None = None,
        classes: NumClasses | Literal["all", "none"] = 2,
        packed: bool = True,
        clip: float | int | None = None,
        precision: Literal[64, 32] | Literal["bf16", "32"] | None = None,
        sizes: list[int] | None = None,
        every: timedelta | None = None,
    ) -> None:
        pass


def refused(*args: str) -> str:
    """What a user sees of the parser's refusal."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings, "trainer", sub_configs=True)
    with pytest.raises(UserError) as error, parsing():
        parser.instantiate(parser.parse_args(restrict_imports(list(args))))
    return str(error.value)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("epochs=many", "trainer.epochs many: give a whole number."),
        ("clip=x", "trainer.clip x: give a number."),
        ("packed=maybe", "trainer.packed maybe: give true or false."),
        ("precision=8", "trainer.precision 8: give one of 64, 32, bf16."),
        ("sizes=3", "trainer.sizes 3: give a list, [A, B]."),
        ("every=soon", "trainer.every soon: give a time, H:MM:SS."),
        ("lr=0", "trainer.lr 0: give a number above 0."),
        ("lr=x", "trainer.lr x: give a number."),
        ("lr=null", "trainer.lr: give a number."),
        ("steps=1.5", "trainer.steps 1.5: give a whole number."),
        ("share=2", "trainer.share 2: give a number at least 0 and at most 1."),
        ("classes=1", "trainer.classes 1: give a number at least 2 or one of all, none."),
        ("corpus.labels=3", "trainer.corpus.labels 3: give a list, [A, B]."),
        ("corpus.format=xlsx", "trainer.corpus.format xlsx: give one of tsv, csv, jsonl, parquet, folders."),
    ],
)
def test_a_value_is_answered_with_what_its_key_takes(args: str, said: str) -> None:
    assert refused(f"--trainer.{args}") == said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["logger=CSVLogger"], "trainer.logger: CSVLogger needs save_dir: give --trainer.logger.save_dir"),
        (["callbacks+=EarlyStopping"], "EarlyStopping needs monitor: give --trainer.callbacks.monitor"),
        (
            ["callbacks+=ModelSummary", "callbacks.maxdepth=1"],
            "trainer.callbacks: ModelSummary has no argument maxdepth: did you mean max_depth?",
        ),
        (["callbacks+=ModelSummary", "callbacks.max_depth=x"], "trainer.callbacks.max_depth x: give a whole number."),
        (["callbacks+=ModelSummery"], "there is no ModelSummery: did you mean ModelSummary?"),
        (["logger=NeptuneLogger"], "trainer.logger: NeptuneLogger is none of Lightning's"),
        (["logger=lightning.pytorch.loggers.Nothing"], "lightning.pytorch.loggers' has no attribute 'Nothing'"),
        (["logger=lightning.pytorch.callbacks.Timer"], "not a Logger."),
        (["logger.save_dir=x"], "give the class before it, --trainer.logger CLASS."),
        (["callbacks=own.Own"], "trainer.callbacks names own.Own, which is neither Lightning's nor this package's"),
        (
            ['corpus={"name": x, "train": {"file": t}, "labels": [{"value": a, "nam": b}]}'],
            "trainer.corpus.labels: Label has no argument nam: did you mean name?",
        ),
    ],
)
def test_a_class_that_cannot_be_built_is_answered_in_a_line(args: list[str], said: str) -> None:
    message = refused(*(f"--trainer.{arg}" for arg in args))
    assert said in message
    assert message.startswith("trainer.")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["WandbLogger", "MLFlowLogger", "CometLogger"])
def test_a_logger_s_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"lightning.pytorch.loggers.{name.removesuffix('Logger').lower()}"
    package = f"_{name.removesuffix('Logger').upper()}_AVAILABLE"
    absent = type("Absent", (), {"__bool__": lambda self: False, "__str__": lambda self: "try `pip install 'x>=1'`"})
    monkeypatch.setattr(f"{module}.{package}", absent())
    message = refused(f"--trainer.logger={name}")
    assert name in message
    assert message.endswith("`pip install 'x>=1'`")


def test_a_long_message_without_a_rule_is_cut_to_key_and_reason() -> None:
    message = refused("--trainer.callbacks", str(["x" * 50] * 50))
    assert message.startswith("trainer.callbacks: ")
    assert len(message) <= 400


# Lightning's refusals


def not_built(**trainer: Any) -> str:
    """The message about settings that no trainer can be built from."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    settings = {"accelerator": "auto", "strategy": "auto", "devices": "auto", **trainer}
    with pytest.raises(UserError) as error, building_trainer(settings):
        Trainer(**settings, **quiet)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("trainer", "way_out"),
    [
        ({"accelerator": "tpu"}, "give --trainer.accelerator auto"),
        ({"accelerator": "nonsense"}, "trainer.accelerator nonsense: there is none of this name; give auto, cpu"),
        ({"strategy": "nonsense"}, "trainer.strategy nonsense: there is none of this name; give auto, ddp"),
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
    assert not_built(accelerator="gpu", devices=4).startswith("trainer.devices 4: this machine has the GPUs [0, 1];")
    assert "trainer.devices x: give a number" in not_built(accelerator="gpu", devices="x")


def test_a_package_that_a_run_misses_is_the_user_s_to_install() -> None:
    with pytest.raises(UserError, match="pip install -U 'psutil'"), running():
        raise ModuleNotFoundError("Requirement 'psutil' not met. HINT: Try running `pip install -U 'psutil'`")


@pytest.mark.parametrize(("process", "lines"), [({}, ["seen"]), ({"LOCAL_RANK": "0"}, ["seen"]), ({"RANK": "1"}, [])])
def test_the_first_process_reports_also_before_lightning_is_imported(process: dict[str, str], lines: list[str]) -> None:
    program = (
        "import logging, sys; from nsmc_lightning.errors import report;"
        "logging.basicConfig(format='%(message)s', level=0); report('seen'); assert 'lightning' not in sys.modules"
    )
    env = {"PYTHONPATH": ":".join(sys.path), **process}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == lines
