"""What the parser and Lightning refuse, in one or two lines in place of theirs."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

from nsmc_lightning.commands.classes import class_mistake, missing_package
from nsmc_lightning.errors import UserError

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
def refusals_explained() -> Iterator[None]:
    """Turns what the parser, and Lightning as it is set up, raise about a setting into a user's mistake.

    Raises:
        UserError: an argument or a setting is refused, or a package is missing that Lightning tells how to install.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (argparse.ArgumentError, MisconfigurationException) as error:
        raise UserError(condense(str(error))) from error
    except ModuleNotFoundError as error:
        if (text := missing_package(str(error))) is None:
            raise
        raise UserError(text) from error


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
    """A line that says what a key takes, where its types and choices are few; None for any other message."""
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
