"""The code and the libraries that a number came from, as plain types."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nsmc_lightning import __version__

_PACKAGES = ("torch", "lightning", "transformers", "tokenizers", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the libraries that decide what is computed."""
    ours = {"nsmc_lightning": __version__, "python": platform.python_version()}
    return {**ours, **{name: version(name) for name in _PACKAGES}}


def git_state(folder: Path = Path(__file__).parents[1]) -> dict[str, Any] | None:
    """Return the commit of the code in ``folder`` and whether its files differ from it; None outside a repository."""
    if not _git(folder, "ls-files", "."):  # an installed package may be in another project's repository
        return None
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": bool(_git(folder, "status", "--porcelain", "."))}


def _git(folder: Path, *args: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True)
    except OSError:  # no git on this machine
        return ""
    return done.stdout.strip()
