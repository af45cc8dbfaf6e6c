"""export: write a checkpoint as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.new_folder import new_folder, refuse_output
from nsmc_lightning.commands.parser import Parser
from nsmc_lightning.run.newest import find_checkpoint


def run(args: list[str]) -> None:
    """Write the folder, and print how much its probabilities differ from the checkpoint's.

    Raises:
        UserError: the checkpoint cannot be exported, or the folder cannot be written.
    """
    options = _parser().parse_args(args[1:])
    output = Path(options.output).absolute()  # an empty working folder may be given as "."
    refuse_output(output)
    ckpt_path = find_checkpoint(options.ckpt_path, "export")
    with importing():  # takes seconds, and --help needs none of it
        from nsmc_lightning.export.folder import prepare, write
    export = prepare(ckpt_path, options.dtype)
    with new_folder(output) as folder:
        line = write(export, folder, output.name)
    print(f"{output}: {line}")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m nsmc_lightning export",
        description="Write a checkpoint as a folder that transformers loads without this package, and check that it "
        "gives the same probabilities.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt_path", required=True, help="checkpoint, a run's folder, or last or best: of the newest run"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="new folder")
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of the weights")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
