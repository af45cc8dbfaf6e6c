"""Imports of large libraries, which take most of a command's first seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Keep Python's garbage collector away from what a block imports.

    Nearly all of these objects, half a million, stay until the end. Looking for garbage among them takes a sixth of
    the import, and another second as the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:  # later on, garbage that waits for its collection would be kept too
            gc.freeze()
        gc.enable()
