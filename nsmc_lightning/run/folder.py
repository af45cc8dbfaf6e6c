"""The folder of a run: chosen from the settings, claimed as the run starts, removed where nothing came of it."""

import csv
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from nsmc_lightning.errors import UserError
from nsmc_lightning.run.results import run_of

# What is written before the first step, or the first result: a folder with nothing else is of no use.
_PRELIMINARY = ("config.yaml", "run.json", "hparams.yaml", "events.out.tfevents.*")

Kind = Literal["new", "resumed", "measured"]


class Place(NamedTuple):
    """Where a command writes: the folder ``log_dir/name/version``.

    Args:
        log_dir: folder of all runs.
        name: of the recipe; empty where ``log_dir`` alone contains the run.
        version: name of the run's folder; None before the next ``version_N`` is claimed.
        kind: a new run, one that training resumes, or one whose checkpoint is measured.
    """

    log_dir: str
    name: str
    version: str | None = None
    kind: Kind = "new"

    @property
    def parent(self) -> Path:
        """The folder that contains the run's."""
        return Path(self.log_dir) / self.name

    @property
    def path(self) -> Path | None:
        """The run's folder; None before it is claimed, which only the first process does."""
        return None if self.version is None else self.parent / self.version


def choose_place(new: Place, ckpt_path: str | None, training: bool, explicit: bool) -> Place:
    """Return where a command writes: to the run of its checkpoint, unless another place is given.

    Args:
        new: the run that the settings name.
        ckpt_path: the checkpoint that the command starts from.
        training: whether the command trains, and does not only measure or predict.
        explicit: whether the settings beside the checkpoint's own name the place. Training still resumes in the
            checkpoint's run where that is the place.
    """
    run = None if ckpt_path is None else run_of(ckpt_path)
    if run is None:
        return new
    is_there = run.parent == new.parent.resolve() and new.version in (None, run.name)
    if explicit and not (training and is_there):
        return new
    kind: Kind = "resumed" if training else "measured"
    if is_there:
        return new._replace(version=run.name, kind=kind)
    return Place(str(run.parent), "", run.name, kind)


@contextmanager
def opened(place: Place | None) -> Iterator[Place | None]:
    """Give the place with the version that the first process claims for it; None for a command without a folder.

    After an error, a folder claimed here is removed if it has no results.

    Raises:
        UserError: the folder cannot be written to, or a new one exists already.
    """
    if place is None or place.kind != "new":
        if place is not None and place.kind == "measured":
            _refuse_unwritable(place)
        yield place
        return
    folder = place.parent
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    claimed = place._replace(version=_claim(place))
    try:
        yield claimed
    except BaseException:
        if claimed.path is not None:
            _remove_unused(claimed.path, missing)
        raise


def loggers_of(place: Place, method: str, log_graph: bool, step: int | None) -> list[Logger]:
    """Return loggers to TensorBoard and to ``metrics.csv`` in a run's folder.

    A resumed run continues both, without what was logged after its checkpoint. A test of a run's checkpoint only adds
    to its TensorBoard events; a validation adds them in the folder ``validate``, as training has the same metrics.

    Args:
        place: the run's folder, claimed.
        method: fit, validate, test or predict, which logs nothing.
        log_graph: whether to log the model's graph to TensorBoard.
        step: the checkpoint's global step; None without one.
    """
    log_dir, name, version, kind = place
    if method == "predict":
        return []
    if kind == "measured":
        below = "validate" if method == "validate" else None
        return [TensorBoardLogger(log_dir, name, version, default_hp_metric=False, sub_dir=below)]
    purge_step = step if kind == "resumed" else None
    tensorboard = TensorBoardLogger(
        log_dir, name, version, log_graph=log_graph, default_hp_metric=False, purge_step=purge_step
    )
    metrics = CSVLogger(log_dir, name, version)
    if purge_step is not None:
        _keep_rows(metrics, purge_step)
    return [tensorboard, metrics]


# Claiming and removing a folder


@rank_zero_only
def _claim(place: Place) -> str:
    """Make the run's folder and return its name; two runs that start at once get two folders."""
    try:
        return _next_version(place.parent) if place.version is None else _given_version(place.parent / place.version)
    except OSError as error:
        raise UserError(
            f"log_dir {place.log_dir}: {error.filename or 'it'} cannot be written ({error.strerror}); give another "
            "folder, --log_dir DIR."
        ) from error


def _given_version(folder: Path) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        raise UserError(
            f"--version {folder.name}: {folder} exists already.\nGive another --version, or resume from its checkpoint "
            "with --ckpt_path."
        ) from None
    return folder.name


def _next_version(folder: Path) -> str:
    taken = [path.name.removeprefix("version_") for path in folder.glob("version_*")]
    version = max([int(name) for name in taken if name.isdigit()], default=-1) + 1
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            (folder / f"version_{version}").mkdir()
        except FileExistsError:
            version += 1
        except FileNotFoundError:  # another run has just failed, and removed the folder above
            continue
        else:
            return f"version_{version}"


@rank_zero_only
def _refuse_unwritable(place: Place) -> None:
    try:
        with tempfile.TemporaryFile(dir=place.path):
            pass
    except OSError as error:
        raise UserError(
            f"{place.path}: the results of its checkpoint cannot be written there ({error.strerror}).\nGive another "
            "folder of runs, --log_dir DIR; predict needs only a file, --output FILE."
        ) from error


def _remove_unused(run: Path, missing: list[Path]) -> None:
    """Remove a run's folder without results, and those folders above it that were missing before and are empty."""
    files = [path for path in run.rglob("*") if path.is_file()]
    if not all(any(path.match(pattern) for pattern in _PRELIMINARY) for path in files):
        return
    shutil.rmtree(run, ignore_errors=True)
    with suppress(OSError):  # another run is in it
        for folder in missing:
            folder.rmdir()


# metrics.csv of a resumed run


@rank_zero_only
def _keep_rows(logger: CSVLogger, step: int) -> None:
    """Keep the rows before ``step``; the logger by itself would start with an empty file.

    An epoch's training metrics have the number of its last step and are logged after the checkpoint of that step: the
    run that resumes from it logs them again.
    """
    path = Path(logger.log_dir) / "metrics.csv"
    rows = [row for row in _whole_rows(path) if int(row["step"]) < step - bool(row.get("train/accuracy"))]
    writer = logger.experiment
    writer.metrics = [{key: value for key, value in row.items() if value != ""} for row in rows]
    writer.save()


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of ``metrics.csv``, without one that a kill cut short."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    reader = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [row for row in reader if None not in row.values() and None not in row and row.get("step", "").isdecimal()]
