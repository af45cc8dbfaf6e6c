"""pretrain: the front of the command, which imports the large libraries only now."""

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.trust import restrict_imports


def run(args: list[str]) -> None:
    """Pretrain an encoder.

    Raises:
        UserError: a mistake in the settings, or in what they name.
        SystemExit: with code 0, after ``--help``.
    """
    line = CommandLine(restrict_imports(args))
    with importing():
        from nsmc_lightning.commands.lightning_cli import run_line
        from nsmc_lightning.commands.pretrain_cli import PretrainCLI
    run_line(PretrainCLI, line)
