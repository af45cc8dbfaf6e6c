"""The cache folder."""

from pathlib import Path

import pytest

from nsmc_lightning.files import default_cache_dir


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.delenv("NSMC_LIGHTNING_CACHE")
    assert default_cache_dir().name == "nsmc_lightning"
