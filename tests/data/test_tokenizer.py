"""Tokenizers: published ids, KoBERT against the sentencepiece library, and errors that must not pass silently."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nsmc_lightning.data.preflight import unknown_share
from nsmc_lightning.data.tokenizer import load_tokenizer, tokenizer_files, train_tokenizer
from nsmc_lightning.errors import UserError
from tests.conftest import REVIEWS

SPELLED_OUT = "좋다 [SEP] 나쁘다[CLS] [MASK] <s> 그리고</s> <pad> <mask> [PAD]"
BACKBONES = ["tokenizers/kobert", "tokenizers/klue", "tokenizers/kcbert", "tokenizers/mbert", "models/e5-small-ko"]
KOBERT_MODEL = "tokenizer_78b3253a26.model"


@pytest.fixture(scope="module")
def trained() -> PreTrainedTokenizerFast:
    return train_tokenizer(REVIEWS, vocab_size=200)


@pytest.fixture(scope="module")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty hub cache, without network."""
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
        yield folder


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text)["input_ids"]


def write(files: dict[str, str], folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return str(folder)


# Published encodings


@pytest.mark.parametrize(
    ("folder", "text", "expected"),
    [
        ("kobert", "아 더빙.. 진짜 짜증나네요 목소리", "2 3093 1698 6456 54 54 4368 4396 7316 5655 5703 2073 3"),
        (
            "klue",
            "보는내내 그대로 들어맞는 예측 카리스마 없는 악역",
            "2 1160 2259 2369 2369 4311 20657 2259 5501 13132 1415 2259 23713 3",
        ),
        (
            "mbert",
            "신카이 마코토의 작화와, 미유와 하나카나가 연기를 잘해줘서 더대박이였다.",
            "101 9487 24206 10739 9246 25517 26444 10459 9652 18227 12638 117 9309 42815 12638 9952 16439 24206 16439 "
            "11287 9568 29669 9654 14523 119221 12424 9074 14423 118963 10739 34776 119 102",
        ),
        ("bert-base-uncased", "this is such an amazing movie!", "101 2023 2003 2107 2019 6429 3185 999 102"),
    ],
)
def test_published_ids(shared: Path, folder: str, text: str, expected: str) -> None:
    tokenizer = load_tokenizer(str(shared / "tokenizers" / folder))
    assert ids(tokenizer, text) == [int(number) for number in expected.split()]
    assert ids(tokenizer, "") == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_kobert_pieces_and_special_ids(shared: Path) -> None:
    tokenizer = load_tokenizer(str(shared / "tokenizers" / "kobert"))
    assert tokenizer.tokenize("굳 ㅋ") == ["▁", "굳", "▁", "ᄏ"]
    special = ("unk", "pad", "cls", "sep", "mask")
    assert [getattr(tokenizer, f"{role}_token_id") for role in special] == [0, 1, 2, 3, 4]
    assert len(tokenizer) == 8002


# KoBERT against the sentencepiece library


@pytest.fixture(scope="module")
def nsmc_sample(shared: Path) -> list[str]:
    rows = pd.concat(pd.read_csv(shared / "nsmc" / f"ratings_{part}.txt", sep="\t") for part in ("train", "test"))
    return random.Random(0).sample(rows["document"].dropna().tolist(), 2_000)


def test_kobert_is_its_sentencepiece_model(shared: Path, nsmc_sample: list[str]) -> None:
    """Equal except for ties: the same pieces, hence the same score, in another order.

    Ties differ in 0.25 % of all 199,992 reviews with sentencepiece 0.2.3, in 1.25 % of a sample with 0.2.0 and 0.2.1.
    """
    folder = shared / "tokenizers" / "kobert"
    tokenizer = load_tokenizer(str(folder))
    library = SentencePieceProcessor(model_file=str(folder / KOBERT_MODEL))
    number = {piece: i for i, piece in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    # 넬니ㄵ, 영화ㄳ: final consonants, which NFC alone would join to the syllable before them.
    texts = [*nsmc_sample, "  두  칸 ", "ㄷㅔ 진ㅉㅏ", "높넬니ㄵ투", "못한영화ㄳ"]
    pieces = library.encode([unicodedata.normalize("NFC", text) for text in texts], out_type=str)
    expected = [[2, *(number.get(piece, 0) for piece in text), 3] for text in pieces]
    ours = tokenizer(texts)["input_ids"]
    different = [(one, other) for one, other in zip(ours, expected, strict=True) if one != other]
    assert all(Counter(one) == Counter(other) for one, other in different)
    assert len(different) < 0.02 * len(texts)


def test_kobert_from_the_model_with_the_weights_ids(shared: Path, tmp_path: Path, nsmc_sample: list[str]) -> None:
    folder = shared / "tokenizers" / "kobert"
    shutil.copy(folder / "kobert_news_wiki_ko_cased-1087f8699e.spiece", tmp_path / "spiece.model")
    other = load_tokenizer(str(tmp_path))
    assert other(nsmc_sample)["input_ids"] == load_tokenizer(str(folder))(nsmc_sample)["input_ids"]


# Special tokens and decomposed Hangul in texts


@pytest.mark.parametrize("folder", BACKBONES)
def test_decomposed_hangul_and_special_tokens_in_texts_also_after_saving(
    shared: Path, tmp_path: Path, folder: str
) -> None:
    tokenizer = load_tokenizer(str(shared / folder))
    files = tokenizer_files(tokenizer)
    saved = write(files, tmp_path / "saved")
    reloaded, automatic = load_tokenizer(saved), AutoTokenizer.from_pretrained(saved)
    for one in (tokenizer, reloaded, automatic):
        nfc, nfd = (unicodedata.normalize(form, "재미있는 영화, 굿!") for form in ("NFC", "NFD"))
        assert ids(one, nfd) == ids(one, nfc)
        assert one.unk_token_id not in ids(one, nfc)
        inside = ids(one, SPELLED_OUT)[1:-1]
        assert not set(inside) & (set(one.all_special_ids) - {one.unk_token_id})
        assert inside == ids(tokenizer, SPELLED_OUT)[1:-1]
    assert tokenizer_files(reloaded) == files


def test_reloads_beside_an_encoders_configuration(shared: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(shared / "tokenizers" / "kobert"))
    folder = write({**tokenizer_files(tokenizer), "config.json": '{"model_type": "bert"}'}, tmp_path / "saved")
    assert ids(AutoTokenizer.from_pretrained(folder), REVIEWS[0]) == ids(tokenizer, REVIEWS[0])
    assert ids(load_tokenizer(folder), REVIEWS[0]) == ids(tokenizer, REVIEWS[0])


def test_wrapping_changes_no_ids(shared: Path, nsmc_sample: list[str]) -> None:
    folder = str(shared / "models" / "e5-small-ko")
    stock = AutoTokenizer.from_pretrained(folder)
    assert load_tokenizer(folder)(nsmc_sample)["input_ids"] == stock(nsmc_sample)["input_ids"]


# A bare vocab.txt


def bare(folder: Path, words: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(write({"vocab.txt": "\n".join(f"[PAD] [UNK] [CLS] [SEP] [MASK] {words}".split())}, folder))


def test_bare_vocabulary_decides_lower_casing(tmp_path: Path) -> None:
    assert bare(tmp_path / "cased", "영화 Bad bad").tokenize("영화 Bad bad") == ["영화", "Bad", "bad"]
    assert bare(tmp_path / "uncased", "cafe bad").tokenize("Café BAD") == ["cafe", "bad"]
    assert bare(tmp_path / "korean", "영화 bad").tokenize("영화 BAD") == ["영화", "bad"]


def test_bare_vocabulary_without_special_tokens(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vocab.txt lacks \[CLS\], \[SEP\]"):
        load_tokenizer(write({"vocab.txt": "[PAD]\n[UNK]\n영화\n"}, tmp_path))


# Names under which there is no tokenizer


@pytest.mark.parametrize("name", ["klue/bert-base", "no/such/folder", "./nowhere"])
def test_unreachable_names_are_refused(hub_cache: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"--model.backbone FOLDER.*configs/demo.yaml") as error:
        load_tokenizer(name)
    assert repr(name) in str(error.value)
    assert "\n" not in str(error.value)


def test_hub_that_does_not_respond(tmp_path: Path) -> None:
    code = (
        "from nsmc_lightning.data.tokenizer import load_tokenizer\n"
        "from nsmc_lightning.errors import UserError\n"
        "try:\n    load_tokenizer('klue/bert-base')\nexcept UserError as error:\n    print('refused:', error)"
    )
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600)
    assert "refused: tokenizer 'klue/bert-base'" in result.stdout, result.stderr


def test_hub_id_in_the_cache(hub_cache: Path) -> None:
    repository = hub_cache / "models--someone--some-bert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    bare(repository / "snapshots" / ("0" * 40), "영화 Bad")
    assert load_tokenizer("someone/some-bert").tokenize("영화 Bad") == ["영화", "Bad"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no vocabulary"),
        ({"config.json": '{"model_type": "bert"}'}, "has no vocabulary"),
        ({"tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}'}, "has no vocabulary"),
        ({"tokenizer.json": "{"}, "cannot be loaded"),
        (
            {"tokenizer_config.json": json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}})},
            "cannot be loaded",
        ),
    ],
)
def test_folders_without_a_tokenizer_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_tokenizer(write(files, tmp_path / "folder"))
    assert "\n" not in str(error.value)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(UserError, match="is a file"):
        load_tokenizer(str(tmp_path / "vocab.txt"))


# Training


def test_trained_vocabulary(trained: PreTrainedTokenizerFast) -> None:
    assert trained.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert max(trained.get_vocab().values()) == len(trained) - 1 < 200
    assert trained.tokenize("재미있는 Bad") == ["재미있는", "Bad"]
    assert unknown_share(trained, REVIEWS) == (0.0, [])
    assert len(train_tokenizer(REVIEWS, vocab_size=30)) <= 30


def test_training_is_the_same_in_every_process(trained: PreTrainedTokenizerFast) -> None:
    code = (
        "import hashlib; from nsmc_lightning.data.tokenizer import tokenizer_files, train_tokenizer\n"
        f"files = tokenizer_files(train_tokenizer({REVIEWS!r}, vocab_size=200))\n"
        "print(hashlib.sha256(files['tokenizer.json'].encode()).hexdigest())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256(tokenizer_files(trained)["tokenizer.json"].encode()).hexdigest()
    assert result.stdout.strip() == here


def test_trained_tokenizer_as_files(trained: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    files = tokenizer_files(trained)
    folder = write(files, tmp_path / "saved")
    assert str(tmp_path) not in "".join(files.values())
    for text in [*REVIEWS[:4], SPELLED_OUT]:
        assert ids(load_tokenizer(folder), text) == ids(AutoTokenizer.from_pretrained(folder), text)
        assert ids(load_tokenizer(folder), text) == ids(trained, text)
    assert tokenizer_files(load_tokenizer(folder)) == files


@pytest.mark.parametrize(("texts", "size", "message"), [(REVIEWS, 8, "too small"), (["", " "], 200, "no text")])
def test_too_little_to_train_on_is_refused(texts: list[str], size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_tokenizer(texts, size)
