"""What the numbers were measured on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

import torch

_PACKAGES = ("torch", "lightning", "transformers", "accelerate", "tokenizers")


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


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    flags = (
        "AVX-512" if torch.backends.cpu.get_cpu_capability() == "AVX512" else torch.backends.cpu.get_cpu_capability()
    )
    return f"{names[0] if names else platform.processor() or platform.machine()} ({flags})"
