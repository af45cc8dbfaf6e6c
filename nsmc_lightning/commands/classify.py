"""classify: print a label and a probability for each text."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nsmc_lightning.commands.imports import importing
from nsmc_lightning.data.corpus import LONGEST_TEXT
from nsmc_lightning.errors import UserError, report
from nsmc_lightning.run.newest import find_checkpoint

if TYPE_CHECKING:
    from nsmc_lightning.classifier import Classifier
    from nsmc_lightning.evaluation.attribution import Attribution

_BOX = Path(__file__).resolve().parents[2] / "models" / "nsmc-small"
_BROKEN_PIPE = 141  # 128 + SIGPIPE, which ends other tools there


def run(args: list[str]) -> None:
    """Print a line for each text of the arguments, or for each line of standard input.

    Raises:
        UserError: no checkpoint, or one that cannot be used.
        SystemExit: the reader of the output closed it before all answers were written.
    """
    options = _parser().parse_args(args[1:])
    classifier = _load(options.ckpt_path or _model_in_the_box())
    try:
        _answer(classifier, options)
    except BrokenPipeError:  # as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        sys.exit(_BROKEN_PIPE)


def _model_in_the_box() -> str:
    """Return the folder of the model that a clone of the repository contains, and name it."""
    if not _BOX.is_dir():
        raise UserError("classify needs a trained model: give --ckpt_path FILE, or run it in a clone, which has one.")
    report(f"no --ckpt_path: {_BOX}")
    return str(_BOX)


def _load(path: str) -> Classifier:
    with importing():
        from nsmc_lightning.classifier import Classifier, is_exported  # takes seconds, and --help needs none

        return Classifier(path if is_exported(path) else find_checkpoint(path, "classify"))


def _answer(classifier: Classifier, options: argparse.Namespace) -> None:
    explained: list[Attribution] = []
    # Lines one by one: a person may be typing.
    lines = ([_text_of(line, number)] for number, line in enumerate(sys.stdin.buffer, start=1))
    for texts in [options.text] if options.text else lines:
        for text, answer in zip(texts, _answers(classifier, texts, options.language), strict=True):
            print(answer, flush=True)
            if answer and (options.explain or options.html):
                explained.append(_explained(classifier, text, shown=options.explain))
    if options.html:
        from nsmc_lightning.commands.explanation import write_page

        write_page(options.html, explained, [label.korean or label.name for label in classifier.labels])
        report(f"written to {options.html}")


def _explained(classifier: Classifier, text: str, shown: bool) -> Attribution:
    from nsmc_lightning.commands.explanation import as_numbers, for_terminal  # imports numpy, which --help can spare
    from nsmc_lightning.evaluation.attribution import leave_one_out

    attribution = leave_one_out(text, lambda texts: classifier.probabilities(texts).numpy())
    if shown:
        print((for_terminal if sys.stdout.isatty() else as_numbers)(attribution), flush=True)
    return attribution


def _text_of(line: bytes, number: int) -> str:
    """A line of standard input as text, without line end and byte order mark."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input, line {number}: not UTF-8; convert it, e.g. iconv -f cp949 -t utf-8."
        ) from error
    if len(text) > LONGEST_TEXT:
        raise UserError(f"standard input, line {number}: {len(text):,} characters, more than {LONGEST_TEXT:,}.")
    return text


def _answers(classifier: Classifier, texts: Sequence[str], language: str) -> Iterator[str]:
    """Yield a line for each text; an empty one where there is no text, so that answers stay beside their texts."""
    for raw, row in zip(texts, classifier.probabilities(texts), strict=True):
        text = raw.encode(errors="replace").decode()  # bytes that are not UTF-8 cannot be printed
        label, percent = classifier.labels[int(row.argmax())], f"{100 * float(row.max()):.2f}%"
        if not text.strip():
            yield ""
        elif language == "ko":
            yield f"{percent} 확률로 {label.korean or label.name} {classifier.unit}입니다.\t{text}"
        else:
            yield f"{label.name}\t{percent}\t{text}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """argparse would print its usage before the message."""
        if message.startswith("unrecognized arguments"):
            raise UserError(f"classify: {message}.\nGive texts that begin with a dash last, behind --: -- '-_-'.")
        raise UserError(f"classify: {message}; `python -m nsmc_lightning classify --help` lists the options.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m nsmc_lightning classify", description="Label and probability of each text.")
    parser.add_argument("text", nargs="*", help="texts; without any, the lines of standard input")
    parser.add_argument(
        "--ckpt_path",
        help="checkpoint, a run's folder, an exported folder, or last or best: of the newest run; without it, the "
        "model of a clone, models/nsmc-small",
    )
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="language of the answer")
    parser.add_argument("--explain", action="store_true", help="show how much each word speaks for the label")
    parser.add_argument("--html", metavar="FILE", help="write that to a web page")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
