"""The cache folder."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest

from nsmc_lightning.errors import UserError
from nsmc_lightning.files import default_cache_dir, write_json


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.delenv("NSMC_LIGHTNING_CACHE")
    assert default_cache_dir().name == "nsmc_lightning"


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    class Score(NamedTuple):
        value: float
        ends: list[float]

    write_json(tmp_path / "새.json", {"점수": Score(math.nan, [0.5, math.inf]), "rows": 3})
    text = (tmp_path / "새.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"점수": {"value": None, "ends": [0.5, None]}, "rows": 3}
    assert "점수" in text
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path, {})
