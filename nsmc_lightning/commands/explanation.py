"""The words of a text with their importance: coloured on a terminal, as numbers in a file, and as a web page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nsmc_lightning.errors import UserError
from nsmc_lightning.evaluation.attribution import Attribution
from nsmc_lightning.files import whole_file

_FOR, _AGAINST = (38, 139, 210), (220, 90, 47)  # blue and orange, which colour-blind readers tell apart
_PAGE = """\
<!doctype html>
<html lang="ko">
<meta charset="utf-8">
<title>nsmc_lightning: words and their importance</title>
<style>
body {{ font-family: sans-serif; max-width: 50em; margin: 2em auto; line-height: 2; padding: 0 1em; }}
p span {{ padding: .15em .25em; border-radius: .25em; }}
small {{ color: #666; }}
</style>
<h1>Words and their importance</h1>
<p><small>How much the probability of the predicted class falls if a word is left out: <span
style="background: rgba({pro}, .5)">blue</span> words speak for the prediction, <span
style="background: rgba({con}, .5)">orange</span> ones against it. Point at a word to see its number.</small></p>
{texts}
</html>
"""


def for_terminal(attribution: Attribution) -> str:
    """Return the words on backgrounds in 24-bit colour; the stronger a colour, the more important its word."""
    words = []
    for word, colour, strength in _coloured(attribution):
        red, green, blue = (round(255 - (255 - channel) * strength) for channel in colour)
        words.append(f"\033[48;2;{red};{green};{blue}m\033[38;2;0;0;0m{word}\033[0m")
    return " ".join(words)


def as_numbers(attribution: Attribution) -> str:
    """Return each word with its importance."""
    return " ".join(
        f"{word}({value:+.3f})" for word, value in zip(attribution.eojeols, attribution.importance, strict=True)
    )


def write_page(path: str, attributions: Sequence[Attribution], names: Sequence[str]) -> None:
    """Write a web page with a paragraph for each text.

    Args:
        path: file to write; an older one is replaced.
        attributions: the texts.
        names: of the classes.

    Raises:
        UserError: the file cannot be written.
    """
    texts = "\n".join(_paragraph(attribution, names[attribution.label]) for attribution in attributions)
    page = _PAGE.format(pro=_rgb(_FOR), con=_rgb(_AGAINST), texts=texts)
    try:
        with whole_file(Path(path)) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--html {path}: cannot be written ({error.strerror or error}); name another file.") from error


def _paragraph(attribution: Attribution, name: str) -> str:
    words = [
        f'<span style="background: rgba({_rgb(colour)}, {strength:.2f})" title="{value:+.3f}">'
        f"{html.escape(word)}</span>"
        for (word, colour, strength), value in zip(_coloured(attribution), attribution.importance, strict=True)
    ]
    return f"<p><b>{html.escape(name)}</b> {attribution.probability:.2%}<br>\n{' '.join(words)}</p>"


def _rgb(colour: tuple[int, int, int]) -> str:
    return ", ".join(map(str, colour))


def _coloured(attribution: Attribution) -> list[tuple[str, tuple[int, int, int], float]]:
    """Return each word, its colour, and the strength from 0 to 0.8, relative to the most important word."""
    largest = max(float(np.abs(attribution.importance).max(initial=0)), 1e-9)
    return [
        (word, _FOR if value >= 0 else _AGAINST, 0.8 * abs(float(value)) / largest)
        for word, value in zip(attribution.eojeols, attribution.importance, strict=True)
    ]
