"""What was cut from an encoder, as the lines that trim prints and as a model card."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub import ModelCardData

from nsmc_lightning.data.corpus import Corpus
from nsmc_lightning.export.origin import Origin
from nsmc_lightning.model.vocabulary import Size


class Figures(NamedTuple):
    """What was cut.

    Args:
        pieces: of the tokenizer, before and after.
        sizes: of the encoder, before and after.
        texts: number of texts read.
        used: number of pieces that they need.
        files: name and sha256 of each file that they come from.
        test: how many texts of the test part are split otherwise, and of how many; None without a test part.
    """

    pieces: tuple[int, int]
    sizes: tuple[Size, Size]
    texts: int
    used: int
    files: list[tuple[str, str]]
    test: tuple[int, int] | None


def summary(figures: Figures) -> str:
    """Return a table of what was cut, and what was read, in Markdown."""
    before, after = figures.sizes
    megabytes = [f"{size.file_bytes / 1e6:,.1f} MB" for size in figures.sizes]
    rows = [
        ("", "before", "after"),
        ("pieces", *(f"{number:,}" for number in figures.pieces)),
        ("parameters of the embedding", f"{before.embedding:,}", f"{after.embedding:,}"),
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("weights in a file", *megabytes),
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [f"| {row[0]:<{widths[0]}} | {row[1]:>{widths[1]}} | {row[2]:>{widths[2]}} |" for row in rows]
    lines.insert(1, f"| {'-' * widths[0]} | {'-' * (widths[1] - 1)}: | {'-' * (widths[2] - 1)}: |")
    lines += ["", f"{figures.texts:,} texts were read, which use {figures.used:,} pieces; they are split as before."]
    if figures.test is not None:
        different, number = figures.test
        share = f"{different / number:.2%}"
        lines.append(f"Of the {number:,} texts of the test part, {different:,} ({share}) are split otherwise.")
    return "\n".join(lines)


def card(origin: Origin, corpus: Corpus, figures: Figures) -> str:
    """Return the model card of a trimmed encoder."""
    data = ModelCardData(
        base_model=origin.name if origin.on_hub else None, license=origin.licence, library_name="transformers"
    )
    known = [("revision", origin.revision), ("licence", origin.licence)]
    facts = ", ".join(f"{name} {value}" for name, value in known if value is not None)
    link = origin.link
    files = "\n".join(f"| {name} | {digest} |" for name, digest in figures.files)
    return f"""\
---
{data.to_yaml()}
---

# {origin.name.rpartition("/")[2]} with the vocabulary of {corpus.name}

The encoder {link}{f" ({facts})" if facts else ""} with a part of its vocabulary: the pieces that the texts below use,
the special tokens and all single characters. These texts have the same pieces and the same hidden states as with the
whole encoder; other texts may be split into smaller pieces.

{summary(figures)}

The texts are those of the train and dev part of {corpus.name}{f" ({corpus.licence})" if corpus.licence else ""} and of
any other file below.

| file | sha256 |
| ---- | ------ |
{files}

Made by `python -m nsmc_lightning trim`.
"""
