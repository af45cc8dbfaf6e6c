"""What several tests share: where the shared material is, and a tiny backbone made on the spot."""

import os
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
