"""From a backbone and texts to the folder of a trimmed encoder, checked against the whole one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from huggingface_hub.utils import enable_progress_bars
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from nsmc_lightning.commands.card import Figures, card, summary
from nsmc_lightning.commands.new_folder import new_folder
from nsmc_lightning.commands.texts import Texts
from nsmc_lightning.data.preflight import check_limits, check_tokenizer
from nsmc_lightning.data.tokenizer import load_tokenizer
from nsmc_lightning.data.vocabulary import cut_tokenizer, kept_pieces, refuse_other_models, split_otherwise, used_pieces
from nsmc_lightning.errors import UserError
from nsmc_lightning.export.origin import origin_of
from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.families import encoder_limits
from nsmc_lightning.model.vocabulary import Size, cut_encoder, largest_difference, load_stored, special_ids

_SAMPLE = 16  # texts that both encoders compute
_TOLERANCE = 1e-5  # of hidden states in float32
_SHORTEST, _LONGEST = 3, 128  # tokens: [CLS], one of the text, [SEP]; of a text of the sample


def trim(backbone: str, texts: Texts, output: Path) -> str:
    """Write the folder of a backbone with the pieces that texts use, checked against the whole one.

    Args:
        backbone: hub id or folder of the encoder and its tokenizer.
        texts: the texts whose pieces stay.
        output: the new folder; may be an empty one.

    Returns:
        What was cut, as lines of text.

    Raises:
        UserError: the backbone or a file cannot be read, or the folder cannot be written.
        RuntimeError: the trimmed encoder does not compute the same.
    """
    _quieten()
    tokenizer = load_tokenizer(backbone)
    refuse_other_models(tokenizer, backbone)
    check_tokenizer(tokenizer, _SHORTEST)
    encoder = load_stored(backbone)
    check_limits(tokenizer, encoder_limits(encoder.config), _SHORTEST)
    origin = origin_of(backbone, encoder.config)
    used = used_pieces(tokenizer, _shown(texts, "find pieces"))
    if not used.texts:
        raise UserError("there is no text whose pieces could stay: rows without text and label do not count.")
    kept = kept_pieces(tokenizer, used.pieces, special_ids(encoder.config))
    before = Size.of(encoder)
    with new_folder(output) as folder:
        after = _save(encoder, tokenizer, kept, folder)
        del encoder  # the check loads it in float32
        _check(backbone, tokenizer, folder, kept, texts)
        figures = Figures(
            pieces=(len(tokenizer), len(kept)),
            sizes=(before, after),
            texts=used.texts,
            used=int(used.pieces.sum()),
            files=texts.checksums(),
            test=_share_of_test(tokenizer, folder, kept, texts),
        )
        (folder / "README.md").write_text(card(origin, texts.parts.corpus, figures), encoding="utf-8")
    return summary(figures)


def _save(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, kept: np.ndarray, folder: Path) -> Size:
    cut_encoder(encoder, kept)
    encoder.save_pretrained(folder)
    for name, content in cut_tokenizer(tokenizer, kept).items():
        (folder / name).write_text(content, encoding="utf-8")
    return Size.of(encoder)


def _check(
    backbone: str, tokenizer: PreTrainedTokenizerFast, folder: Path, kept: np.ndarray, texts: Iterable[str]
) -> None:
    """Compare the written folder with the backbone, both as ``fit`` loads them."""
    cut = load_tokenizer(str(folder))
    if cut.convert_ids_to_tokens([*range(len(kept))]) != tokenizer.convert_ids_to_tokens(kept.tolist()):
        raise RuntimeError(f"{backbone}: the trimmed tokenizer has other pieces than those that stay")
    for text in split_otherwise(tokenizer, cut, kept, _shown(texts, "check pieces")):
        raise RuntimeError(f"{backbone}: the trimmed tokenizer splits a text otherwise: {text!r}")
    whole, trimmed = (load_encoder(name, pretrained=True, need_pooler=False) for name in (backbone, str(folder)))
    sample = list(islice(texts, _SAMPLE))
    longest = min(encoder_limits(whole.config).max_length or _LONGEST, _LONGEST)
    batches = [
        each(sample, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        for each in (tokenizer, cut)
    ]
    inputs = batches[0]["input_ids"], batches[1]["input_ids"]
    difference = largest_difference(whole, trimmed, inputs, batches[0]["attention_mask"])
    if not difference <= _TOLERANCE:
        raise RuntimeError(f"{backbone}: the trimmed encoder's states differ by up to {difference:.1e}")


def _share_of_test(
    tokenizer: PreTrainedTokenizerFast, folder: Path, kept: np.ndarray, texts: Texts
) -> tuple[int, int] | None:
    """How many texts of test are split otherwise, and of how many; None without a test part."""
    if texts.test is None:
        return None
    return sum(1 for _ in split_otherwise(tokenizer, load_tokenizer(str(folder)), kept, texts.test)), len(texts.test)


def _shown(texts: Iterable[str], purpose: str) -> Iterable[str]:
    """The texts, whose number is shown on a terminal as they are read."""
    return tqdm(texts, desc=purpose, unit=" texts", disable=None)


def _quieten() -> None:
    """Hide transformers' reports on loading, which this command gives in its own words; keep the hub's downloads."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    enable_progress_bars()
