"""Loading, training and serialising tokenizers."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, DebertaV2Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from nsmc_lightning.errors import UserError, reason

_BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_KOBERT_SPECIALS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]  # in the order of its ids
_KOBERT_MODEL = "tokenizer_78b3253a26.model"
_UNKNOWN_CHARACTER = "\ue000"  # private use: no vocabulary contains it, and no normalisation changes it


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a hub id or a folder.

    KoBERT's SentencePiece model and a bare ``vocab.txt`` are converted here, everything else is loaded by
    ``AutoTokenizer``, with the steps of ``tokenizer.json``; code from the hub is never run. The tokenizer normalises
    texts to NFC, treats a special token spelled out in a text as plain text, and gives the same ids after
    ``save_pretrained`` and ``AutoTokenizer``.

    Raises:
        UserError: nothing is found under the name, the hub cannot be reached, or the tokenizer has no fast version.
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
    """Train a cased WordPiece tokenizer of at most ``vocab_size`` pieces; the result depends on the texts alone.

    Raises:
        UserError: there is no text, or ``vocab_size`` is too small for a single character.
    """
    texts = list(texts)
    # Each character takes two pieces, "x" and "##x". Characters get half of the vocabulary, words the other half.
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
    # The trainer would number the "##x" in the order of a hash table, which differs from run to run and decides ties
    # between merges. As special tokens they have fixed ids; only the vocabulary is used afterwards.
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
    """Return the files that ``save_pretrained`` writes, as a dictionary from name to content."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


def _folder_of(name: str) -> Path:
    """A local folder, or the folder that the hub's tokenizer files are downloaded to."""
    ways_out = "Give a local folder (--model.backbone FOLDER), or use configs/demo.yaml, which needs no network."
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"tokenizer {name!r} is a file: give the folder that contains it.")
    try:
        # No weights, and no sub-folders, which contain exports to other formats.
        patterns = ["*.json", "*.txt", "*.model", "*.spiece"]
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UserError(f"tokenizer {name!r} is neither a folder nor a public model on the hub. {ways_out}") from error
    except OSError as error:
        raise UserError(f"tokenizer {name!r} is not in the cache, and the hub cannot be reached. {ways_out}") from error


def _load_auto(name: str, folder: Path) -> PreTrainedTokenizerFast:
    no_vocabulary = f"tokenizer {name!r} has no vocabulary: tokenizer.json or vocab.txt is missing."
    if not any(path.name.startswith(("tokenizer", "vocab")) or path.suffix == ".model" for path in folder.iterdir()):
        raise UserError(no_vocabulary)
    try:
        tokenizer = _by_transformers(folder)
    except Exception as error:  # broken files, an unknown class, code from the hub: each raises errors of its own
        raise UserError(f"tokenizer {name!r} cannot be loaded: {reason(error)}.") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"tokenizer {name!r} has no fast version: a folder with a tokenizer.json is needed.")
    # Without vocabulary files transformers builds a vocabulary of special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(no_vocabulary)
    backend = _backend(tokenizer, folder)
    present = [token for token in _BERT_SPECIALS if backend.token_to_id(token) is not None]
    named = {role: token for role, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    # Not returned as it is: classes such as BertTokenizer rebuild their normalizer on loading and would lose NFC.
    return _wrap(backend, {**_by_role(present), **named}, tokenizer.model_max_length, tokenizer.model_input_names)


def _by_transformers(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except TypeError:
        # The class is for another kind of vocabulary: DeBERTa's takes Unigram pieces only in transformers 5.23, and
        # Korean DeBERTas have WordPiece. Special tokens then have no defaults but those of _load_auto.
        return PreTrainedTokenizerFast.from_pretrained(str(folder))


def _backend(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Tokenizer:
    """The backend that a folder's files describe, with all of its steps.

    In transformers 5.23 many classes take the vocabulary alone from ``tokenizer.json`` and replace its other steps by
    their own, which may split texts otherwise than in pre-training; DeBERTa's leaves out the character map of a
    SentencePiece model. As in transformers 4, ``do_lower_case`` in ``tokenizer_config.json`` decides for BERT's.
    """
    built = tokenizer.backend_tokenizer
    path, model = folder / "tokenizer.json", folder / "spm.model"
    if path.is_file() and type(tokenizer) is not PreTrainedTokenizerFast:
        saved = Tokenizer.from_file(str(path))
        of_bert = all(isinstance(backend.normalizer, normalizers.BertNormalizer) for backend in (saved, built))
        if of_bert and "do_lower_case" in get_tokenizer_config(str(folder)):
            saved.normalizer = built.normalizer
        return saved
    if model.is_file() and isinstance(tokenizer, DebertaV2Tokenizer):
        characters = ModelProto.FromString(model.read_bytes()).normalizer_spec.precompiled_charsmap
        steps = [normalizers.Precompiled(characters)] if characters else []
        built.normalizer = normalizers.Sequence([*steps, built.normalizer])
    return built


def _load_bare(name: str, path: Path) -> PreTrainedTokenizerFast:
    """WordPiece from a vocabulary alone; its pieces show whether texts were lower-cased and stripped of accents."""
    pieces = _read_vocabulary(path)
    missing = sorted(set(_BERT_SPECIALS) - {"[MASK]"} - set(pieces))
    if missing:
        raise UserError(f"tokenizer {name!r}: vocab.txt lacks {', '.join(missing)}, so it is not BERT's.")
    words = [piece for piece in pieces if not re.fullmatch(r"\[.*\]", piece)]
    lowercase = not any(re.search("[A-Z]", word) for word in words)
    # Stripping accents decomposes Hangul too, so it is wrong for a vocabulary with composed syllables.
    strip_accents = lowercase and not any(re.search("[가-힣]", word) for word in words)
    backend = _wordpiece(
        {piece: number for number, piece in enumerate(pieces)}, _bert_normalizer(lowercase, strip_accents)
    )
    return _wrap(backend, _by_role([token for token in _BERT_SPECIALS if token in pieces]))


def _load_kobert(folder: Path) -> PreTrainedTokenizerFast | None:
    """KoBERT's tokenizer if the folder contains its SentencePiece model, else None."""
    path, vocabulary = folder / _KOBERT_MODEL, folder / "vocab.txt"
    if path.is_file() and vocabulary.is_file():  # the weights use the ids of vocab.txt, not the model's
        model = ModelProto.FromString(path.read_bytes())
        return _wrap(_kobert(model, _read_vocabulary(vocabulary)), _by_role(_KOBERT_SPECIALS))
    for path in sorted([*folder.glob("*.spiece"), *folder.glob("spiece.model")]):
        model = ModelProto.FromString(path.read_bytes())
        order = [piece.piece for piece in model.pieces]
        if order[: len(_KOBERT_SPECIALS)] == _KOBERT_SPECIALS:  # this model has the ids of the weights
            return _wrap(_kobert(model, order), _by_role(_KOBERT_SPECIALS))
    return None


def _kobert(model: ModelProto, order: list[str]) -> Tokenizer:
    """KoBERT's SentencePiece model as a fast tokenizer, its pieces numbered in the given order.

    On all of NSMC its pieces are those of the sentencepiece library, except for ties: "...." is "." "..." or "..." "."
    with the same score, and the library's choice depends on rounding in single precision.
    """
    scores = {piece.piece: piece.score for piece in model.pieces}
    pieces = [(piece, scores.get(piece, 0.0)) for piece in order]
    backend = Tokenizer(models.Unigram(pieces, unk_id=order.index("[UNK]"), byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            # The character map turns ㅅ into ᄉ and joins ㅅㅡ to 스, but joins no final consonant. Precompiled maps
            # one character at a time, so the second NFC joins; ㄳ, which the vocabulary lacks, must stay apart.
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
    """The tokenizer around a backend, with NFC added and special tokens in texts treated as plain text."""
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
    """Put NFC first: nearly every vocabulary lacks decomposed Hangul."""
    present = backend.normalizer
    first = present[0] if isinstance(present, normalizers.Sequence) else present
    if present is None:
        backend.normalizer = normalizers.NFC()
    elif not isinstance(first, normalizers.NFC):
        backend.normalizer = normalizers.Sequence([normalizers.NFC(), present])


def _split_special_tokens(backend: Tokenizer, specials: dict[str, str]) -> None:
    """Split "<s>" in a text into "<" and "s>" if the backend would still give it the special id.

    ``encode_special_tokens`` only stops the search for special tokens ahead of the model. A Unigram model has them
    among its pieces, with the best score of all, and would find them in the text itself.
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
    # Not splitlines: some vocabularies have exotic line separators as pieces.
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
