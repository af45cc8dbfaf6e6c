"""Fonts for the names of classes: one with Hangul where the system has any."""

from collections.abc import Sequence
from functools import cache

_HANGUL_FONTS = (
    *("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic"),
    *("NanumBarunGothic", "NanumSquare", "Nanum Gothic", "Pretendard", "UnDotum", "Baekmuk Dotum"),
    *("Noto Sans CJK JP", "Droid Sans Fallback"),  # the first is how matplotlib lists Debian's file of all of Noto CJK
)
"""Those that read well, before any other."""


def readable_names(names: Sequence[str]) -> list[str]:
    """Return the names, with "class 0", "class 1" and so on for those with a letter that no font here has."""
    from matplotlib.font_manager import findfont, get_font

    fonts = [get_font(findfont(family)) for family in families()]

    def readable(name: str) -> bool:
        return all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in name)

    return [name if readable(name) else f"class {i}" for i, name in enumerate(names)]


def families() -> list[str]:
    """Return matplotlib's own font, which has no Hangul, and one with Hangul if the system has any."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    known = [name for name in _HANGUL_FONTS if name in installed][:1]
    return ["DejaVu Sans", *(known or _found())]


@cache
def _found() -> list[str]:
    """Look for Hangul in each of the system's font files: matplotlib's list of them may be older than a font."""
    from matplotlib.font_manager import findSystemFonts, fontManager, get_font

    for path in sorted(findSystemFonts()):
        try:
            font = get_font(path)
        except (OSError, RuntimeError):  # FreeType's errors for a broken file
            continue
        if font.get_char_index(ord("가")) and font.get_char_index(ord("힣")):
            fontManager.addfont(path)
            return [font.family_name]
    return []
