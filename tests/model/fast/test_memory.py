"""Keeping freed memory."""

import ctypes
import platform
from collections.abc import Iterator

import pytest

from nsmc_lightning.model.fast.memory import keep_freed_memory


@pytest.fixture(autouse=True)
def first_call() -> Iterator[None]:
    keep_freed_memory.cache_clear()
    yield
    keep_freed_memory.cache_clear()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_large_block_comes_from_the_heap_afterwards() -> None:
    class Mallinfo(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")]
        _fields_ += [(str(number), ctypes.c_size_t) for number in range(5)]  # not read here

    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Mallinfo, ctypes.c_void_p, [ctypes.c_void_p]
    assert keep_freed_memory()
    mapped = libc.mallinfo2().hblkhd
    block = libc.malloc(ctypes.c_size_t(2**24))
    assert libc.mallinfo2().hblkhd == mapped, "not mapped from the operating system for this block alone"
    libc.free(block)


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
