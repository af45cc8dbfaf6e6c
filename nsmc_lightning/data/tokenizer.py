"""A hub id or a folder to a fast tokenizer; training a vocabulary; what must hold before a text is encoded."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nsmc_lightning.errors import UserError
from nsmc_lightning.types import EncoderLimits

_BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_KOBERT_SPECIALS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]  # in the order of its ids
_KOBERT_MODEL = "tokenizer_78b3253a26.model"
_UNKNOWN_CHARACTER = "\ue000"  # for private use: in no vocabulary, and no normalisation touches it

# Of NSMC's tokens, fitting vocabularies miss 0.1 % (koelectra) to 1.7 % (mBERT); where Hangul reaches a vocabulary
# decomposed, 75 % are unknown.
UNKNOWN_LIMIT = 0.2
_EXAMPLES = 5


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a hub id or folder, made safe for reviews.

    KoBERT's SentencePiece model and a bare ``vocab.txt`` are read here, all else by ``AutoTokenizer``; code from the
    hub is never run. Whatever the source, texts are brought to NFC, a special token spelled out in a text stays text,
    and ``save_pretrained`` writes a folder from which ``AutoTokenizer`` gives the same ids.

    Raises:
        UserError: where nothing is found under the name, the hub cannot be reached, or it is no fast tokenizer.
    """
    folder = _folder_of(name)
    kobert = _load_kobert(folder)
    if kobert is not None:
        return kobert
    described = (folder / "tokenizer.json").is_file() or (folder / "tokenizer_config.json").is_file()
    if (folder / "vocab.txt").is_file() and not described:
        return _load_bare(name, folder / "vocab.txt")
    return _load_auto(name, folder)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A cased WordPiece tokenizer of at most ``vocab_size`` pieces, the same one for the same texts.

    Raises:
        UserError: where there is nothing to train on, or ``vocab_size`` has no room for a single character.
    """
    texts = list(texts)
    # Each character takes two pieces, "x" and "##x": half of the vocabulary at most, so that words find room too.
    room = (vocab_size - len(_BERT_SPECIALS)) // 4
    if room < 1:
        raise UserError(f"a vocabulary of {vocab_size} pieces is too small: give at least {len(_BERT_SPECIALS) + 4}.")
    normalizer = _bert_normalizer(lowercase=False, strip_accents=False)
    counts = Counter(char for text in texts for char in normalizer.normalize_str(text) if not char.isspace())
    characters = sorted(sorted(counts, key=lambda char: (-counts[char], char))[:room])
    if not characters:
        raise UserError("there is no text to train a vocabulary on.")

    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Left to itself the trainer numbers the "##x" in the order of a hash table, which differs from run to run and
    # decides ties between merges. Listed as special tokens they have fixed ids; the vocabulary alone is kept.
    pinned = [*_BERT_SPECIALS, *characters, *(f"##{char}" for char in characters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=pinned,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return _wrap(_wordpiece(backend.get_vocab(), normalizer), _by_role(_BERT_SPECIALS))


def tokenizer_files(tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """File name to content of all that ``save_pretrained`` writes; as files of a folder they load as the same."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


def preflight(tokenizer: PreTrainedTokenizerFast, limits: EncoderLimits, max_length: int) -> list[str]:
    """Compares tokenizer and encoder before anything is computed.

    Returns warnings, one line each, of what is odd but harmless.

    Raises:
        UserError: where the encoder would fail or, worse, compute something else than was meant.
    """
    for role in ("pad_token", "cls_token", "sep_token"):
        if getattr(tokenizer, role) is None:
            raise UserError(f"the tokenizer has no {role}: a BERT-like tokenizer is needed.")
    if max_length < 3:
        raise UserError(f"data.max_length is {max_length}: two tokens open and close a text, give at least 3.")
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
    _check_template(tokenizer)
    if limits.pad_token_id is not None and limits.pad_token_id != tokenizer.pad_token_id:
        return [
            f"the encoder's configuration says pad_token_id {limits.pad_token_id}, the tokenizer "
            f"{tokenizer.pad_token_id}: the tokenizer's is used."
        ]
    return []


def unknown_share(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> tuple[float, list[str]]:
    """Share of the texts' tokens that are unknown, special tokens aside, and the up to five worst texts."""
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
    """A warning where more of the texts' tokens are unknown than :data:`UNKNOWN_LIMIT`, else None."""
    share, examples = unknown_share(tokenizer, texts)
    if share <= UNKNOWN_LIMIT:
        return None
    return (
        f"{share:.0%} of the tokens are unknown to the tokenizer: is it one for this language? For example: "
        + " | ".join(text[:40] for text in examples)
    )


def _folder_of(name: str) -> Path:
    """The folder of that name, or the one to which the hub's tokenizer files are downloaded."""
    ways_out = "Give a local folder (--model.backbone FOLDER), or use configs/demo.yaml, which needs no network."
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"tokenizer {name!r} is a file: give the folder it stands in.")
    try:
        # Never weights, nor what stands in sub-folders (exports of other formats).
        patterns = ["*.json", "*.txt", "*.model", "*.spiece"]
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UserError(f"tokenizer {name!r} is neither a folder nor a public model on the hub. {ways_out}") from error
    except OSError as error:
        raise UserError(f"tokenizer {name!r} is not in the cache, and the hub gave nothing. {ways_out}") from error


def _load_auto(name: str, folder: Path) -> PreTrainedTokenizerFast:
    no_vocabulary = f"tokenizer {name!r} holds no vocabulary: tokenizer.json or vocab.txt is missing."
    if not any(path.name.startswith(("tokenizer", "vocab")) or path.suffix == ".model" for path in folder.iterdir()):
        raise UserError(no_vocabulary)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError) as error:  # broken files, an unknown kind, or one that needs code from the hub
        raise UserError(f"tokenizer {name!r} cannot be loaded: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"tokenizer {name!r} has no fast version: a folder with a tokenizer.json is needed.")
    # Where vocabulary files are missing, transformers makes up a vocabulary of nothing but special tokens.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(no_vocabulary)
    specials = {role: token for role, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    # Wrapped anew: classes such as BertTokenizer rebuild their normalizer on loading and would lose NFC.
    return _wrap(tokenizer.backend_tokenizer, specials, tokenizer.model_max_length, tokenizer.model_input_names)


def _load_bare(name: str, path: Path) -> PreTrainedTokenizerFast:
    """WordPiece from a vocabulary alone, which tells how its texts were prepared."""
    pieces = _read_vocabulary(path)
    missing = sorted(set(_BERT_SPECIALS) - {"[MASK]"} - set(pieces))
    if missing:
        raise UserError(f"tokenizer {name!r}: vocab.txt holds no {', '.join(missing)}, so it is none of BERT's.")
    words = [piece for piece in pieces if not re.fullmatch(r"\[.*\]", piece)]
    lowercase = not any(re.search("[A-Z]", word) for word in words)
    # Stripping accents decomposes Hangul too: only where the vocabulary holds no composed syllable to be missed.
    strip_accents = lowercase and not any(re.search("[가-힣]", word) for word in words)
    backend = _wordpiece(
        {piece: number for number, piece in enumerate(pieces)}, _bert_normalizer(lowercase, strip_accents)
    )
    return _wrap(backend, _by_role([token for token in _BERT_SPECIALS if token in pieces]))


def _load_kobert(folder: Path) -> PreTrainedTokenizerFast | None:
    """KoBERT's tokenizer where the folder holds its SentencePiece model, else None."""
    path, vocabulary = folder / _KOBERT_MODEL, folder / "vocab.txt"
    if path.is_file() and vocabulary.is_file():  # the weights follow vocab.txt, the model has ids of its own
        model = ModelProto.FromString(path.read_bytes())
        return _wrap(_kobert(model, _read_vocabulary(vocabulary)), _by_role(_KOBERT_SPECIALS))
    for path in sorted([*folder.glob("*.spiece"), *folder.glob("spiece.model")]):
        model = ModelProto.FromString(path.read_bytes())
        order = [piece.piece for piece in model.pieces]
        if order[: len(_KOBERT_SPECIALS)] == _KOBERT_SPECIALS:  # the model whose ids are those of the weights
            return _wrap(_kobert(model, order), _by_role(_KOBERT_SPECIALS))
    return None


def _kobert(model: ModelProto, order: list[str]) -> Tokenizer:
    """KoBERT's SentencePiece model as a fast tokenizer, its pieces numbered in the given order.

    On all of NSMC it gives the pieces that the sentencepiece library gives, up to ties: "...." is "." "..." or "..."
    "." with the same score, and the library, which adds in single precision, takes now the one and now the other.
    """
    scores = {piece.piece: piece.score for piece in model.pieces}
    pieces = [(piece, scores.get(piece, 0.0)) for piece in order]
    backend = Tokenizer(models.Unigram(pieces, unk_id=order.index("[UNK]"), byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            # The character map turns ㅅ into ᄉ and joins ㅅㅡ to 스, but no final consonant. Precompiled works on one
            # character at a time, so NFC has to do the joining; ㄳ, unknown to the vocabulary, is kept out of it.
            normalizers.Replace(Regex("[ㄳㄵㄶㄺ-ㅀ]"), _UNKNOWN_CHARACTER),
            normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
            normalizers.NFC(),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = _template(backend)
    return backend


def _wordpiece(vocabulary: dict[str, int], normalizer: normalizers.Normalizer) -> Tokenizer:
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = _template(backend)
    return backend


def _wrap(
    backend: Tokenizer,
    specials: dict[str, str],
    model_max_length: int | None = None,
    model_input_names: list[str] | None = None,
) -> PreTrainedTokenizerFast:
    """The tokenizer around a backend that is given NFC and made deaf to special tokens in a text."""
    _normalise_to_nfc(backend)
    backend.encode_special_tokens = True
    _split_special_tokens(backend, specials)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        split_special_tokens=True,
        model_max_length=model_max_length,
        model_input_names=model_input_names or ["input_ids", "token_type_ids", "attention_mask"],
        **specials,
    )
    tokenizer.backend_tokenizer.encode_special_tokens = True
    return tokenizer


def _normalise_to_nfc(backend: Tokenizer) -> None:
    """Puts NFC first, where it is not: decomposed Hangul would be unknown to nearly every vocabulary."""
    present = backend.normalizer
    first = present[0] if isinstance(present, normalizers.Sequence) else present
    if present is None:
        backend.normalizer = normalizers.NFC()
    elif not isinstance(first, normalizers.NFC):
        backend.normalizer = normalizers.Sequence([normalizers.NFC(), present])


def _split_special_tokens(backend: Tokenizer, specials: dict[str, str]) -> None:
    """Splits "<s>" in a text into "<" and "s>", where the backend would still give it the special id.

    ``encode_special_tokens`` stops the search for special tokens before the model, but a Unigram model holds them among
    its pieces, with the best score of all, and finds them in the text itself.
    """
    tokens = list(specials.values())
    ids = {backend.token_to_id(token) for role, token in specials.items() if role != "unk_token"}
    found = {i for token in tokens for i in backend.encode(f"{token} {token}", add_special_tokens=False).ids}
    if not ids & found:
        return
    pattern = "|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in tokens if len(token) > 1)
    split = pre_tokenizers.Split(Regex(pattern), "merged_with_previous")
    steps = [split] if backend.pre_tokenizer is None else [backend.pre_tokenizer, split]
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _check_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuses a tokenizer that does not give one text as [CLS] text [SEP], all in segment 0."""
    probe = tokenizer("영화", return_token_type_ids=True)
    ids, segments = probe["input_ids"], set(probe["token_type_ids"])
    if ids[0] != tokenizer.cls_token_id or ids[-1] != tokenizer.sep_token_id:
        raise UserError(
            f"the tokenizer does not put {tokenizer.cls_token} before and {tokenizer.sep_token} after a text: "
            "a BERT-like tokenizer is needed."
        )
    if segments != {0}:
        raise UserError(f"the tokenizer gives a single text the segment ids {sorted(segments)}: only 0 is supported.")


def _template(backend: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


def _bert_normalizer(lowercase: bool, strip_accents: bool) -> normalizers.Normalizer:
    bert = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    return normalizers.Sequence([normalizers.NFC(), bert])


def _by_role(specials: list[str]) -> dict[str, str]:
    """Special tokens by their role: {"pad_token": "[PAD]"} and so on."""
    return {f"{token.strip('[]').lower()}_token": token for token in specials}


def _read_vocabulary(path: Path) -> list[str]:
    # Not splitlines: some vocabularies hold exotic line separators as pieces.
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
