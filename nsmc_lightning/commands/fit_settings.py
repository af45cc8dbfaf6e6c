"""The settings of a fit without running it, as its run's ``config.yaml`` has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.classifier_cli import ClassifierCLI
from nsmc_lightning.commands.lightning_cli import quieten_banners
from nsmc_lightning.errors import running

# They differ between runs that have the same settings.
_NOT_COMPARED = ("seed_everything", "log_dir", "name", "version")


class _Settled(Exception):
    """Carries the settings out of the constructor, which would build the classes next."""


class _Settings(ClassifierCLI):
    def instantiate_classes(self) -> None:
        raise _Settled(self.config_text)


def fit_settings(line: CommandLine) -> dict[str, Any]:
    """Return the settings of a fit by group and key.

    Raises:
        UserError: a key or a value that fit refuses before it builds the model.
    """
    quieten_banners()
    with running(), TemporaryDirectory() as folder:
        try:
            _Settings(line, folder)
        except _Settled as settled:
            return yaml.safe_load(settled.args[0])
    raise AssertionError("the constructor builds the classes")


def first_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first key on which two runs' settings differ, with both values; None where they are the same.

    Seed and place are not compared; a key that one of them lacks has the value None there.
    """
    first, second = dict(_flat(ours)), dict(_flat(theirs))
    for key in [key for key in {**first, **second} if key not in _NOT_COMPARED]:
        if first.get(key) != second.get(key):
            return key, first.get(key), second.get(key)
    return None


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
