"""The folder of an audit, and its tables for the console."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nsmc_lightning.audit.audit import Audit
from nsmc_lightning.audit.folder import refuse_folder, write
from nsmc_lightning.errors import UserError


def audit_of(text: str) -> Audit:
    lengths = {"train": (np.array([2, 3]), None), "test": (np.array([2]), np.array([4]))}
    return Audit({"corpus": text}, {"leaks": pd.DataFrame({"part": ["test"], "text": [text]})}, lengths)


def test_it_has_figures_rows_and_pictures(tmp_path: Path) -> None:
    text = 'a\tb\n"c" 한글'
    write(audit_of(text), tmp_path / "new" / "own", max_length=8)
    folder = tmp_path / "new" / "own"
    assert {path.name for path in folder.iterdir()} == {
        *("audit.json", "leaks.tsv", "lengths_train.png", "lengths_test.png"),
    }
    assert json.loads((folder / "audit.json").read_text(encoding="utf-8")) == {"corpus": text}
    assert pd.read_csv(folder / "leaks.tsv", sep="\t")["text"].tolist() == [text]
    assert [path.name for path in folder.parent.iterdir()] == ["own"]


def test_a_later_audit_replaces_its_files_and_no_others(tmp_path: Path) -> None:
    write(audit_of("first"), tmp_path / "own", max_length=8)
    (tmp_path / "own" / "notes.txt").write_text("mine")
    refuse_folder(tmp_path / "own")
    write(audit_of("second"), tmp_path / "own", max_length=8)
    assert "second" in (tmp_path / "own" / "leaks.tsv").read_text(encoding="utf-8")
    assert (tmp_path / "own" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match="--output"):
            refuse_folder(folder)
    with pytest.raises(UserError, match="--output"):
        write(audit_of("text"), tmp_path / "notes.txt" / "below", max_length=8)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
