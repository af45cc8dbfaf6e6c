"""What classify --explain shows, in numbers, in colour and as a page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nsmc_lightning.classifier import Classifier
from nsmc_lightning.cli import main
from nsmc_lightning.commands.explanation import for_terminal
from nsmc_lightning.evaluation.attribution import Attribution
from tests.conftest import ROOT

CHECKPOINT = str(ROOT / "tests" / "checkpoints" / "6252e12.ckpt")
TEXT = "<b>연기는</b> 별로지만 재미있다"


def test_words_and_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "words.html"
    main(["classify", "--ckpt_path", CHECKPOINT, "--explain", "--html", str(page), TEXT, " "])
    answer, words, empty = capsys.readouterr().out.split("\n")[:3]
    assert (answer.split("\t")[-1], empty) == (TEXT, "")
    whole, without = Classifier(CHECKPOINT).probabilities([TEXT, "<b>연기는</b> 재미있다"])
    expected = float(whole.max() - without[whole.argmax()])
    found = {word: float(number) for word, number in re.findall(r"(\S+)\(([-+0-9.]+)\)", words)}
    assert [*found] == TEXT.split()
    assert found["별로지만"] == pytest.approx(expected, abs=6e-4)
    shown: list[str] = []
    parser = HTMLParser()
    parser.handle_data = shown.append  # type: ignore[method-assign]
    parser.feed(page.read_text(encoding="utf-8"))
    assert [word for word in TEXT.split() if word in shown] == TEXT.split()


def test_the_strongest_word_has_the_strongest_colour() -> None:
    line = for_terminal(Attribution(1, 0.9, ["그저", "최고", "글쎄"], np.array([0.0, 0.4, -0.2])))
    backgrounds = [tuple(map(int, rgb)) for rgb in re.findall(r"48;2;(\d+);(\d+);(\d+)m", line)]
    assert backgrounds[0] == (255, 255, 255)
    assert sum(backgrounds[1]) < sum(backgrounds[2]) < 3 * 255
    assert backgrounds[1][2] > backgrounds[1][0]  # blue for
    assert backgrounds[2][2] < backgrounds[2][0]  # orange against


def test_a_page_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["classify", "--ckpt_path", CHECKPOINT, "--html", str(tmp_path), TEXT])
    assert stopped.value.code == 2
    assert f"--html {tmp_path}: cannot be written" in capsys.readouterr().err
