"""Which classes a configuration may name: those of Lightning and of this package, unless the user trusts it.

Naming a class imports its module and calls it with the configuration's own arguments, so a configuration from a
stranger, or one stored in a stranger's checkpoint, could otherwise run any code. The gate is jsonargparse's own, at the
place where a name is imported: files named within files, short names, callables and objects that a module only
re-exports all pass through it.
"""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import set_parsing_settings
from jsonargparse._common import parsing_settings

from nsmc_lightning.errors import UserError

OPTION = "--trust-config"
KNOWN = (
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.fabric.plugins",  # where Lightning defines most of its plugins
    "lightning.Callback",  # the parser tries it for what is given of a callback without a name
    "nsmc_lightning",
)
"""Packages whose classes any configuration may name."""

_DENIAL = re.compile(r"Importing '([\w.]+)' is not allowed, denied by the '([\w.*]+)' entry")
_KEY = re.compile(r'Parser key "([^"]+)"')


def restrict_imports(args: list[str]) -> list[str]:
    """Closes the gate, or opens it where ``--trust-config`` is among ``args``; returns ``args`` without that word.

    Only the command line can open it: no file and no checkpoint can say that it is to be trusted. What jsonargparse
    itself denies (``os``, ``subprocess``, ``pickle`` and the like) stays denied to trusted configurations too.
    """
    if OPTION in args:
        parsing_settings["import_path_verdicts"].pop("*", None)  # nothing public takes an entry back
        set_parsing_settings(import_path_allowlist=list(KNOWN))
    else:
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(KNOWN))
    return [arg for arg in args if arg != OPTION]


@contextmanager
def denials_explained() -> Iterator[None]:
    """Turns the parser's long refusal of a class into one line that names key, class and the way out.

    Raises:
        UserError: in place of an ``argparse.ArgumentError`` that the gate caused.
    """
    try:
        yield
    except argparse.ArgumentError as error:
        denial = _DENIAL.search(str(error))
        if denial is None:
            raise
        key = _KEY.search(str(error))
        way_out = f"give {OPTION} if you trust every file of this command."
        if denial[2] != "*":
            way_out = f"no configuration may name {denial[2]}, a trusted one neither."
        raise UserError(
            f"{key[1] if key else 'a setting'} names {denial[1]}, which is neither Lightning's nor this package's; "
            f"naming it would run its code: {way_out}"
        ) from error
