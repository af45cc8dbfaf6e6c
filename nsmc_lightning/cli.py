"""The command line: which command, and how a user's mistake is said."""

import logging
import os
import sys
import warnings

from nsmc_lightning import __version__

HELP = f"""\
nsmc_lightning {__version__}: fine-tune and run BERT-family classifiers of Korean sentences.

usage: python -m nsmc_lightning COMMAND [OPTIONS]

  fit        train:    fit --config configs/klue.yaml
  test       measure:  test --ckpt_path lightning_logs/klue/version_0/checkpoints/best.ckpt
  validate   the same on the dev part
  predict    a file:   predict --ckpt_path BEST.ckpt --data.predict_path reviews.tsv --output out.csv
  classify   a text:   classify --ckpt_path BEST.ckpt "연기는 별로지만 재미 하나는 끝내줌!"

COMMAND --help lists a command's options. --debug shows the traceback of an error.
--trust-config lets configurations name classes outside of Lightning and this package: naming one runs its code.
Without a network: fit --config configs/demo.yaml

Exit codes: 0 done; 1 a fault of the program; 2 a mistake in what was given; 130, 143 or 138 stopped by SIGINT (Ctrl-C),
SIGTERM or SIGUSR1: fit then ends its step, saves last.ckpt and prints the command that goes on from there.
"""


def main(args: list[str] | None = None) -> None:
    """Runs one command; ``args`` is the command line without the program's name, by default ``sys.argv[1:]``.

    Raises:
        SystemExit: with code 2 and one or two lines on standard error, on a mistake of the user's.
    """
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if args[0] == "--version":
        print(__version__)
        return
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    _log_to_console()
    from nsmc_lightning.errors import shown_to_user

    with shown_to_user(debug):
        _run(args)


# Warnings of the libraries about what is intended here: the beginning of each, and why it is intended.
_EXPECTED = {
    "Experiment logs directory": "a run's folder is claimed before its loggers open it",
    ".*isinstance.treespec, LeafSpec.. is deprecated": "between lightning and torch",
    "The '.*_dataloader' does not have many workers": "batches are cut from arrays in memory",
    "You're resuming from a checkpoint that ended before": "the data module goes on at its place in the epoch",
    "Checkpoint directory .* exists and is not empty": "a resumed run writes to its own folder",
    "The ``compute`` method of metric": "training metrics are restored at an epoch's end, and logged without an update",
}
_EXPECTED_OF_EVALUATION = {
    "The dirpath has changed from": "it writes no checkpoints",
    "Be aware that when using `ckpt_path`, callbacks used to create": "nor does it need what wrote them",
}


def _log_to_console() -> None:
    ours = logging.getLogger("nsmc_lightning")
    ours.setLevel(logging.INFO)
    ours.handlers = [logging.StreamHandler()]  # anew: standard error may be another than at the last call
    ours.propagate = False


def _quiet_libraries(command: str) -> None:
    # Seed and devices stand in config.yaml, and an advertisement is nobody's news. Importing lightning sets the level.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in [*_EXPECTED, *(_EXPECTED_OF_EVALUATION if command != "fit" else ())]:
        warnings.filterwarnings("ignore", message=message)


def _run(args: list[str]) -> None:
    from nsmc_lightning.types import UserError

    command = args[0]
    if command == "classify":
        from nsmc_lightning.commands.classify import classify

        classify(args[1:])
    elif command in ("fit", "validate", "test", "predict"):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from nsmc_lightning.lightning_cli import ClassifierCLI

        _quiet_libraries(command)
        ClassifierCLI(args)
    else:
        raise UserError(f"there is no command {command!r}: `python -m nsmc_lightning --help` lists them.")
