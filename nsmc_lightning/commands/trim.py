"""trim: cut an encoder's vocabulary to the pieces that given texts use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.new_folder import refuse_output
from nsmc_lightning.commands.parser import Parser
from nsmc_lightning.errors import UserError

# Messages of the parts that this command shares with fit name the options of fit.
_OPTIONS = {
    r"--model\.backbone": "--backbone",
    r"--data\.data_dir": "--data_dir",
    r"--data\.corpus\.": "the corpus's ",
    r"--data\.encoding (\S+) for a file to predict": r"--texts a file in UTF-8, made with iconv -f \1 -t utf-8",
}


def run(args: list[str]) -> None:
    """Write the folder of the trimmed encoder and print a table of what was cut.

    Raises:
        UserError: an option, or a file that it names, cannot be used.
    """
    options = _parser().parse_args(args[1:])
    output = Path(options.output).absolute()  # an empty working folder may be given as "."
    _refuse_checkpoint(options.backbone)
    refuse_output(output)
    with importing():  # takes seconds, and --help needs none of it
        from nsmc_lightning.commands.texts import Texts, read_corpus
        from nsmc_lightning.commands.trimmed import trim
    with _in_own_options():
        texts = Texts(read_corpus(options.corpus), options.data_dir, options.texts, options.text_column)
        print(trim(options.backbone, texts, output))


def _refuse_checkpoint(backbone: str) -> None:
    if backbone.endswith(".ckpt"):
        raise UserError(
            f"--backbone {backbone}: a checkpoint of a trained classifier, whose vocabulary must stay.\n"
            "Give the encoder that training starts from, a hub id or a folder, and train on the trimmed one."
        )


@contextmanager
def _in_own_options() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        message = str(error)
        for pattern, own in _OPTIONS.items():
            message = re.sub(pattern, own, message)
        raise UserError(message) from error


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nsmc_lightning trim",
        description="Cut an encoder's vocabulary to the pieces that given texts use. These texts are split as before, "
        "and the encoder computes the same of them; others may be split into smaller pieces.",
        allow_abbrev=False,
    )
    parser.add_argument("--backbone", required=True, help="hub id or folder of the encoder")
    parser.add_argument("--corpus", required=True, metavar="FILE", help="corpus, whose train and dev texts are read")
    parser.add_argument("--data_dir", metavar="FOLDER", help="folder of the corpus's files; default: download them")
    parser.add_argument("--texts", nargs="+", default=[], metavar="FILE", help="more texts: parquet, jsonl, csv, txt")
    parser.add_argument("--text_column", default="text", metavar="NAME", help="their text column; default: text")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="new folder for the trimmed encoder")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
