"""The memory that a training process has freed, kept for its next step."""

import ctypes
import platform
from functools import cache

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_UNLIMITED = 2**31 - 1  # bytes, the largest int
_LARGEST_IN_OLD_VERSIONS = 2**25  # bytes, HEAP_MAX_SIZE / 2


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep the memory that this process frees, and return whether it took the setting.

    By default glibc returns large blocks to the operating system, which gives them back page by page, filled with
    zeros: that took 5 to 28 % of a training step on a CPU. The process then holds its peak of memory until its end.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    thresholds = (_UNLIMITED, _LARGEST_IN_OLD_VERSIONS)
    mapped = any(mallopt(_M_MMAP_THRESHOLD, size) for size in thresholds)
    return mapped and bool(mallopt(_M_TRIM_THRESHOLD, _UNLIMITED))
