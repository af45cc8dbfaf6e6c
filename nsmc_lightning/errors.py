"""A user's mistake in one or two lines and exit code 2; everything else keeps its traceback."""

import argparse
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from nsmc_lightning.classes import class_mistake, missing_package
from nsmc_lightning.types import UserError

_ARGUMENT = re.compile(r"Problem with given class_path '[^']+':\n\s+(Parser key .*\n.*(?:\n\s{6,}.*)*)")
_TYPES = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "text",
    "<class 'datetime.timedelta'>": "a time, H:MM:SS",
    "list[int]": "a list of whole numbers",
    "list[float]": "a list of numbers",
}


@contextmanager
def shown_to_user(debug: bool) -> Iterator[None]:
    """Turns a user's mistake into a short message and exit code 2; with ``debug`` it is raised as it is.

    Raises:
        SystemExit: with code 2, on a :class:`UserError`, an argument or a setting that is refused, or a package that
            Lightning misses; with 130 on Ctrl-C.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (UserError, argparse.ArgumentError, MisconfigurationException) as error:
        if debug:
            raise
        _end(str(error) if isinstance(error, UserError) else condense(str(error)))
    except ModuleNotFoundError as error:
        if debug or (text := missing_package(str(error))) is None:
            raise
        _end(text)
    except KeyboardInterrupt:  # before or after the trainer, which takes its signals itself
        sys.exit(128 + signal.SIGINT)


def _end(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def condense(message: str) -> str:
    """The key and the reason, from a message of the parser that lists every type it tried."""
    if mistake := class_mistake(message) or _refused_value(message):
        return mistake
    if word := re.fullmatch(r"unrecognized arguments: ([^-\s].*)", message):
        return f"{word[1]}: no key takes it; every setting is given as --key VALUE."
    plain = re.sub(r"<class '([\w.]+)'>", r"\1", message)
    lines = [line.strip(" -") for line in plain.splitlines() if line.strip(" -")]
    if not lines:
        return "the command was refused without a reason; --debug shows where."
    reasons = [line for line in lines[1:] if re.match(r"(Expected|Given value:|Not a valid|Unable|No such)", line)]
    reasons = [line for line in reasons if line != "Expected a NoneType"]
    return " ".join([lines[0], *dict.fromkeys(reasons)])[:400]


def _refused_value(message: str) -> str | None:
    """A line of what a key takes, where that is said by a few types and choices; None for any other message."""
    key = re.match(r'Parser key "([^"]+)"', message)
    if key is None:
        return None
    if (within := _ARGUMENT.search(message)) and (refused := _refused_value(within[1])):
        return f"{key[1]}.{refused}"
    given = re.search(r"(?:Given value|Got value): (.*)$", message, re.MULTILINE)
    expected = re.search(r"Subtypes: \[(.*)\]$|Expected a (.+?)\. Got value:", message, re.MULTILINE)
    words = _in_words(expected[1] or expected[2]) if expected else None
    return f"{key[1]} {given[1]}: give {words}." if given and words else None


def _in_words(types: str) -> str | None:
    """``<class 'int'>, typing.Literal['a', 'b']`` as "a whole number or one of a, b"; None with any other type."""
    words, choices = [], []
    for kind in re.findall(r"typing\.Literal\[[^\]]*\]|<class '[^']+'>|list\[\w+\]|[^\s,][^,]*", types):
        if kind.startswith("typing.Literal"):
            choices += [choice.strip("'") for choice in kind[len("typing.Literal[") : -1].split(", ")]
        elif kind in _TYPES:
            words.append(_TYPES[kind])
        elif kind != "<class 'NoneType'>":
            return None
    if "a number" in words and "a whole number" in words:
        words.remove("a whole number")
    return " or ".join([*words, *([f"one of {', '.join(dict.fromkeys(choices))}"] if choices else [])])
