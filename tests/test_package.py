"""The archives that a release consists of: what they hold, and that they work away from the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("nsmc_lightning", "configs", "tests")
FILES = (
    ".ci/run",
    ".gitignore",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
)


def sources(folder: str) -> set[str]:
    """Paths in the repository of a folder's own files."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".json", ".md") and "__pycache__" not in path.parts
    }


def build(source: Path, kind: str) -> Path:
    """Builds the sdist or the wheel of a source folder, with the setuptools that there is."""
    code = f"import setuptools.build_meta as backend; backend.build_{kind}('built')"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "importable" not in done.stderr  # setuptools' warning of a folder that [tool.setuptools] leaves out
    (archive,) = (source / "built").iterdir()
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, built from a copy, so that nothing is left in the repository."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        (source / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, source / file)
    return build(source, "sdist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive alone, as `python -m build` does."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build(source, "wheel")


def test_the_source_archive_holds_what_make_test_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers()}
        (run,) = [member for member in archive.getmembers() if member.name.endswith(".ci/run")]
    expected = set(FILES).union(*map(sources, FOLDERS))
    assert expected <= held
    assert run.mode & 0o100
    assert not [name for name in held if "__pycache__" in name]


def test_the_wheel_holds_the_package_and_the_recipes(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (scripts,) = [archive.read(name).decode() for name in held if name.endswith("entry_points.txt")]
    recipes = {f"nsmc_lightning/{name}" for name in sources("configs")}
    assert {name for name in held if ".dist-info/" not in name} == sources("nsmc_lightning") | recipes
    assert "nsmc-lightning = nsmc_lightning.cli:main" in scripts
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_wheel_s_recipes_are_found_by_name(wheel: Path, tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    command = [sys.executable, "-m", "nsmc_lightning", "fit", "--config", "configs/demo.yaml", "--print_config"]
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(site / "nsmc_lightning" / "configs" / "demo.yaml") in done.stderr
    assert yaml.safe_load(done.stdout)["data"]["corpus"]["name"] == "demo"


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_the_installed_wheel_trains_and_tests_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, with the pinned packages from the index."""
    home, here, environment = tmp_path / "home", tmp_path / "here", tmp_path / "venv"
    home.mkdir()
    here.mkdir()
    venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    shared = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "NSMC_LIGHTNING_CACHE")}

    def run(*args: str) -> str:
        command = [str(environment / "bin" / "nsmc-lightning"), *args]
        done = subprocess.run(
            command, cwd=here, env={**shared, "HOME": str(home)}, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    assert "fit --config" in run("--help")
    run("fit", "--config", "configs/demo.yaml", "--trainer.max_epochs=1")
    checkpoint = here / "lightning_logs" / "demo" / "version_0" / "checkpoints" / "best.ckpt"
    assert "accuracy" in run("test", "--ckpt_path", str(checkpoint))
