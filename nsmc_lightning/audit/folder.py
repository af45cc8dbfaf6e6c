"""The folder of an audit: figures, rows and pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nsmc_lightning.audit.audit import Audit
from nsmc_lightning.callbacks.figures import draw_lengths
from nsmc_lightning.errors import UserError
from nsmc_lightning.files import whole_folder

FIGURES = "audit.json"


def refuse_folder(folder: Path) -> None:
    """Refuse a folder with content that no audit wrote.

    Raises:
        UserError: it is one, or not a folder.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / FIGURES).is_file():
            raise UserError(
                f"--output {folder}: contains files, but no {FIGURES} of an earlier audit; name another folder."
            )
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror}).") from error


def write(found: Audit, folder: Path, max_length: int) -> None:
    """Write an audit; its files replace those of an earlier one, and other files stay.

    Args:
        found: the audit.
        folder: the folder.
        max_length: tokens a text is cut to, for the pictures.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        with whole_folder(folder) as new:
            for name, table in found.tables.items():
                table.to_csv(new / f"{name}.tsv", sep="\t", index=False, float_format="%.4f", errors="replace")
            for part, (characters, tokens) in found.lengths.items():
                figure = draw_lengths(characters, tokens, max_length, f"{part} texts")
                figure.savefig(new / f"lengths_{part}.png", dpi=120)
            text = json.dumps(found.figures, ensure_ascii=False, indent=1)
            (new / FIGURES).write_text(f"{text}\n", encoding="utf-8", errors="replace")
            if folder.is_dir():
                for file in new.iterdir():
                    os.replace(file, folder / file.name)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be written ({error.strerror}).") from error
