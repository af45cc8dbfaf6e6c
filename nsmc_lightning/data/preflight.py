"""A tokenizer that fits the encoder and the texts: checked before anything is computed."""

from collections.abc import Callable, Iterable

from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.tokenizer import load_tokenizer, train_tokenizer
from nsmc_lightning.errors import UserError, warn
from nsmc_lightning.types import EncoderLimits

# Of NSMC's tokens, fitting vocabularies miss 0.1 % (koelectra) to 1.7 % (mBERT); of decomposed Hangul, 75 %.
UNKNOWN_LIMIT = 0.2
_EXAMPLES = 5


def fitting_tokenizer(
    name: str | int, texts: Callable[[], Iterable[str]], max_length: int, limits: EncoderLimits | None
) -> PreTrainedTokenizerFast:
    """Load or train a tokenizer, and warn of what differs harmlessly from the encoder's.

    Args:
        name: hub id or folder of a tokenizer, or a number: train a vocabulary of so many pieces.
        texts: returns those to train it on.
        max_length: tokens a text will be cut to.
        limits: what the encoder accepts; None compares nothing.

    Raises:
        UserError: it cannot be loaded or trained, or does not fit.
    """
    tokenizer = load_tokenizer(name) if isinstance(name, str) else train_tokenizer(texts(), name)
    check_tokenizer(tokenizer, max_length)
    if limits is not None and (warning := check_limits(tokenizer, limits, max_length)):
        warn(warning)
    return tokenizer


def check_tokenizer(tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
    """Check that a tokenizer encodes a text as [CLS] text [SEP], in segment 0, within ``max_length`` tokens.

    Raises:
        UserError: it does not.
    """
    for role in ("pad_token", "cls_token", "sep_token"):
        if getattr(tokenizer, role) is None:
            raise UserError(f"the tokenizer has no {role}: a BERT-like tokenizer is needed.")
    if max_length < 3:
        raise UserError(f"data.max_length is {max_length}: [CLS] and [SEP] take two tokens, give at least 3.")
    probe = tokenizer("영화", return_token_type_ids=True)
    ids, segments = probe["input_ids"], set(probe["token_type_ids"])
    if ids[0] != tokenizer.cls_token_id or ids[-1] != tokenizer.sep_token_id:
        raise UserError(
            f"the tokenizer does not put {tokenizer.cls_token} before and {tokenizer.sep_token} after a text: "
            "a BERT-like tokenizer is needed."
        )
    if segments != {0}:
        raise UserError(f"the tokenizer gives a single text the segment ids {sorted(segments)}: only 0 is supported.")


def check_limits(tokenizer: PreTrainedTokenizerFast, limits: EncoderLimits, max_length: int) -> str | None:
    """Compare a tokenizer's ids and the length of texts with what the encoder accepts.

    Returns:
        A warning if the two differ in a way that is harmless, else None.

    Raises:
        UserError: the encoder would fail or compute something else.
    """
    if limits.max_length is not None and max_length > limits.max_length:
        raise UserError(
            f"data.max_length is {max_length}, but the encoder takes texts of at most {limits.max_length} tokens: "
            f"give --data.max_length {limits.max_length} or less."
        )
    largest = max(tokenizer.get_vocab().values())
    if largest >= limits.vocab_size:
        raise UserError(
            f"the tokenizer's largest token id is {largest}, but the encoder's embedding has {limits.vocab_size} rows "
            f"(ids up to {limits.vocab_size - 1}): they do not belong together."
        )
    if limits.pad_token_id is not None and limits.pad_token_id != tokenizer.pad_token_id:
        return (
            f"the encoder's configuration has pad_token_id {limits.pad_token_id}, the tokenizer "
            f"{tokenizer.pad_token_id}: the tokenizer's is used."
        )
    return None


def unknown_share(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> tuple[float, list[str]]:
    """Return the share of unknown tokens, special tokens excluded, and the up to five worst texts."""
    texts = list(texts)
    unknown = tokenizer.unk_token_id
    if unknown is None or not texts:
        return 0.0, []
    encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    counts = [ids.count(unknown) for ids in encoded]
    rows = [row for row, count in enumerate(counts) if count]
    worst = sorted(rows, key=lambda row: -counts[row] / len(encoded[row]))[:_EXAMPLES]
    return sum(counts) / max(sum(map(len, encoded)), 1), [texts[row] for row in worst]


def unknown_warning(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> str | None:
    """Return a warning if the share of unknown tokens is above :data:`UNKNOWN_LIMIT`, else None."""
    share, examples = unknown_share(tokenizer, texts)
    if share <= UNKNOWN_LIMIT:
        return None
    return (
        f"{share:.0%} of the tokens are unknown to the tokenizer: is it one for this language? For example: "
        + " | ".join(text[:40] for text in examples)
    )
