"""The help text and the keys of the parser, shipped in ``help.json``: building the parser takes seconds of imports.

``make help-text`` writes the file. It records what it was made from, and is not used where that has changed.
"""

import ast
import hashlib
import json
import platform
import shutil
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("help.json")

# Those that determine the parser: whose signatures it reads, and what reads, explains and prints them.
LIBRARIES = ("lightning", "jsonargparse", "docstring_parser", "typeshed_client")
_PACKAGE = Path(__file__).parents[1]
_PARSERS = ("commands/lightning_cli.py", "commands/classifier_cli.py")
# The files of the classes whose arguments are keys, with those of their types and base classes.
CLASSES = (
    *("model/module.py", "model/encoder_module.py", "model/network.py", "data/module.py", "data/corpus.py"),
    *("run/average_weights.py", "run/save_best.py", "run/stop_early.py", "run/loop.py", "signature.py", "types.py"),
)
_COLUMN = 24  # where argparse puts the explanations
_NARROWEST = 44  # columns; on a narrower line argparse would put them elsewhere


class Help(NamedTuple):
    """The content of ``help.json``.

    Args:
        made_from: versions of Python and of ``LIBRARIES``, and a checksum of our signatures.
        keys: the parser's keys, groups among them; of all commands alike.
        heads: usage and description of each command.
        options: the lines on the options, none of them wrapped; of all commands alike.
    """

    made_from: dict[str, str]
    keys: list[str]
    heads: dict[str, list[str]]
    options: list[str]

    @classmethod
    def read(cls) -> "Help":
        """Read the shipped file."""
        return cls(**json.loads(FILE.read_text(encoding="utf-8")))

    def is_current(self) -> bool:
        """Return whether a parser built here has this help and these keys."""
        return self.made_from == sources()

    def text(self, command: str) -> str:
        """Return a command's help, wrapped to the terminal's width as argparse does it."""
        width = max(shutil.get_terminal_size().columns - 2, _NARROWEST)
        usage, description = self.heads[command]
        lines = [usage, "", textwrap.fill(description, width), "", *(_wrapped(line, width) for line in self.options)]
        return "\n".join(lines) + "\n"


def sources() -> dict[str, str]:
    """Return what a parser built here would be made from: see ``Help.made_from``."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),  # argparse's layout differs between these
        **{name: _version(name) for name in LIBRARIES},
        "nsmc_lightning": _checksum(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _checksum() -> str:
    digest = hashlib.sha256(b"".join((_PACKAGE / name).read_bytes() for name in _PARSERS))
    for name in CLASSES:
        digest.update(_signatures((_PACKAGE / name).read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _signatures(source: str) -> str:
    """Return what the parser may read of a file: all but comments and the bodies of functions."""
    tree: Any = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = []
    return ast.dump(tree)


def _wrapped(line: str, width: int) -> str:
    start, explanation = line[:_COLUMN], line[_COLUMN:]
    if not explanation or not start.endswith("  "):  # an option, or a group's title: argparse wraps neither
        return line
    return start + f"\n{'':{_COLUMN}}".join(textwrap.wrap(explanation, width - _COLUMN))
