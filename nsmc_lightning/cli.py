"""The command line: run a command, or print which there are."""

import logging
import sys
from importlib import import_module
from typing import NamedTuple

from nsmc_lightning import __version__
from nsmc_lightning.errors import UserError, shown_to_user


class Command(NamedTuple):
    """A line of ``--help``: the file in ``commands/`` with its ``run(args)``, what it does, and an example."""

    file: str
    purpose: str
    example: str


COMMANDS = {
    "fit": Command("train", "train", "--config configs/klue.yaml"),
    "test": Command("train", "measure", "--ckpt_path lightning_logs/klue/version_0/checkpoints/best.ckpt"),
    "validate": Command("train", "measure on dev", "--ckpt_path BEST.ckpt"),
    "predict": Command("train", "label a file", "--ckpt_path BEST.ckpt --data.predict_path in.tsv --output out.csv"),
    "repeat": Command("repeat", "several seeds", "--config configs/klue.yaml --seeds 5"),
    "compare": Command("compare", "compare two runs", "RUN_A RUN_B --output disagreements.tsv"),
    "classify": Command("classify", "label a text", '--ckpt_path BEST.ckpt "연기는 별로지만 재미 하나는 끝내줌!"'),
    "export": Command("export", "share a model", "--ckpt_path BEST.ckpt --output FOLDER"),
    "audit": Command("audit", "examine a corpus", "--data.corpus configs/corpus/nsmc.yaml --data.data_dir FOLDER"),
    "trim": Command("trim", "cut a vocabulary", "--backbone ENCODER --corpus configs/corpus/nsmc.yaml --output FOLDER"),
    "pretrain": Command("pretrain", "train an encoder", "--config configs/pretrain_nsmc.yaml --model.backbone FOLDER"),
}

_LINES = [f"  {name:<10} {command.purpose:<16} {name} {command.example}" for name, command in COMMANDS.items()]
HELP = f"""\
nsmc_lightning {__version__}: fine-tune and run BERT-family classifiers of Korean sentences.

usage: python -m nsmc_lightning COMMAND [OPTIONS]

{chr(10).join(_LINES)}

COMMAND --help lists a command's options. --debug shows the traceback of an error.
--trust-config lets configurations name classes outside of Lightning and this package, whose code then runs.
--ckpt_path also takes a run's folder, or last or best: of the newest run.
Without a network: fit --config configs/demo.yaml

Exit codes: 0 done; 1 an error in the program; 2 a mistake in the arguments or files; 130, 143 or 138 stopped by SIGINT
(Ctrl-C), SIGTERM or SIGUSR1: fit then finishes its step, saves last.ckpt and prints the command that resumes from it.
"""


def main(args: list[str] | None = None) -> None:
    """Run one command; ``args`` is the command line without the program's name, by default ``sys.argv[1:]``.

    Raises:
        SystemExit: with code 2 and one or two lines on standard error, on a mistake of the user's.
    """
    given = sys.argv[1:] if args is None else args
    args, debug = [arg for arg in given if arg != "--debug"], "--debug" in given
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if args[0] == "--version":
        print(__version__)
        return
    _log_to_console()
    with shown_to_user(debug):
        if args[0] not in COMMANDS:
            raise UserError(f"there is no command {args[0]!r}: `python -m nsmc_lightning --help` lists them.")
        import_module(f"nsmc_lightning.commands.{COMMANDS[args[0]].file}").run(args)


def _log_to_console() -> None:
    ours = logging.getLogger("nsmc_lightning")
    ours.setLevel(logging.INFO)
    ours.handlers = [logging.StreamHandler()]  # new at each call: standard error may have changed
    ours.propagate = False
