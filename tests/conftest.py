"""What several tests share: where the shared material is, and a tiny backbone made on the spot."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora, vocabularies and the pretrained backbone; skips where it is absent."""
    path = Path(os.environ.get("NSMC_SHARED", ROOT.parent / "shared")).resolve()
    if not (path / "nsmc" / "ratings_train.txt").is_file():
        pytest.skip(f"needs the shared material, not found at {path}: set NSMC_SHARED")
    return path


@pytest.fixture(autouse=True)
def console() -> Iterator[None]:
    """Takes back what ``main()`` makes of the package's logger: its standard error is closed when the test ends."""
    ours = logging.getLogger("nsmc_lightning")
    handlers, propagate = ours.handlers, ours.propagate
    yield
    ours.handlers, ours.propagate = handlers, propagate
