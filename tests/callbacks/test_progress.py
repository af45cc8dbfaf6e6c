"""Progress without a terminal."""

import re

import pytest

from nsmc_lightning.callbacks.progress import ProgressLines


@pytest.mark.parametrize(("total", "lines"), [(200, 10), (10, 10), (3, 3)])
def test_a_line_for_each_tenth(total: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLines()
    progress._start()
    for done in range(1, total + 1):
        progress._advance("test", done, total)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert re.fullmatch(rf"test: 100 %  {total}/{total} batches  0:00 elapsed, 0:00 remaining", said[-1])


def test_a_disabled_bar_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLines()
    progress.disable()
    progress._advance("test", 1, 1)
    assert capsys.readouterr().err == ""
