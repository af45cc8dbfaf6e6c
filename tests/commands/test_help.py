"""The shipped help and keys, compared with those of the parser, which is built in a process of its own: other tests
define callbacks, which its help would list."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nsmc_lightning.cli import main
from nsmc_lightning.commands.help import CLASSES, LIBRARIES, Help, sources

ROOT = Path(__file__).parents[2]
COMMANDS = ("fit", "validate", "test", "predict")
WIDTHS = (60, 80, 133)
SHIPPED = Help.read()
HEAVY = {"torch", "lightning", "transformers", "torchmetrics", "pandas"}

LIVE = f"""
import io, json, os
from contextlib import redirect_stdout, suppress
from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.classifier_cli import (
    AverageWeights, BertClassifierModule, ClassifierCLI, NSMCDataModule, SaveBest, StopEarly
)
from nsmc_lightning.commands.lightning_cli import run_line
from nsmc_lightning.commands.write_help import from_parser

def printed(command, width):
    os.environ["COLUMNS"] = str(width)
    with redirect_stdout(io.StringIO()) as output, suppress(SystemExit):
        run_line(ClassifierCLI, CommandLine([command, "--help"]))
    return output.getvalue()

named = (BertClassifierModule, NSMCDataModule, SaveBest, StopEarly, AverageWeights)
classes = [one for each in named for one in each.__mro__]
texts = {{f"{{command}} {{width}}": printed(command, width) for command in {COMMANDS} for width in {WIDTHS}}}
print(json.dumps([from_parser()._asdict(), texts, sorted({{one.__module__ for one in classes}})]))
"""

same_versions = pytest.mark.skipif(
    any(SHIPPED.made_from[name] != sources()[name] for name in ("python", *LIBRARIES)),
    reason="the shipped help was made under other versions",
)


@pytest.fixture(scope="module")
def live() -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """What ``make help-text`` would write now, the help that the parser prints, and the modules of its classes."""
    done = subprocess.run([sys.executable, "-c", LIVE], capture_output=True, text=True, check=True)
    content, texts, modules = json.loads(done.stdout)
    return content, texts, modules


@same_versions
def test_the_shipped_help_is_that_of_the_parser(live: tuple[dict[str, Any], ...]) -> None:
    for name, value in live[0].items():
        assert SHIPPED._asdict()[name] == value, f"{name} has changed: run `make help-text`"


@same_versions
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_wrapped_as_the_parser_wraps_it(
    width: int, live: tuple[dict[str, Any], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for command in COMMANDS:
        assert SHIPPED.text(command) == live[1][f"{command} {width}"]


def test_a_terminal_of_any_width_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = "".join(SHIPPED.text("fit").split())
    for width in (1, 10, 45, 1000):
        monkeypatch.setenv("COLUMNS", str(width))
        assert "".join(SHIPPED.text("fit").split()) == letters


def test_it_was_made_with_the_pinned_versions() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", text, re.MULTILINE)) | {
        "python": re.search(r"Python ([\d.]*\d)", text)[1]  # type: ignore[index]
    }
    assert {name: SHIPPED.made_from[name] for name in ("python", *LIBRARIES)} == {
        name: pinned[name] for name in ("python", *LIBRARIES)
    }


# When it answers


def answered_without(words: list[str], code: int) -> tuple[set[str], str]:
    """The heavy libraries that a command imports, and its output; it must end with ``code``."""
    program = (
        "import atexit, sys; from nsmc_lightning.cli import main; imported = sys.modules.keys();"
        f"atexit.register(lambda: print('imported', *({HEAVY!r} & imported), file=sys.stderr)); main({words!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    said, _, imported = done.stderr.rpartition("imported")
    return set(imported.split()), done.stdout + said


@same_versions
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["test", "--help"], 0, "usage: python -m nsmc_lightning test"),
        (["fit", "-h", "--trust-config"], 0, "--model.lr"),
        (["fit", "--model.learning_rate", "1"], 2, "did you mean --model.lr?"),
        (["fit", "--config", "configs/klue.yaml", "--data.bacth_size=3"], 2, "did you mean --data.batch_size?"),
        (["validate", "--config", "model: {num_labels: 1}"], 2, "model.num_labels follows from data.corpus"),
        (["fit", "--config", "configs/kleu.yaml"], 2, "configs/klue.yaml"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_help_and_mistakes_are_answered_without_the_large_libraries(words: list[str], code: int, said: str) -> None:
    imported, output = answered_without(words, code)
    assert said in output
    assert not imported


def test_the_parser_itself_imports_only_what_it_needs() -> None:
    program = (
        "import sys, nsmc_lightning.commands.classifier_cli;"
        "print(*{'transformers.modeling_utils', 'pandas', 'pyarrow'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_parser_answers_where_the_shipped_keys_are_not_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = SHIPPED._replace(keys=["name"], options=["stale"], made_from={**SHIPPED.made_from, "lightning": "2.0"})
    monkeypatch.setattr(Help, "read", lambda: stale)
    for words, expected in (
        (["fit", "--model.backbone=x", "--model.lr=0.5", "--print_config"], "lr: 0.5"),
        (["fit", "--help"], "--model.lr LR"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["fit", "--model.learning_rate=1"], ["fit", "--config={model: {lrr: 1}}"]])
def test_the_parser_says_the_same(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for current in (True, False):
        monkeypatch.setattr(Help, "is_current", lambda self, current=current: current)
        with pytest.raises(SystemExit):
            main(arguments)
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("file", "old", "new", "current"),
    [
        ("model/module.py", "num_labels: NumClasses = 2,", "num_labels: NumClasses = 2, added: int = 0,", False),
        ("data/module.py", '"""Sentences of a corpus', '"""Rows of a corpus', False),
        ("commands/lightning_cli.py", '("name", str', '("title", str', False),
        ("model/module.py", '        if loss == "', '        print(loss)\n        if loss == "', True),
        ("model/loss.py", "import", "import os\nimport", True),
    ],
)
def test_it_is_not_used_after_a_change_that_the_parser_may_see(
    file: str, old: str, new: str, current: bool, tmp_path: Path
) -> None:
    copy = shutil.copytree(
        ROOT / "nsmc_lightning", tmp_path / "nsmc_lightning", ignore=shutil.ignore_patterns("__pycache__")
    )
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    program = "from nsmc_lightning.commands.help import sources; print(sources()['nsmc_lightning'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert (done.stdout.strip() == sources()["nsmc_lightning"]) == current


def test_all_classes_that_the_parser_reads_are_watched(live: tuple[Any, ...]) -> None:
    ours = [name.removeprefix("nsmc_lightning.") for name in live[2] if name.startswith("nsmc_lightning.")]
    assert "model.module" in ours
    assert {f"{name.replace('.', '/')}.py" for name in ours} <= {*CLASSES}
