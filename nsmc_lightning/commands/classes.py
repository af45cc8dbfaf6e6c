"""What is wrong with a class that a setting names: an argument that is missing or unknown, a package, the class itself.

The parser says so within a list of all types that it tried; the words looked for are those of jsonargparse 4.53 to 4.54
and of lightning-utilities.
"""

import re
from difflib import get_close_matches
from importlib import import_module

_KEY = re.compile(r'Parser key "([^"]+)"')
_PROBLEM = re.compile(r"Problem with given class_path '([\w.]+)':\n\s+(.+)")
_REQUIRED = re.compile(r"the following arguments are required: (.+)")
_UNKNOWN = re.compile(r"Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w.]+)")
_INSTALL = re.compile(r"`(pip install [^`]+)`")
_NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_OTHER = re.compile(r"does not correspond to a subclass of (\w+).*Given value: (\S+)", re.DOTALL)
_NO_NAME = re.compile(r"Given value: NestedArg\(key='([\w.]+)'")
_KINDS = {
    "trainer.callbacks": "callbacks",
    "trainer.logger": "loggers",
    "trainer.plugins": "plugins",
    "trainer.profiler": "profilers",
    "trainer.strategy": "strategies",
}


def class_mistake(message: str) -> str | None:
    """A line that names key, class and the way out; None where the parser's message is of something else."""
    found = _KEY.match(message)
    for path, reason in _PROBLEM.findall(message):
        key = found[1] if found else _key_of(path)
        named = f"{key}: {_name(path)}"
        if missing := _REQUIRED.match(reason):
            first = missing[1].split(",")[0]
            return f"{named} needs {missing[1]}: give --{key}.{first} VALUE after it, or leave {_name(path)} out."
        if unknown := _UNKNOWN.match(reason):
            return _unknown_argument(named, path, unknown[1] or unknown[2])
        if package := _INSTALL.search(reason):
            return f"{named} needs a package that is not installed: {package[1]}"
        if "has no attribute" in reason or "No module named" in reason:
            return f"{key}: {path} cannot be imported: {reason}."
        return None
    if found is None:
        return None
    if no_argument := _NO_NAME.search(message):
        return f"{found[1]}.{no_argument[1]} is an argument of a class: name that before it, --{found[1]} CLASS."
    if other := _OTHER.search(message):
        return f"{found[1]} {other[2]}: that is not a {other[1]}."
    no_class = _NO_CLASS.search(message)
    return _unknown_class(found[1], no_class[1]) if no_class and found[1] in _KINDS else None


def missing_package(message: str) -> str | None:
    """Lightning's words for a package that is not installed, in a line; None where they name no way to install it."""
    return " ".join(message.split()) if _INSTALL.search(message) else None


def _key_of(path: str) -> str:
    """The key that a class of Lightning's is given with."""
    return next((key for key, kind in _KINDS.items() if f".{kind}." in path), "a setting")


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _unknown_argument(named: str, path: str, argument: str) -> str:
    from jsonargparse import ArgumentParser

    from nsmc_lightning.commands.keys import Keys, nearest

    module, _, name = path.rpartition(".")
    parser = ArgumentParser()
    parser.add_class_arguments(getattr(import_module(module), name))
    known = {key: text for key, text in Keys.of(parser).helps.items() if key != "help"}
    near = nearest(argument, known)
    meant = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(known) or 'none'}."
    return f"{named} has no argument {argument}: {meant}"


def _unknown_class(key: str, name: str) -> str:
    known = [other for other in import_module(f"lightning.pytorch.{_KINDS[key]}").__all__ if other != name]
    if near := get_close_matches(name, known, n=1, cutoff=0.8):
        return f"{key}: there is no {name}: did you mean {near[0]}?"
    return (
        f"{key}: {name} is none of Lightning's that it takes; name a class of your own with its module, "
        f"package.module.{_name(name)}, and give --trust-config."
    )
