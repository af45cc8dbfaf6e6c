"""Files of predictions are read as they were written, whatever their format."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nsmc_lightning.callbacks.predictions import prediction_table, write_table
from nsmc_lightning.commands.prediction_file import answers_of, file_of_test, read_predictions
from nsmc_lightning.errors import UserError

TEXTS = ['좋다, "정말"\t', "NA", None, "두\r\n줄", "003"]
FRAME = pd.DataFrame({"id": ["001", "b", "NA", "4", "5"], "text": TEXTS, "label": [1, 0, 1, 0, 1]})
PROBABILITIES = np.array([[0.25, 0.75], [0.5, 0.5], [0.1, 0.9], [1 / 3, 2 / 3]])


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    table = prediction_table(FRAME, ["neg", "pos"], np.array([0, 1, 2, 4]), PROBABILITIES)
    write_table(table, tmp_path / f"test.{ending}")
    read = read_predictions(tmp_path / f"test.{ending}")
    assert read["id"].tolist() == FRAME["id"].tolist()
    assert read["text"].tolist() == [text or "" for text in TEXTS]
    assert read["label"].tolist() == ["pos", "neg", "", "", "pos"]
    assert read["target"].tolist() == ["pos", "neg", "pos", "neg", "pos"]
    answers = answers_of(read)
    assert answers.labels.tolist() == [1, 0, 1]
    np.testing.assert_allclose(answers.probabilities, PROBABILITIES[[0, 1, 3]], rtol=1e-14)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("id,text,label\n1,a,b\n", "x.csv", "no column target"),
        ("{broken", "x.jsonl", "cannot be read"),
        ("id", "x.txt", "is one of .csv"),
    ],
)
def test_other_files_are_refused(content: str, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"^{tmp_path / name}: .*{message}"):
        read_predictions(tmp_path / name)


def test_a_run_and_its_checkpoints_mean_their_results(tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    for file in (tmp_path / "run" / "run.json", tmp_path / "run" / "test-last.csv"):
        file.touch()
    assert file_of_test(str(last)) == tmp_path / "run" / "test-last.csv"
    with pytest.raises(UserError, match=r"no test\.csv .* has test-last\.csv.\nWrite it with .* test --ckpt_path"):
        file_of_test(str(tmp_path / "run"))
    with pytest.raises(UserError, match="not in the folder of a run"):
        file_of_test(str(tmp_path / "last.ckpt"))
