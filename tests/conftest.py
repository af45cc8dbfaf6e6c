"""Shared by the tests: a small encoder, and the folder of real corpora and models."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # test files run side by side: torch, imported later, gets a core for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
REVIEWS = [
    "정말 재미있는 영화였어요",
    "아 지루해서 끝까지 못 봤네요",
    "연기가 좋고 음악도 좋다!",
    "돈이 아깝다.. Bad",
] * 5
SIZES = {
    "vocab_size": 600,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
SMALL = {"model_type": "bert", **SIZES}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real corpora, vocabularies and the pretrained backbone; skip the test without it."""
    path = Path(os.environ.get("NSMC_SHARED", ROOT.parent / "shared")).resolve()
    if not (path / "nsmc" / "ratings_train.txt").is_file():
        pytest.skip(f"needs the shared material, not found at {path}: set NSMC_SHARED")
    return path


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep downloads, tokens and measurements of the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSMC_LIGHTNING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def console() -> Iterator[None]:
    """Restore the package's logger after ``main()``: the standard error that it logs to closes with the test."""
    ours = logging.getLogger("nsmc_lightning")
    handlers, propagate = ours.handlers, ours.propagate
    yield
    ours.handlers, ours.propagate = handlers, propagate
