"""A user's mistake in one or two lines and exit code 2; everything else keeps its traceback."""

import argparse
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nsmc_lightning.types import UserError


@contextmanager
def shown_to_user(debug: bool) -> Iterator[None]:
    """Turns a user's mistake into a short message and exit code 2; with ``debug`` it is raised as it is.

    Raises:
        SystemExit: with code 2, on a :class:`UserError`, an argument or a setting that is refused; with 130 on Ctrl-C.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        yield
    except (UserError, argparse.ArgumentError, MisconfigurationException) as error:
        if debug:
            raise
        text = str(error) if isinstance(error, UserError) else condense(str(error))
        print(f"error: {text}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # before or after the trainer, which takes its signals itself
        sys.exit(128 + signal.SIGINT)


def condense(message: str) -> str:
    """The key and the reason, from a message of the parser that lists every type it tried."""
    plain = re.sub(r"<class '([\w.]+)'>", r"\1", message)
    lines = [line.strip(" -") for line in plain.splitlines() if line.strip(" -")]
    if not lines:
        return "the command was refused without a reason; --debug shows where."
    reasons = [line for line in lines[1:] if re.match(r"(Expected|Given value:|Not a valid|Unable|No such)", line)]
    reasons = [line for line in reasons if line != "Expected a NoneType"]
    return " ".join([lines[0], *dict.fromkeys(reasons)])[:400]
