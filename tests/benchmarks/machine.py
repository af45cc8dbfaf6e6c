"""What the numbers were measured on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

import torch

_PACKAGES = ("torch", "lightning", "transformers", "accelerate", "tokenizers")
_BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}


def machine() -> str:
    """The kind of machine: its GPU, or its processors."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu()}, {len(os.sched_getaffinity(0))} cores"


def describe(threads: int) -> list[str]:
    """Lines on the date, the processors and the versions; nothing that names the machine."""
    lines = [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"CPU: {_cpu()}, {len(os.sched_getaffinity(0))} cores, {threads} threads a contender",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    ]
    if torch.cuda.is_available():
        lines.insert(2, f"GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return lines


def bfloat16_products() -> str | None:
    """Name the processor's instructions for bfloat16 products; None if it has none, or is not known."""
    flags = _cpuinfo("flags").split()
    return next((name for flag, name in _BFLOAT16.items() if flag in flags), None)


def _cpu() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    kinds = ["AVX-512" if capability == "AVX512" else capability, bfloat16_products()]
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(kind for kind in kinds if kind)})"


def _cpuinfo(key: str) -> str:
    """The first processor's entry, empty where there is none, as outside Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""
