"""The pieces of a vocabulary that texts use, and a tokenizer cut to them, which splits these texts as before.

Why fewer pieces do not change how a text is split whose own pieces stay:

* Unigram takes the path of pieces with the highest sum of scores. Scores are copied and removed pieces are not on that
  path, so no other path can overtake it. A character without a piece scores less than the lowest of all scores, so one
  piece with that score stays.
* WordPiece takes the longest piece that matches, again and again. The longest of all is still the longest of those
  that stay. A word of which a rest matches nothing is unknown as a whole: the pieces matched before that rest stay, or
  a shorter match could spell the word.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.tokenizer import tokenizer_files
from nsmc_lightning.errors import UserError

_CHUNK = 1_000  # texts per call of the tokenizer: enough for every core, and long texts take little memory
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]  # of a Unigram model that spells unknown characters with them


class Used(NamedTuple):
    """The pieces that texts need to be split as they are.

    *Shape:* ``pieces`` bool (largest token id + 1,); ``texts`` is the number of texts.
    """

    pieces: np.ndarray
    texts: int


def refuse_other_models(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Refuse a tokenizer whose vocabulary cannot be cut.

    Raises:
        UserError: it is neither Unigram nor WordPiece.
    """
    model = tokenizer.backend_tokenizer.model
    if not isinstance(model, models.Unigram | models.WordPiece):
        raise UserError(
            f"tokenizer {name!r} is a {type(model).__name__} model, whose vocabulary cannot be cut.\n"
            "Vocabularies of Unigram (XLM-R, e5, KoBERT) and WordPiece (BERT, ELECTRA) tokenizers can be cut."
        )


def used_pieces(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> Used:
    """Find the pieces that texts need to be split as they are; special tokens in them are plain text, as in training.

    Args:
        tokenizer: from ``load_tokenizer``, Unigram or WordPiece.
        texts: after cleaning; they are read in chunks.
    """
    backend = tokenizer.backend_tokenizer
    used, number = np.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=bool), 0
    greedy = _Greedy(backend) if isinstance(backend.model, models.WordPiece) else None
    for chunk in _chunks(texts):
        number += len(chunk)
        for text, ids in zip(chunk, _split(backend, chunk), strict=True):
            used[ids] = True
            if greedy is not None and greedy.unknown in ids:
                used[greedy.matched(text)] = True
    return Used(used, number)


def kept_pieces(tokenizer: PreTrainedTokenizerFast, used: np.ndarray, special: Collection[int]) -> np.ndarray:
    """Choose the pieces that stay: those in use, special and added tokens, and single characters.

    Single characters let a text with other words be split into characters wherever the whole vocabulary could.

    Args:
        tokenizer: the tokenizer of the whole vocabulary.
        used: bool (largest token id + 1,), see :class:`Used`.
        special: further ids, such as those in the encoder's configuration; ids without a piece are ignored.

    Returns:
        The token ids that stay, int64 (K,), in ascending order: the new id of a piece is its place among them.
    """
    backend, content = tokenizer.backend_tokenizer, _content(tokenizer)
    model = content["model"]
    vocabulary = backend.get_vocab(with_added_tokens=False)
    prefix = model.get("continuing_subword_prefix", "")
    kept = used.copy()
    kept[tokenizer.all_special_ids] = True
    kept[[holder[key] for holder, key in _places(content)]] = True
    kept[[*({*special} & {*tokenizer.get_vocab().values()})]] = True
    kept[[number for piece, number in vocabulary.items() if len(piece.removeprefix(prefix)) == 1]] = True
    if isinstance(backend.model, models.Unigram):
        scores = [score for _, score in model["vocab"]]
        kept[scores.index(min(scores))] = True
        if model["byte_fallback"]:
            kept[[vocabulary[piece] for piece in _BYTES if piece in vocabulary]] = True
    return np.flatnonzero(kept)


def cut_tokenizer(tokenizer: PreTrainedTokenizerFast, kept: np.ndarray) -> dict[str, str]:
    """Return the files of the tokenizer with the pieces ``kept`` (see :func:`kept_pieces`), from name to content."""
    files, content = tokenizer_files(tokenizer), _content(tokenizer)
    new = {int(old): number for number, old in enumerate(kept)}
    model = content["model"]
    if isinstance(tokenizer.backend_tokenizer.model, models.Unigram):
        model["vocab"] = [piece for old, piece in enumerate(model["vocab"]) if old in new]
    else:
        model["vocab"] = {piece: new[old] for piece, old in model["vocab"].items() if old in new}
    for holder, key in _places(content):
        holder[key] = new[holder[key]]
    content["padding"] = content["truncation"] = None  # left by the last call; each call sets its own
    return {**files, "tokenizer.json": json.dumps(content, ensure_ascii=False, indent=2)}


def split_otherwise(
    whole: PreTrainedTokenizerFast, cut: PreTrainedTokenizerFast, kept: np.ndarray, texts: Iterable[str]
) -> Iterator[str]:
    """Find the texts that two tokenizers split into different pieces.

    Args:
        whole: the tokenizer of the whole vocabulary.
        cut: the tokenizer of the pieces ``kept``.
        kept: see :func:`kept_pieces`.
        texts: after cleaning; they are read in chunks.
    """
    old = kept.tolist()
    for chunk in _chunks(texts):
        pairs = zip(_split(whole.backend_tokenizer, chunk), _split(cut.backend_tokenizer, chunk), strict=True)
        for text, (before, after) in zip(chunk, pairs, strict=True):
            if before != [old[number] for number in after]:
                yield text


class _Greedy:
    """WordPiece's matching, for the pieces of unknown words, which a tokenizer does not tell."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        self.vocabulary = backend.get_vocab(with_added_tokens=False)
        self.unknown = self.vocabulary.get(backend.model.unk_token)
        self.prefix: str = backend.model.continuing_subword_prefix
        self.longest: int = backend.model.max_input_chars_per_word

    def matched(self, text: str) -> list[int]:
        """Return the pieces matched in a text's words; of an unknown word, those before the rest without a match."""
        normalized = self.backend.normalizer.normalize_str(text)
        steps = self.backend.pre_tokenizer
        words = [normalized] if steps is None else [word for word, _ in steps.pre_tokenize_str(normalized)]
        return [number for word in words if len(word) <= self.longest for number in self._match(word)]

    def _match(self, word: str) -> Iterator[int]:
        start = 0
        while start < len(word):
            prefix = self.prefix if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.vocabulary), None)
            if end is None:
                return
            yield self.vocabulary[prefix + word[start:end]]
            start = end


def _places(content: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Where ``tokenizer.json`` has a token's id outside of its vocabulary: a dictionary or list, and a key of it."""
    places: list[tuple[Any, Any]] = [(token, "id") for token in content["added_tokens"]]
    if content["model"].get("unk_id") is not None:
        places.append((content["model"], "unk_id"))
    steps = [content["post_processor"] or {}]
    while steps:
        step = steps.pop()
        steps += step.get("processors", [])  # of a sequence
        for token in step.get("special_tokens", {}).values():  # of a template
            places += [(token["ids"], number) for number in range(len(token["ids"]))]
        places += [(step[role], 1) for role in ("cls", "sep") if role in step]  # of BertProcessing, RobertaProcessing
    return places


def _content(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The content of ``tokenizer.json``."""
    return json.loads(tokenizer.backend_tokenizer.to_str())


def _split(backend: Tokenizer, texts: list[str]) -> Iterator[list[int]]:
    """The token ids of texts, whole and without special tokens."""
    backend.no_padding()
    backend.no_truncation()
    for encoded in backend.encode_batch_fast(texts, add_special_tokens=False):
        yield encoded.ids


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
