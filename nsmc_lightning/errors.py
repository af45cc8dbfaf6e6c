"""A user's mistake in one or two lines and exit code 2; everything else keeps its traceback."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake of the user's: one or two lines that name the key, file or row and the way out."""


@contextmanager
def shown_to_user(debug: bool) -> Iterator[None]:
    """Prints a user's mistake and ends with exit code 2; with ``debug`` it is raised as it is.

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
