"""The parser of a command with a few options of its own."""

from __future__ import annotations

import argparse

from nsmc_lightning.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse's parser, which refuses arguments in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """argparse would print its usage before the message."""
        command = self.prog.rpartition(" ")[2]
        raise UserError(f"{command}: {message}; `{self.prog} --help` lists the options.")
