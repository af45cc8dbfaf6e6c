"""fit, validate, test and predict: --help and unknown keys are answered before the large libraries are imported."""

import sys

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.help import Help
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.keys import LINKS, refuse_unknown
from nsmc_lightning.commands.trust import restrict_imports
from nsmc_lightning.errors import UserError


def run(args: list[str]) -> None:
    """Run fit, validate, test or predict, the first of ``args``.

    Raises:
        UserError: a mistake in the settings, or in what they name.
        SystemExit: with code 0, after ``--help``.
    """
    line = CommandLine(restrict_imports(args))
    _answer_at_once(line, Help.read())
    with importing():
        from nsmc_lightning.commands.classifier_cli import ClassifierCLI
        from nsmc_lightning.commands.lightning_cli import run_line
    run_line(ClassifierCLI, line)


def _answer_at_once(line: CommandLine, shipped: Help) -> None:
    """Print the help, or refuse unknown keys, where the shipped text and keys are those of the parser.

    What is not answered here is left to the parser, which is asked again.
    """
    if not line.configs and line.options in ([("--help", None)], [("-h", None)]) and shipped.is_current():
        print(shipped.text(line.command), end="")
        sys.exit(0)
    try:
        refuse_unknown(line, shipped.keys, LINKS)
    except UserError:
        if shipped.is_current():
            raise
