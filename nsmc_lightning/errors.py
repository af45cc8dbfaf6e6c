"""A user's mistake in one or two lines and exit code 2; a program's error keeps its traceback.

What jsonargparse and Lightning raise about a setting becomes a user's mistake here. The patterns match the messages of
jsonargparse 4.53 and Lightning 2.6; a message that none of them matches is shortened to its key and reasons.
"""

import inspect
import logging
import os
import re
import signal
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from textwrap import dedent
from typing import Any


class UserError(Exception):
    """A mistake of the user's: one or two lines that name the key, file or row and the way out."""


@contextmanager
def shown_to_user(debug: bool) -> Iterator[None]:
    """Print a user's mistake and exit with code 2; with ``debug``, raise it.

    Raises:
        SystemExit: with code 2, on a :class:`UserError`; with 130 on Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # before or after the trainer, which takes its signals itself
        sys.exit(128 + signal.SIGINT)


@contextmanager
def parsing() -> Iterator[None]:
    """Explain what the parser refuses: a key, a value, or a class that it cannot build.

    Raises:
        UserError: in place of an ``argparse.ArgumentError``, or of a ``ValueError`` about a class.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (ArgumentError, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None:  # raised by a link or a constructor, and wrapped in the parser's own words
            if isinstance(cause, UserError | MisconfigurationException):
                raise UserError(str(cause)) from error
            cause = cause.__cause__
        if isinstance(error, ValueError) and not _CLASS.search(str(error)):
            raise
        raise UserError(in_words(str(error))) from error


@contextmanager
def building_trainer(trainer: Mapping[str, Any]) -> Iterator[None]:
    """Explain what Lightning raises as it builds a trainer from the settings ``trainer``.

    Raises:
        UserError: with the key, its value and what to give instead; in Lightning's words where the table has none.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (ValueError, TypeError, MisconfigurationException, ModuleNotFoundError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if not frame.f_globals.get("__name__", "").startswith("lightning."):
            raise
        text = _one_line(error)
        for pattern, key, words in _TRAINER:
            if found := re.search(pattern, text):
                raise UserError(f"trainer.{key} {trainer[key]}: {words.format(*found.groups())}") from error
        raise UserError(f"trainer: {text}") from error


@contextmanager
def running() -> Iterator[None]:
    """Explain what Lightning refuses as it sets up a run: a setting, a missing package, an interval without an end.

    Raises:
        UserError: with Lightning's words.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except MisconfigurationException as error:
        raise UserError(_one_line(error)) from error
    except (ModuleNotFoundError, ValueError) as error:
        if not re.search(r"`pip install |`val_check_interval` \(", str(error)):
            raise
        raise UserError(_one_line(error)) from error


def reason(error: Exception) -> str:
    """Return the first line of an error's message, and the second if the first ends with a colon, without a period."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]).rstrip(".") or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "…"


def report(line: str, level: int = logging.INFO) -> None:
    """Log a line for the user in a run's first process only."""
    if _rank() == 0:
        logging.getLogger("nsmc_lightning").log(level, line)


def warn(line: str) -> None:
    """Log a warning in a run's first process only."""
    report(line, logging.WARNING)


def _rank() -> int:
    """Return the number of this process in its run, from Lightning only where that has been imported."""
    if rank_zero := sys.modules.get("lightning.fabric.utilities.rank_zero"):
        return int(rank_zero.rank_zero_only.rank)
    launched = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # the order of lightning 2.6
    return next((int(os.environ[name]) for name in launched if name in os.environ), 0)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


# Lightning's messages as it builds a trainer: a pattern, the key, and what to give instead.
_TRAINER = (
    (
        r"No supported gpu backend|can not run on your system|torch_xla",
        "accelerator",
        "PyTorch finds none on this machine; give --trainer.accelerator auto, which takes what there is, or cpu.",
    ),
    (r"invalid accelerator name", "accelerator", "there is none of this name; give auto, cpu, gpu, cuda, mps or tpu."),
    (
        r"invalid strategy name",
        "strategy",
        "there is none of this name; give auto, ddp, fsdp or another of Lightning's.",
    ),
    (r"requested gpu.* only has: (\[.*\])", "devices", "this machine has the GPUs {}; give as many or fewer, or auto."),
    (
        r"`devices|\(devices|invalid literal for int",
        "devices",
        "give a number of processes from 1 up, auto, or a list of the GPUs' numbers.",
    ),
)

# The parser's messages: about a key, within it about a class, and what is wrong there.
_KEY = re.compile(r'Parser key "([^"]+)":?')
_CLASS = re.compile(r"Problem with given class_path '([\w.]+)':\n( +)(.*(?:\n\2.*)*)")
_REFUSED = (
    (
        r"Importing '([\w.]+)' is not allowed, denied by the '\*' entry",
        "{key} names {0}, which is neither Lightning's nor this package's, and importing it runs its code: "
        "give --trust-config if you trust every file of this command.",
    ),
    (
        r"Importing '([\w.]+)' is not allowed, denied by the '([\w.]+)' entry",
        "{key} names {0}: no configuration may name {1}, a trusted one neither.",
    ),
    (
        r"the following arguments are required: ([\w.]+)",
        "{key}: {name} needs {0}: give --{key}.{0} VALUE after it.",
    ),
    (r"NestedArg\(key='([\w.]+)'", "{key}.{0} is an argument of a class: give the class before it, --{key} CLASS."),
    (r"does not correspond to a subclass of (\w+)", "{key} {value}: not a {0}."),
    (r"unrecognized arguments: ([^-\s]\S*)", "{0}: no key takes it; every setting is given as --key VALUE."),
    (r"does not accept option '([\w.]+)'", "there is no key {0}; --help lists them all."),
)
_WANTED = (
    (r"Expected a <class 'int'>|invalid literal for int|not an integer", "a whole number"),
    (r"Expected a <class 'float'>|string to float|not a number|argument must be a string", "a number"),
    (r"Expected a <class 'bool'>", "true or false"),
    (r"Expected a <class 'str'>", "text"),
    (r"Expected a <class 'list'>", "a list, [A, B]"),
    (r"Expected a <class 'dict'>", "settings, {{KEY: VALUE}}"),
    (r"timedelta", "a time, H:MM:SS"),
    (r"restriction (.+)", "a number {0}"),
)
_COMPARED = {"v>=": "at least ", "v<=": "at most ", "v>": "above ", "v<": "below ", "v==": "equal to ", "v!=": "not "}
_GIVEN = (r"Given value: (.*)", r"Got value: (.*)", r"type \w+: (\S+) (?:does not|not an?) ", r": '(.*)'$")
_NOISE = re.compile(
    r"Parser key|Does not validate|Subtypes:|Errors:|Given value type|Expected a <class 'NoneType'>|"
    r"Subclass types expect|a class path|a dict with"
)
_OF_LIGHTNING = {"trainer.callbacks": "callbacks", "trainer.logger": "loggers", "trainer.plugins": "plugins"}


def in_words(message: str, key: str = "", path: str = "") -> str:
    """Key, value and way out of a message of the parser, which lists every type that it tried.

    Args:
        message: the parser's words.
        key: the key that the message is about, where its words name only a part below it.
        path: the class that the message is about, where its words name only an argument.
    """
    message = re.sub(r"\n\s*\n", "\n", message)
    if found := _KEY.match(message):
        key, path, message = f"{key}.{found[1]}".lstrip("."), "", message[found.end() :]
    if problem := _CLASS.search(message):
        return in_words(dedent(problem[2] + problem[3]), key, problem[1])
    if unknown := re.match(r"Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)", message):
        return _unknown_argument(key, path, unknown[1] or unknown[2])
    if no_class := re.search(r"Expected a dot import path string: (\S+)", message):
        return _unknown_class(key, no_class[1])
    value = next((found[1] for pattern in _GIVEN if (found := re.search(pattern, message))), "")
    for pattern, words in _REFUSED:
        if found := re.search(pattern, message):
            name = path.rpartition(".")[2]
            return words.format(*found.groups(), key=key or "a setting", value=value, name=name)
    if key and (needed := wanted(message)):
        return f"{key} {value}".strip() + f": give {needed}."
    lines = [line.strip(" -") for line in message.splitlines()]
    reasons = " ".join(dict.fromkeys(line for line in lines if line and not _NOISE.match(line)))
    return ": ".join(part for part in (key, path, reasons) if part)[:400] or "refused; --debug shows where."


def _unknown_argument(key: str, path: str, argument: str) -> str:
    module, _, name = path.rpartition(".")
    # The parser has imported the class; a text in a configuration that only imitates its words must import nothing.
    known = list(inspect.signature(getattr(sys.modules.get(module), name, object)).parameters)
    near = get_close_matches(argument, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'none'}."
    return f"{key}: {name} has no argument {argument}: {meant}"


def _unknown_class(key: str, name: str) -> str:
    known = import_module(f"lightning.pytorch.{_OF_LIGHTNING[key]}").__all__ if key in _OF_LIGHTNING else []
    if near := get_close_matches(name, set(known) - {name}, n=1, cutoff=0.8):
        return f"{key}: there is no {name}: did you mean {near[0]}?"
    return (
        f"{key}: {name} is none of Lightning's that it takes; give a class of your own with its module, "
        f"package.module.{name}, and --trust-config."
    )


def wanted(message: str) -> str:
    """Return what a type takes, from its refusal: ``a whole number or one of a, b``; empty if no pattern matches."""
    words: dict[str, None] = {}
    for line in message.splitlines():
        for pattern, text in _WANTED:
            if found := re.search(pattern, line):
                words[text.format(*found.groups())] = None
                break
    if "a number" in words:
        words.pop("a whole number", None)
    literals = re.findall(r"Expected a typing\.Literal\[(.*)\]", message)
    if choices := dict.fromkeys(choice.strip("'") for literal in literals for choice in literal.split(", ")):
        words[f"one of {', '.join(choices)}"] = None
    return re.sub(r"v[<>=!]=?", lambda sign: _COMPARED[sign[0]], " or ".join(words))
