"""Hangul in figures, with made fonts and without any."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from matplotlib import font_manager

from nsmc_lightning.callbacks import fonts
from nsmc_lightning.callbacks.figures import draw_confusion
from tests.callbacks.test_figures import pixels


@pytest.fixture
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves matplotlib no fonts but its own; a test may add some."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    fonts._found.cache_clear()
    yield
    fonts._found.cache_clear()


def make_font(path: Path, family: str, letters: str) -> None:
    """Writes a font in which every letter is the same square."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square" for letter in letters})
    builder.setupGlyf({".notdef": pen.glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (900, 0), "square": (900, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("own_fonts")
def test_without_a_font_for_it_a_hangul_name_becomes_a_number() -> None:
    figure = draw_confusion(np.eye(3, dtype=np.int64), ["부정", "positive", "좋다 ok"])
    pixels(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["class 0", "positive", "class 2"]


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # pyparsing's, of matplotlib before 3.10.8
@pytest.mark.usefixtures("own_fonts")
def test_hangul_is_drawn_where_a_font_has_it(tmp_path: Path) -> None:
    for family, letters in (("UnDotum", "가부정"), ("Latin", "ab")):
        make_font(tmp_path / f"{family}.ttf", family, letters)
        font_manager.fontManager.addfont(tmp_path / f"{family}.ttf")
    figure = draw_confusion(np.eye(3, dtype=np.int64), ["부정", "positive", "긍정"])
    pixels(figure)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["부정", "positive", "class 2"]


@pytest.mark.usefixtures("own_fonts")
def test_a_font_that_matplotlib_s_list_does_not_have_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family, letters in (("A Latin font", "ab"), ("Of One's Own", "가힣부정")):
        make_font(tmp_path / f"{family}.ttf", family, letters)
    (tmp_path / "A broken font.ttf").write_bytes(b"cut short")
    files = [str(path) for path in tmp_path.iterdir()]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    assert fonts.families() == ["DejaVu Sans", "Of One's Own"]
    assert fonts.readable_names(["부정", "긍정"]) == ["부정", "class 1"]
    pixels(draw_confusion(np.eye(2, dtype=np.int64), ["부정", "정부"]))
