"""The words of a command line: configurations in front, corpora whole, what a checkpoint brings."""

from pathlib import Path

import pytest
import yaml

from nsmc_lightning.commands.arguments import configs_first, option, run_of
from nsmc_lightning.commands.recipes import SHIPPED
from nsmc_lightning.errors import UserError


@pytest.mark.parametrize("words", [["--name", "a", "--name", "b"], ["--name=a", "--name=b"], ["--name", "b", "--name"]])
def test_the_last_value_of_an_option_counts(words: list[str]) -> None:
    assert option(["fit", *words], "--name") == "b"


def test_an_option_that_is_not_there_has_no_value() -> None:
    assert option(["fit", "--names=a"], "--name") is None


def test_a_run_is_found_by_flags_or_the_files_of_config(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("{name: n, log_dir: logs}", encoding="utf-8")
    two.write_text("{}", encoding="utf-8")
    assert run_of(["fit"]) == ("lightning_logs", None)
    assert run_of(["fit", "--config", "configs/klue.yaml"]) == ("lightning_logs", "klue")
    assert run_of(["fit", f"--config={one}", "-c", str(two)]) == ("logs", "n")
    assert run_of(["fit", "-c", str(two), "--log_dir=l"]) == ("l", "two")
    assert run_of(["fit", "--config", str(one), "--name", "m"]) == ("logs", "m")


def test_configurations_go_in_front_of_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        (tmp_path / name).touch()
    args = ["test", "--ckpt_path", "x", "--config", "a.yaml", "--name=n", "-c", "b.yaml", "--config=c.yaml"]
    expected = ["test", "--config", "stored", "--config", "a.yaml", "--config", "b.yaml", "--config", "c.yaml"]
    assert configs_first(args, ["stored"]) == [*expected, "--ckpt_path", "x", "--name=n"]


@pytest.mark.parametrize("corpus", ["corpus/own.yaml", {"name": "own", "train": {"file": "t.csv"}}])
def test_the_corpus_is_emptied_before_each_that_names_a_whole_one(tmp_path: Path, corpus: object) -> None:
    path, own = tmp_path / "recipe.yaml", tmp_path / "own.yaml"
    for file in (path, own):
        file.write_text(yaml.safe_dump({"data": {"corpus": corpus}}), encoding="utf-8")
    args = configs_first(["fit", "--config", str(path), "--data.corpus", str(own), f"--data.corpus={own}"], [])
    empty = "--data.corpus=null"
    assert args == [
        "fit",
        empty,
        "--config",
        str(path),
        empty,
        "--data.corpus",
        str(own),
        empty,
        f"--data.corpus={own}",
    ]


def test_shipped_files_are_found_by_the_options_that_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, corpus = (str(SHIPPED / name) for name in ("klue.yaml", "corpus/imdb.yaml"))
    words = ["--config=configs/klue.yaml", "--data.corpus", "configs/corpus/imdb.yaml"]
    expected = ["fit", "--config", recipe, "--data.corpus=null", "--data.corpus", corpus]
    assert configs_first(["fit", *words], []) == expected
    words = ["-c", "configs/klue.yaml", "--data.corpus=configs/corpus/imdb.yaml"]
    assert configs_first(["fit", *words], []) == [*expected[:-2], f"--data.corpus={corpus}"]


@pytest.mark.parametrize(
    "text", ["data: {corpus: {license: CC0}}", "data: {max_length: 3}", "[1, 2]", "a: [", "# " + "x" * 300]
)
def test_a_configuration_without_a_whole_corpus_leaves_it(text: str) -> None:
    assert configs_first(["fit", "--config", text], []) == ["fit", "--config", text]


TWICE = """\
base: &base {lr: 1, epochs: 2}
model:
  lr: 1
trainer:
  - {<<: *base, lr: 3}
  - {<<: *base, lr: 3}
"""


@pytest.mark.parametrize(
    ("lines", "line", "key"),
    [("model: {}\n", 7, "model"), ("data:\n  max_length: 3\n  'max_length': 4\n", 9, "max_length"), ("", 0, "")],
)
@pytest.mark.parametrize("option", ["--config", "--data.corpus"])
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, option: str, lines: str, line: int, key: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TWICE + lines, encoding="utf-8")
    if not lines:
        assert str(path) in configs_first(["fit", option, str(path)], [])
        return
    with pytest.raises(UserError, match=f"^{option} {path}, line {line}: the key {key} "):
        configs_first(["fit", option, str(path)], [])
