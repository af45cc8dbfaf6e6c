"""Tokenizers in the layouts that the recipes' are published in: their ids are those that makers and users have printed.

Where the sources are: see tests/model/published.py.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.preflight import check_limits, check_tokenizer
from nsmc_lightning.data.tokenizer import load_tokenizer, tokenizer_files, train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import EncoderLimits
from tests.model.published import DEBERTA, E5, ELECTRA, KLUE, KOBERT, MBERT, ROBERTA

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMED = {f"{token.strip('[]').lower()}_token": token for token in SPECIALS}
CASED = {"do_lower_case": False}
DESCRIBED = {
    **CASED, **NAMED, "do_basic_tokenize": True, "never_split": None, "tokenize_chinese_chars": True,
    "strip_accents": None, "model_max_length": 512, "tokenizer_class": "BertTokenizer",
}  # fmt: skip
ROBERTA_ORDER = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
TEXT = "연기는 별로지만 재미 하나는 끝내줌! 2024년 최고 ㅋㅋ"


def folder_with(folder: Path, config: dict[str, Any], described: dict[str, Any] | None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if described is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def pieces_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")  # not split(): some pieces are exotic spaces


def bert_json(pieces: list[str], path: Path) -> None:
    """``tokenizer.json`` as transformers 4 saved that of BERT: cased."""
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=None)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [(token, pieces.index(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=special
    )
    backend.add_special_tokens(SPECIALS)
    backend.save(str(path))


def checked(folder: Path, config: dict[str, Any], warning: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, which fits the encoder, and has the same ids when it comes from a checkpoint."""
    tokenizer = load_tokenizer(str(folder))
    check_tokenizer(tokenizer, 128)
    limits = EncoderLimits(config["vocab_size"], 512, config.get("pad_token_id", 0))
    assert check_limits(tokenizer, limits, 128) == warning
    for name, content in tokenizer_files(tokenizer).items():
        (folder / "again").mkdir(exist_ok=True)
        (folder / "again" / name).write_text(content, encoding="utf-8")
    assert load_tokenizer(str(folder / "again"))(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
    return tokenizer


def ids_of_specials(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return [getattr(tokenizer, f"{role}_token_id") for role in ("pad", "unk", "cls", "sep", "mask")]


# BERT's WordPiece

PUBLISHED = {
    "klue": (
        "klue", KLUE, DESCRIBED, [0, 1, 2, 3, 4], "보는내내 그대로 들어맞는 예측 카리스마 없는 악역",
        "2 1160 2259 2369 2369 4311 20657 2259 5501 13132 1415 2259 23713 3",
    ),
    "klue_roberta": (
        "klue", ROBERTA, {**DESCRIBED, "bos_token": "[CLS]", "eos_token": "[SEP]"}, [1, 3, 0, 2, 4],
        "토크나이저는 텍스트를 토큰 단위로 나눈다", "0 9157 7461 2190 2259 8509 2138 1793 2855 5385 2200 20950 2",
    ),
    "koelectra": (
        "koelectra", ELECTRA, {**CASED, "model_max_length": 512}, [0, 1, 2, 3, 4],
        "한국어 ELECTRA를 공유합니다.", "2 11229 29173 13352 25541 4110 7824 17788 18 3",
    ),
    "mbert": (
        "mbert", MBERT, {**CASED, "model_max_length": 512}, [0, 100, 101, 102, 103],
        "신카이 마코토의 작화와, 미유와 하나카나가 연기를 잘해줘서 더대박이였다.",
        "101 9487 24206 10739 9246 25517 26444 10459 9652 18227 12638 117 9309 42815 12638 9952 16439 24206 16439 "
        "11287 9568 29669 9654 14523 119221 12424 9074 14423 118963 10739 34776 119 102",
    ),
}  # fmt: skip


@pytest.mark.parametrize("files", ["vocab.txt", "both"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_wordpiece_gives_the_ids_that_are_published(shared: Path, tmp_path: Path, name: str, files: str) -> None:
    source, config, described, specials, text, expected = PUBLISHED[name]
    folder = folder_with(tmp_path / name, config, described)
    path = shared / "tokenizers" / source / "vocab.txt"
    written, pieces = path.read_bytes(), pieces_of(path)
    if name == "klue_roberta":
        pieces = [*ROBERTA_ORDER, *pieces[5:]]
        written = "\n".join(pieces).encode()
    (folder / "vocab.txt").write_bytes(written)
    if files == "both":
        bert_json(pieces, folder / "tokenizer.json")
        (folder / "special_tokens_map.json").write_text(json.dumps(NAMED), encoding="utf-8")
    tokenizer = checked(folder, config)
    assert ids_of_specials(tokenizer) == specials
    assert tokenizer(text)["input_ids"] == [int(number) for number in expected.split()]


@pytest.mark.parametrize("described", [None, CASED, {**CASED, "tokenizer_class": "ElectraTokenizer"}, DESCRIBED])
def test_an_electra_of_comments_reads_them_alike_from_every_set_of_files(
    shared: Path, tmp_path: Path, described: dict[str, Any] | None
) -> None:
    """KcELECTRA's own vocabulary is not at hand; KcBERT's is of the same maker and kind."""
    vocabulary = shared / "tokenizers" / "kcbert" / "vocab.txt"
    config = {**ELECTRA, "vocab_size": 54_343}
    folder = folder_with(tmp_path / "kcelectra", config, described)
    shutil.copy(vocabulary, folder)
    alone = checked(folder, config)(TEXT)["input_ids"]
    bert_json(pieces_of(vocabulary), folder / "tokenizer.json")
    tokenizer = checked(folder, config)
    assert tokenizer(TEXT)["input_ids"] == alone
    assert tokenizer.unk_token_id not in alone
    assert tokenizer("Bad")["input_ids"] != tokenizer("bad")["input_ids"]


def test_the_case_that_tokenizer_config_states_is_that_of_transformers_4(shared: Path, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "kcelectra", ELECTRA, {"do_lower_case": True, "strip_accents": False})
    bert_json(pieces_of(shared / "tokenizers" / "kcbert" / "vocab.txt"), folder / "tokenizer.json")
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer("Bad 영화")["input_ids"] == tokenizer("bad 영화")["input_ids"]


def test_kobert_beside_the_files_of_its_own_code(shared: Path, tmp_path: Path) -> None:
    described = {
        **CASED, "model_max_length": 512, "tokenizer_class": "BertTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_kobert.KoBertTokenizer", None]},
    }  # fmt: skip
    folder = folder_with(tmp_path / "kobert", KOBERT, described)
    (folder / "tokenization_kobert.py").write_text("raise RuntimeError('this must not run')")
    for name in ("tokenizer_78b3253a26.model", "vocab.txt"):
        shutil.copy(shared / "tokenizers" / "kobert" / name, folder)
    tokenizer = checked(folder, KOBERT)
    assert ids_of_specials(tokenizer) == [1, 0, 2, 3, 4]
    assert tokenizer("한국어 모델을 공유합니다.")["input_ids"] == [2, 4958, 6855, 2046, 7088, 1050, 7843, 54, 3]


# tokenizer.json with steps of its own


def test_e5_has_the_pipeline_of_its_tokenizer_json(shared: Path, tmp_path: Path) -> None:
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False,
            "single_word": False}  # fmt: skip
    described = {
        "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": mask, "model_max_length": 512,
        "pad_token": "<pad>", "sep_token": "</s>", "tokenizer_class": "XLMRobertaTokenizer", "unk_token": "<unk>",
    }  # fmt: skip
    folder = folder_with(tmp_path / "e5", E5, described)
    source = shared / "models" / "e5-small-ko" / "tokenizer.json"
    shutil.copy(source, folder)
    warning = "the encoder's configuration has pad_token_id 0, the tokenizer 1: the tokenizer's is used."
    tokenizer = checked(folder, E5, warning)
    assert ids_of_specials(tokenizer)[:4] == [1, 3, 0, 2]
    for text in (TEXT, "ＯＫ！  두  칸", "ㄷㅔ ①"):
        assert tokenizer(text)["input_ids"] == Tokenizer.from_file(str(source)).encode(text).ids


CLASSES = [
    {**NAMED, "tokenizer_class": "PreTrainedTokenizerFast"},
    {**NAMED, "tokenizer_class": "BertTokenizer", **CASED},
    {**CASED, "tokenizer_class": "DebertaV2Tokenizer"},
    {**CASED, "tokenizer_class": "DebertaV2TokenizerFast", "vocab_type": "spm"},
    {**CASED},
    None,
]


@pytest.mark.parametrize("described", CLASSES)
def test_deberta_with_wordpiece_whatever_class_its_files_name(tmp_path: Path, described: dict[str, Any] | None) -> None:
    texts = [row[1] for row in demo_rows("train", 300, seed=0)]
    vocabulary = train_tokenizer(texts, 600).backend_tokenizer.get_vocab()
    path = tmp_path / "tokenizer.json"
    bert_json(sorted(vocabulary, key=lambda piece: vocabulary[piece]), path)
    backend = Tokenizer.from_file(str(path))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    backend.save(str(path))
    tokenizer = checked(folder_with(tmp_path, DEBERTA, described), DEBERTA)
    assert ids_of_specials(tokenizer) == [0, 1, 2, 3, 4]
    for text in (*texts[:5], "영화 2024", "ＯＫ 재미"):
        assert tokenizer(text)["input_ids"] == backend.encode(text).ids


@pytest.mark.parametrize(
    "described", [{**CASED, "vocab_type": "spm"}, {**CASED, "tokenizer_class": "DebertaV2Tokenizer"}]
)
def test_deberta_with_a_sentencepiece_model_alone(tmp_path: Path, described: dict[str, Any]) -> None:
    """The files of microsoft/deberta-v3-xsmall."""
    texts, model = [row[1] for row in demo_rows("train", 300, seed=0)], io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=400, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", minloglevel=2,
    )  # fmt: skip
    folder = folder_with(tmp_path, DEBERTA, described)
    (folder / "spm.model").write_bytes(model.getvalue())
    tokenizer = checked(folder, DEBERTA)
    assert ids_of_specials(tokenizer) == [0, 3, 1, 2, 400]
    library = SentencePieceProcessor(model_proto=model.getvalue())
    for text in texts[:20]:
        assert tokenizer(text)["input_ids"] == [1, *library.encode(text), 2]


def test_a_tokenizer_that_no_class_can_load_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, DEBERTA, {"tokenizer_class": "DebertaV2Tokenizer"})
    broken = {"version": "1.0", "added_tokens": [], "model": {"type": "WordPiece", "vocab": {"a": "b"}}}
    (folder / "tokenizer.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(UserError, match="cannot be loaded") as error:
        load_tokenizer(str(folder))
    assert "\n" not in str(error.value)
