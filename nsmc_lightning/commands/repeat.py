"""repeat: the same training with several seeds, and what the seed changes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.parser import Parser
from nsmc_lightning.commands.trust import OPTION, restrict_imports
from nsmc_lightning.errors import UserError, report
from nsmc_lightning.files import lock

if TYPE_CHECKING:
    from nsmc_lightning.commands.children import Children, Slot
    from nsmc_lightning.commands.seed_run import SeedRun

_OWN = {
    "--seed_everything": "give the seeds with --seeds",
    "--ckpt_path": "a seed that was stopped resumes by itself",
    "--version": "each seed has a folder of its name",
    "--output": "each seed's predictions are in its folder",
}
_PLACE = ("--log_dir", "--name")


def run(args: list[str]) -> None:
    """Train and test with each seed in processes of their own, and print mean and spread of the test scores.

    Raises:
        UserError: an option that fit refuses, or a seed that was trained with other settings.
        SystemExit: a signal stopped the command, or one of its processes failed.
    """
    options, rest = _parser().parse_known_args(args[1:])
    line = CommandLine(["fit", *restrict_imports(rest)])
    for option, instead in _OWN.items():
        if any(name == option for name, _ in line.options):
            raise UserError(f"{option} is not an option of repeat: {instead}.")
    with importing():
        from nsmc_lightning.commands.fit_settings import fit_settings
        from nsmc_lightning.commands.seed_run import SeedRun
        from nsmc_lightning.commands.seed_table import summarise
    settings = fit_settings(line)
    _refuse_settings(settings)
    trusted = [OPTION] if OPTION in rest else []
    name = f"{settings['name']}/repeat"
    runs = [SeedRun(seed, settings["log_dir"], name, [*trusted, *_words(line)]) for seed in options.seeds]
    for each in runs:
        each.refuse_other_settings(settings)
    folder = Path(settings["log_dir"]) / name
    with _locked(folder) as file:
        _train(runs, options.jobs, file)
    summarise(runs, folder)


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    trainer = settings["trainer"]
    if trainer["fast_dev_run"] or trainer["enable_checkpointing"] is False:
        raise UserError("repeat tests a checkpoint of each seed: leave out what makes fit write none.")
    if settings["checkpoint"]["dirpath"] is not None:
        raise UserError("checkpoint.dirpath would be that of all seeds: leave it out.")


def _words(line: CommandLine) -> list[str]:
    """Return the options of fit without its place, which are also those of its test."""
    configs = [f"--config={config.source}" for config in line.configs]
    options = [(name, value) for name, value in line.options if name not in _PLACE]
    return [*configs, *(name if value is None else f"{name}={value}" for name, value in options)]


@contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes]]:
    """Keep a second command from training the same seeds; leave no folder where none of them has one."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with _lock_file(folder / ".lock") as file:
        try:
            yield file
        finally:
            if missing and os.listdir(folder) == [".lock"]:
                with suppress(OSError):
                    (folder / ".lock").unlink()
                    for path in missing:
                        path.rmdir()


def _lock_file(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        lock(file, wait=False)
    except BlockingIOError:
        raise UserError(
            f"{path.parent}: another repeat is training there.\nWait for it or stop it, or give another --name."
        ) from None
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror}); give --log_dir DIR.") from error
    return file


def _train(runs: Sequence[SeedRun], jobs: int, file: IO[bytes]) -> None:
    """Run what the seeds lack.

    Raises:
        SystemExit: see :func:`run`.
    """
    from nsmc_lightning.commands.children import Children, Task

    tasks = []
    for each in runs:
        if each.is_finished:
            report(f"seed {each.seed}: finished before, {each.result}")
        else:
            log = each.folder.with_suffix(".log") if jobs > 1 else None
            tasks.append(Task(f"seed {each.seed}", _announced(each), log))
    children = Children(_slots(jobs), file)
    children.run(tasks)
    _end_after(children)


def _announced(run: SeedRun) -> Iterator[list[str]]:
    for words in run.commands():
        report(f"seed {run.seed}: {words[0]} in {run.folder}")
        yield words


def _end_after(children: Children) -> None:
    if children.signal:
        print(f"stopped by {signal.Signals(children.signal).name}; the same command resumes.", file=sys.stderr)
        sys.exit(128 + children.signal)
    if children.failure is not None:
        task, command, code = children.failure
        where = "above" if task.log is None else f"in {task.log}"
        print(f"{task.name}: {command} ended with code {code}; its message is {where}.", file=sys.stderr)
        sys.exit(code)


def _slots(jobs: int) -> list[Slot]:
    """Return a slot for each seed side by side: a GPU each in turns, or a share of the processor."""
    import torch

    from nsmc_lightning.commands.children import Slot

    if jobs == 1:
        return [Slot({})]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = [str(number) for number in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if devices and devices[0]:
        return [Slot({"CUDA_VISIBLE_DEVICES": devices[job % len(devices)]}) for job in range(jobs)]
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, torch.get_num_threads() // jobs))
    return [Slot({"OMP_NUM_THREADS": threads}) for _ in range(jobs)]


def _seeds(text: str) -> list[int]:
    """Read ``5`` as the seeds 1 to 5, and ``3,7,11`` as these."""
    try:
        numbers = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        numbers = []
    seeds = list(range(1, numbers[0] + 1)) if len(numbers) == 1 and "," not in text else numbers
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise UserError(f"--seeds {text}: give a number of seeds, 5, or different seeds from 0, 3,7,11.")
    return seeds


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--jobs {text}: give a number from 1.")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nsmc_lightning repeat",
        usage="python -m nsmc_lightning repeat --seeds N [--jobs N] [any option of fit]",
        description="Train and test with several seeds, and print mean, standard deviation and interval of the test "
        "scores. The dev split does not change. Seeds that are finished are skipped, and others resume.",
        epilog="Every option of fit can be given: `fit --help` lists them.",
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", required=True, type=_seeds, metavar="N", help="seeds 1 to N, or a list: 3,7,11")
    parser.add_argument("--jobs", default=1, type=_jobs, metavar="N", help="seeds side by side, on a GPU each")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
