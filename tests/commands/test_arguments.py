"""The words of a command line: configurations in front, corpora whole, what a checkpoint brings."""

from pathlib import Path

import pytest
import yaml

from nsmc_lightning.commands.arguments import CommandLine, Config
from nsmc_lightning.commands.recipes import SHIPPED
from nsmc_lightning.errors import UserError


@pytest.mark.parametrize("words", [["--name", "a", "--name", "b"], ["--name=a", "--name=b"]])
def test_the_last_value_of_an_option_counts(words: list[str]) -> None:
    assert CommandLine(["fit", *words]).last("--name") == "b"


@pytest.mark.parametrize("words", [[], ["--names=a"], ["--name"], ["--name", "--x"]])
def test_an_option_that_is_not_there_has_no_value(words: list[str]) -> None:
    assert CommandLine(["fit", *words]).last("--name") is None


def test_a_run_is_found_by_flags_or_the_files_of_config(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("{name: n, log_dir: logs}", encoding="utf-8")
    two.write_text("{}", encoding="utf-8")

    def run(*words: str) -> tuple[str, str | None]:
        return CommandLine(["fit", *words]).log_dir_and_name()

    assert run() == ("lightning_logs", None)
    assert run("--config", "configs/klue.yaml") == ("lightning_logs", "klue")
    assert run(f"--config={one}", "-c", str(two)) == ("logs", "n")
    assert run("-c", str(two), "--log_dir=l") == ("l", "two")
    assert run("--config", str(one), "--name", "m") == ("logs", "m")
    assert run("--config", "name: 3") == ("lightning_logs", "3")


def test_configurations_go_in_front_of_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        (tmp_path / name).write_text("name: x", encoding="utf-8")
    line = CommandLine(["test", "--ckpt_path", "x", "-c", "a.yaml", "--model.lr", "-1", "--config=b.yaml", "word"])
    line.configs.insert(0, Config.read("--ckpt_path", "name: stored"))
    expected = ["test", "--config=name: stored", "--config=a.yaml", "--config=b.yaml"]
    assert line.words() == [*expected, "--ckpt_path=x", "--model.lr=-1", "word"]


@pytest.mark.parametrize("corpus", ["corpus/own.yaml", {"name": "own", "train": {"file": "t.csv"}}])
def test_the_corpus_is_emptied_before_each_that_names_a_whole_one(tmp_path: Path, corpus: object) -> None:
    path, own = tmp_path / "recipe.yaml", tmp_path / "own.yaml"
    for file in (path, own):
        file.write_text(yaml.safe_dump({"data": {"corpus": corpus}}), encoding="utf-8")
    line = CommandLine(["fit", "--config", str(path), "--data.corpus", str(own), f"--data.corpus={own}"])
    empty, again = "--data.corpus=null", f"--data.corpus={own}"
    assert line.words() == ["fit", empty, f"--config={path}", empty, again, empty, again]


def test_shipped_files_are_found_by_the_options_that_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, corpus = (str(SHIPPED / name) for name in ("klue.yaml", "corpus/imdb.yaml"))
    expected = ["fit", f"--config={recipe}", "--data.corpus=null", f"--data.corpus={corpus}"]
    for words in (
        ["--config=configs/klue.yaml", "--data.corpus", "configs/corpus/imdb.yaml"],
        ["-c", "configs/klue.yaml", "--data.corpus=configs/corpus/imdb.yaml"],
    ):
        assert CommandLine(["fit", *words]).words() == expected


@pytest.mark.parametrize(
    "text", ["data: {corpus: {name: own}}", "data: {max_length: 3}", "data: null\nname: x", "data: nsmc"]
)
def test_a_configuration_without_a_whole_corpus_leaves_it(text: str) -> None:
    assert CommandLine(["fit", "--config", text]).words() == ["fit", f"--config={text}"]


@pytest.mark.parametrize("text", ["{}", "null", "# " + "x" * 5000])
def test_a_configuration_without_settings_is_left_out(text: str) -> None:
    assert CommandLine(["fit", "--config", text]).words() == ["fit"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model:\n\tlr: 1\n", "line 2: invalid YAML"),
        (b"a: [", "line 1: invalid YAML"),
        (b"- 1\n", "not a file of settings"),
        ("name: 리뷰\n".encode("cp949"), "not a file of settings, in YAML and UTF-8"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "--data.corpus"])
def test_what_holds_no_settings_is_refused_by_its_name(tmp_path: Path, option: str, content: bytes, said: str) -> None:
    path = tmp_path / "설정.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{option} {path}") as refused:
        CommandLine(["fit", option, str(path)])
    assert said in str(refused.value)


def test_an_option_without_its_file_is_refused() -> None:
    for words in (["--config"], ["-c"], ["--config="], ["--config", "--name=x"]):
        with pytest.raises(UserError, match="--config: give a file"):
            CommandLine(["fit", *words])


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
def test_a_key_that_is_given_twice_is_refused(tmp_path: Path, option: str, lines: str, line: int, key: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TWICE + lines, encoding="utf-8")
    if not lines:  # what a merge brings may be given anew
        assert f"{option}={path}" in CommandLine(["fit", option, str(path)]).words()
        return
    with pytest.raises(UserError, match=f"^{option} {path}, line {line}: .*the key {key} "):
        CommandLine(["fit", option, str(path)])


@pytest.mark.parametrize(
    ("args", "changed"),
    [
        (["--data.corpus.text_column=review"], True),
        (["--data.corpus.text_column", "review", "--config=data: {max_length: 3}"], True),
        (["--data.corpus.text_column=review", "--data.corpus=configs/corpus/imdb.yaml"], False),
        (["--data.corpus.text_column=review", "--config=data: {corpus: {train: {file: t.csv}}}"], False),
        (["--data.max_length=3"], False),
        (["--config=data: {corpus: {text_column: review}}"], True),
        (["--config=data: {corpus: {text_column: review}}", "--data.corpus.id_column=null"], True),
        (["--config=data: {corpus: {text_column: review}}", "--data.corpus=configs/corpus/imdb.yaml"], False),
        (["--config=data: {corpus: {text_column: review}}", "--config=data: {corpus: {train: {file: t}}}"], False),
        (["--config=data: {corpus: {name: own, text_column: review}}"], False),
        (["--config=data: {corpus: null}"], False),
    ],
)
def test_a_key_of_the_default_corpus_can_be_changed(args: list[str], changed: bool) -> None:
    words = CommandLine(["fit", *args]).words()
    assert (f"--data.corpus={SHIPPED / 'corpus' / 'nsmc.yaml'}" in words[:2]) == changed
