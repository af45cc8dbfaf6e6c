"""The folder of a run and the loggers that write to it."""

import csv
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from nsmc_lightning.errors import UserError


def build_loggers(log_dir: str, name: str, log_graph: bool, resumed: tuple[Path, int] | None) -> list[Logger]:
    """Return loggers to TensorBoard and ``metrics.csv`` in a run's folder, ``<log_dir>/<name>/version_N``.

    Args:
        log_dir: folder of all runs.
        name: of the recipe.
        log_graph: whether to log the model's graph to TensorBoard.
        resumed: checkpoint to resume from and its global step. Where its run has this name, the logs continue in that
            run's folder, without what was logged after the step; otherwise the run gets a new folder.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        return _open_run(log_dir, name, log_graph, resumed)
    except OSError as error:
        raise UserError(
            f"log_dir {log_dir}: {error.filename or 'it'} cannot be written ({error.strerror}); give another folder, "
            "--log_dir DIR."
        ) from error


def _open_run(log_dir: str, name: str, log_graph: bool, resumed: tuple[Path, int] | None) -> list[Logger]:
    folder = Path(log_dir) / name
    if resumed is None or not _is_run_of(folder, resumed[0]):
        version: int | str | None = _claim_version(folder)
        tensorboard = TensorBoardLogger(log_dir, name, version, log_graph=log_graph, default_hp_metric=False)
        return [tensorboard, CSVLogger(log_dir, name, version)]
    path, step = resumed
    version = path.resolve().parents[1].name
    tensorboard = TensorBoardLogger(
        log_dir, name, version, log_graph=log_graph, default_hp_metric=False, purge_step=step
    )
    metrics = CSVLogger(log_dir, name, version)
    _keep_rows(metrics, step)
    return [tensorboard, metrics]


def _is_run_of(folder: Path, checkpoint: Path) -> bool:
    """Return whether a checkpoint is ``folder/version_N/checkpoints/*``."""
    parents = checkpoint.resolve().parents
    return len(parents) > 2 and parents[0].name == "checkpoints" and parents[2] == folder.resolve()


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


@rank_zero_only
def _claim_version(folder: Path) -> int | None:
    """Make the next free ``version_N``; two runs that start at once get two folders."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [path.name.removeprefix("version_") for path in folder.glob("version_*")]
    version = max([int(name) for name in taken if name.isdigit()], default=-1) + 1
    while True:
        try:
            (folder / f"version_{version}").mkdir()
        except FileExistsError:
            version += 1
        else:
            return version
