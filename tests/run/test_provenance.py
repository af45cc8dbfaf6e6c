"""The commit and the versions of the code that ran."""

import subprocess
from pathlib import Path

import torch

from nsmc_lightning.run.provenance import git_state, versions


def git(folder: Path, *args: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(folder), *name, *args], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_code_with_a_flag_for_changes(tmp_path: Path) -> None:
    code = tmp_path / "package"
    code.mkdir()
    assert git_state(code) is None
    git(tmp_path, "init", "-q")
    assert git_state(code) is None  # in a repository that does not hold it
    (code / "a.py").write_text("1")
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-q", "-m", "a")
    (tmp_path / "notes.txt").write_text("beside the code")
    assert git_state(code) == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (code / "a.py").write_text("2")
    assert git_state(code) == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": True}


def test_versions_are_those_that_run() -> None:
    assert versions()["torch"] == torch.__version__
