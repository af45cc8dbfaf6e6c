"""A mistake in a class that a setting names gets a line with key, class and the way out."""

from argparse import ArgumentError
from collections.abc import Iterable

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from nsmc_lightning.commands.classes import missing_package
from nsmc_lightning.commands.refusals import condense
from nsmc_lightning.commands.trust import restrict_imports


class Settings:
    """Slots of the kinds that the trainer has."""

    def __init__(
        self, logger: Logger | Iterable[Logger] | bool | None = None, callbacks: list[Callback] | Callback | None = None
    ) -> None:
        pass


def refused(*args: str) -> str:
    """What a user sees of the parser's refusal."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings, "trainer", sub_configs=True)
    with pytest.raises((ArgumentError, ValueError)) as error:
        parser.instantiate(parser.parse_args(restrict_imports(list(args))))
    return condense(str(error.value))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--trainer.logger=CSVLogger"], "trainer.logger: CSVLogger needs save_dir: give --trainer.logger.save_dir"),
        (["--trainer.callbacks+=EarlyStopping"], "EarlyStopping needs monitor: give --trainer.callbacks.monitor"),
        (
            ["--trainer.callbacks+=ModelSummary", "--trainer.callbacks.maxdepth=1"],
            "trainer.callbacks: ModelSummary has no argument maxdepth: did you mean max_depth?",
        ),
        (
            ["--trainer.callbacks+=ModelSummary", "--trainer.callbacks.max_depth=x"],
            "trainer.callbacks.max_depth x: give a whole number.",
        ),
        (["--trainer.callbacks+=ModelSummery"], "there is no ModelSummery: did you mean ModelSummary?"),
        (["--trainer.logger=NeptuneLogger"], "trainer.logger: NeptuneLogger is none of Lightning's"),
        (
            ["--trainer.logger=lightning.pytorch.loggers.Nothing"],
            "lightning.pytorch.loggers.Nothing cannot be imported",
        ),
        (["--trainer.logger=lightning.pytorch.callbacks.Timer"], "that is not a Logger."),
        (["--trainer.logger.save_dir=x"], "name that before it, --trainer.logger CLASS."),
    ],
)
def test_a_class_that_cannot_be_is_answered_in_a_line(args: list[str], said: str) -> None:
    message = refused(*args)
    assert said in message
    assert message.startswith("trainer.")
    assert len(message) <= 240
    assert "\n" not in message


@pytest.mark.parametrize("name", ["WandbLogger", "MLFlowLogger", "CometLogger"])
def test_a_logger_s_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"lightning.pytorch.loggers.{name.removesuffix('Logger').lower()}"
    package = f"_{name.removesuffix('Logger').upper()}_AVAILABLE"
    absent = type("Absent", (), {"__bool__": lambda self: False, "__str__": lambda self: "`pip install -U 'x>=1'`"})
    monkeypatch.setattr(f"{module}.{package}", absent())
    assert refused(f"--trainer.logger={name}") == (
        f"trainer.logger: {name} needs a package that is not installed: pip install -U 'x>=1'"
    )


def test_a_package_that_a_run_misses_is_said_as_lightning_says_it() -> None:
    assert missing_package("`X` needs psutil.\nHINT: Try running `pip install -U 'psutil'`") == (
        "`X` needs psutil. HINT: Try running `pip install -U 'psutil'`"
    )
    assert missing_package("No module named 'own'") is None
