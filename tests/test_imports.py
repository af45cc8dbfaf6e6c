"""The import directions of the package: rooms know only what stands to their left."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nsmc_lightning"
LEAVES = {"types", "errors", "files", "signature"}
BELOW = {  # of each room, the rooms that it may import from, besides its own
    "types": set(),
    "errors": set(),
    "files": {"errors"},
    "signature": {"errors"},
    "evaluation": set(),
    "data": LEAVES,
    "model": {*LEAVES, "evaluation"},
    "checkpoint": {*LEAVES, "data", "model"},
    "classifier": {*LEAVES, "checkpoint", "data", "model"},
    "export": {*LEAVES, "checkpoint", "classifier", "data", "model"},
    "run": {*LEAVES, "evaluation", "checkpoint", "data", "model"},
    "callbacks": {*LEAVES, "evaluation", "run", "checkpoint", "data", "model"},
    "audit": {*LEAVES, "evaluation", "checkpoint", "classifier", "data", "callbacks", "run"},
    "commands": {
        *(*LEAVES, "evaluation", "checkpoint", "data", "model", "callbacks", "run", "classifier", "export", "audit"),
    },
    "cli": {"errors", "commands"},
    "__init__": {"data", "model", "classifier"},
    "__main__": {"cli"},
}
RULES = ["data/clean.py", "data/split.py", "data/batch.py", "model/optim.py", "model/metrics.py"]
RULES += [f"evaluation/{path.name}" for path in sorted((PACKAGE / "evaluation").glob("*.py"))]


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import_directions(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("nsmc_lightning.")}
    assert ours - {"__version__"} <= BELOW[room] | {room}


def test_few_files_are_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 9


@pytest.mark.parametrize("name", RULES)
def test_rules_touch_no_files_and_no_network(name: str) -> None:
    outside = {"os", "pathlib", "io", "tempfile", "shutil", "requests", "pooch", "urllib", "socket"}
    assert not {module.split(".")[0] for module in imported(PACKAGE / name)} & outside


COMMANDS = ("audit", "classify", "compare", "export", "repeat", "trim")


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_that_it_does_not_need(words: list[str]) -> None:
    heavy = {"torch", "lightning", "transformers", "pandas"}  # that of the other commands: tests/commands/test_help.py
    code = (
        "import atexit, sys; from nsmc_lightning.cli import main;"
        f"atexit.register(lambda: print(*({heavy!r} & sys.modules.keys()), file=sys.stderr)); main({words!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (0, [])
