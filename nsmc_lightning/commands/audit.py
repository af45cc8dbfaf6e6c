"""audit: examine a corpus before anything is trained on it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nsmc_lightning.commands.arguments import CommandLine
from nsmc_lightning.commands.audit_settings import AuditSettings, build_parser, read_settings
from nsmc_lightning.commands.imports import importing
from nsmc_lightning.commands.trust import restrict_imports
from nsmc_lightning.files import default_cache_dir

if TYPE_CHECKING:
    from nsmc_lightning.audit.audit import Model
    from nsmc_lightning.data.parts import Parts


def run(args: list[str]) -> None:
    """Print what was found, and write it with the rows to a folder.

    Raises:
        UserError: a mistake in the settings, or in what they name.
        SystemExit: with code 0, after ``--help``.
    """
    line = CommandLine(restrict_imports(args))
    if {"--help", "-h"} & {option for option, _ in line.options}:
        print(build_parser().format_help(), end="")
        sys.exit(0)
    settings = read_settings(line)
    with importing():  # takes seconds, and --help needs none of it
        from nsmc_lightning.audit.audit import audit
        from nsmc_lightning.audit.folder import refuse_folder, write
        from nsmc_lightning.audit.report import report_of
    refuse_folder(settings.output)
    parts = _parts(settings)
    found = audit(parts, _model(settings, parts))
    write(found, settings.output, settings.max_length)
    print(report_of(found.figures))
    print(f"\nfigures, rows and pictures: {settings.output}")


def _parts(settings: AuditSettings) -> Parts:
    from nsmc_lightning.data.parts import Parts

    parts = Parts(
        settings.corpus,
        settings.data_dir,
        settings.cache_dir or default_cache_dir(),
        settings.dev_fraction,
        settings.split_seed,
        predict_path=None,
        encoding="utf-8",
        on_bad_rows="error",
    )
    if settings.checkpoint is not None:
        parts.trained_on = settings.checkpoint.trained_on
        for part in ("train", "dev", "test"):
            parts.refuse_other_rows(part)
    return parts


def _model(settings: AuditSettings, parts: Parts) -> Model:
    from nsmc_lightning.audit.audit import Model
    from nsmc_lightning.data.preflight import fitting_tokenizer

    max_length = settings.max_length
    if settings.checkpoint is not None:
        from nsmc_lightning.classifier import Classifier

        classifier = Classifier(settings.checkpoint.path)
        return Model(max_length, classifier.tokenizer, classifier)
    if settings.tokenizer is None:
        return Model(max_length)
    return Model(
        max_length, fitting_tokenizer(settings.tokenizer, lambda: parts.rows("train")["text"], max_length, None)
    )
