"""The baseline's cache."""

from pathlib import Path

import numpy as np
import pytest

from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.parts import Parts
from nsmc_lightning.evaluation.baseline import Baseline
from nsmc_lightning.run import baseline
from nsmc_lightning.run.baseline import baseline_of

LABELS = [Label("0", "negative"), Label("1", "positive")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        lines = [f"{'재미있다' if i % 2 else '지루하다'} {part} {i}\t{i % 2}" for i in range(60)]
        (tmp_path / f"{part}.tsv").write_text("\n".join(["text\tlabel", *lines]), encoding="utf-8")
    return tmp_path


def parts_of(folder: Path, dev_fraction: float = 0.2) -> Parts:
    corpus = Corpus("own", Source("train.tsv"), LABELS, test=Source("test.tsv"))
    return Parts(corpus, folder, folder / "cache", dev_fraction, 42, None, "utf-8", "error")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each fit."""
    done: list[int] = []

    class Counted(Baseline):
        def __init__(self, *args: object) -> None:
            done.append(1)
            super().__init__(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(baseline, "Baseline", Counted)
    return done


def test_its_answers_are_those_of_the_parts_rows(folder: Path) -> None:
    parts = parts_of(folder)
    found = baseline_of(parts, ["train", "dev", "test"])
    for name, (answers, setting) in found.items():
        np.testing.assert_array_equal(answers.labels, parts.rows(name)["label"])
        assert answers.correct.all()
        assert setting == found["dev"].setting


def test_it_is_fitted_once(folder: Path, fits: list[int]) -> None:
    first = baseline_of(parts_of(folder), ["dev", "test"])
    again = baseline_of(parts_of(folder), ["test"])["test"]
    assert len(fits) == 1
    np.testing.assert_array_equal(first["test"].answers.probabilities, again.answers.probabilities)
    assert again.setting == first["test"].setting
    baseline_of(parts_of(folder, dev_fraction=0.3), ["test"])  # another train part
    assert len(fits) == 2


def test_test_is_not_read_unless_it_is_asked_for(folder: Path) -> None:
    (folder / "test.tsv").unlink()
    assert set(baseline_of(parts_of(folder), ["train", "dev"])) == {"train", "dev"}


def test_a_damaged_entry_is_made_again(folder: Path, fits: list[int]) -> None:
    first = baseline_of(parts_of(folder), ["dev"])["dev"]
    (entry,) = (folder / "cache" / "baseline").iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    again = baseline_of(parts_of(folder), ["dev"])["dev"]
    assert len(fits) == 2
    np.testing.assert_array_equal(first.answers.probabilities, again.answers.probabilities)


def test_a_cache_that_cannot_be_written_costs_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "cache").write_text("a file")
    assert len(baseline_of(parts_of(folder), ["dev"])) == 1
    assert "cannot keep the baseline" in caplog.text
