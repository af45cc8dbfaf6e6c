"""Write ``help.json`` from the parser: ``make help-text``."""

import json
import os
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.classifier_cli import ClassifierCLI
from nsmc_lightning.commands.help import FILE, Help, sources
from nsmc_lightning.commands.lightning_cli import known_keys

_COMMANDS = ("fit", "validate", "test", "predict")
_WIDEST = 100_000  # columns: no line is wrapped


class _Built(Exception):
    """Carries a parser out of the constructor that would parse with it."""


class _Unparsed(ClassifierCLI):
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise _Built(self.command_parser)


def _parser_of(command: str) -> LightningArgumentParser:
    try:
        _Unparsed(CommandLine([command]), folder="")
    except _Built as built:
        return built.args[0]
    raise AssertionError("the constructor parses")


def from_parser() -> Help:
    """Return the help and the keys of the parsers, which differ only in usage and description."""
    os.environ["COLUMNS"] = str(_WIDEST)
    parsers = {command: _parser_of(command) for command in _COMMANDS}
    keys = {tuple(sorted(known_keys(parser))) for parser in parsers.values()}
    texts = {command: parser.format_help().split("\n\n", 2) for command, parser in parsers.items()}
    (keys_of_all,), (options,) = keys, {rest for _, _, rest in texts.values()}
    heads = {command: [usage, description] for command, (usage, description, _) in texts.items()}
    return Help(sources(), list(keys_of_all), heads, options.splitlines())


if __name__ == "__main__":
    text = json.dumps(from_parser()._asdict(), ensure_ascii=False, indent=1)
    FILE.write_text(f"{text}\n", encoding="utf-8")
    print(FILE)
