"""Preflight: tokenizers, limits and unknown tokens that would give wrong numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.preflight import check_limits, check_tokenizer, unknown_share, unknown_warning
from nsmc_lightning.data.tokenizer import load_tokenizer, train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import EncoderLimits
from tests.conftest import REVIEWS

LIMITS = EncoderLimits(vocab_size=200, max_length=64, pad_token_id=0)


@pytest.fixture
def trained() -> PreTrainedTokenizerFast:
    return train_tokenizer(REVIEWS, vocab_size=200)


def test_a_fitting_tokenizer_passes(trained: PreTrainedTokenizerFast) -> None:
    check_tokenizer(trained, 3)
    assert check_limits(trained, LIMITS, 64) is None
    assert check_limits(trained, replace(LIMITS, max_length=None, pad_token_id=None), 4096) is None


def test_another_padding_id_is_warned_of(trained: PreTrainedTokenizerFast) -> None:
    warning = check_limits(trained, replace(LIMITS, pad_token_id=1), 64)
    assert warning is not None
    assert "pad_token_id 1" in warning


@pytest.mark.parametrize(
    ("limits", "max_length", "message"),
    [
        (replace(LIMITS, vocab_size=50), 64, r"largest token id is \d+.*50 rows"),
        (replace(LIMITS, max_length=300), 301, r"is 301.*at most 300 tokens.*--data.max_length 300"),
    ],
)
def test_an_encoder_that_is_too_small_is_refused(
    trained: PreTrainedTokenizerFast, limits: EncoderLimits, max_length: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_limits(trained, limits, max_length)


def test_a_length_without_room_for_text_is_refused(trained: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=r"data\.max_length is 2"):
        check_tokenizer(trained, 2)


@pytest.mark.parametrize("role", ["pad_token", "cls_token", "sep_token"])
def test_missing_special_tokens_are_refused(role: str, trained: PreTrainedTokenizerFast) -> None:
    setattr(trained, role, None)
    with pytest.raises(UserError, match=f"no {role}"):
        check_tokenizer(trained, 64)


@pytest.mark.parametrize(
    ("template", "message"), [("$A:1 [SEP]:0", "before"), ("[CLS] $A", "after"), ("[CLS] $A:1 [SEP]", r"\[0, 1\]")]
)
def test_other_templates_are_refused(template: str, message: str, trained: PreTrainedTokenizerFast) -> None:
    trained.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(UserError, match=message):
        check_tokenizer(trained, 64)


def test_the_shared_backbone_passes(shared: Path) -> None:
    tokenizer = load_tokenizer(str(shared / "models" / "e5-small-ko"))
    config = json.loads((shared / "models" / "e5-small-ko" / "config.json").read_text())
    check_tokenizer(tokenizer, 128)
    assert check_limits(tokenizer, EncoderLimits(config["vocab_size"], 512, config["pad_token_id"]), 128) is None


def test_unknown_share(trained: PreTrainedTokenizerFast) -> None:
    share, examples = unknown_share(trained, ["좋다 옳 옳", "좋다", "옳", "좋다 좋다 좋다 옳"])
    assert share == 4 / 9
    assert examples == ["옳", "좋다 옳 옳", "좋다 좋다 좋다 옳"]
    assert unknown_share(trained, []) == (0.0, [])
    assert unknown_share(trained, ["", " "]) == (0.0, [])


def test_unknown_warning(trained: PreTrainedTokenizerFast) -> None:
    warning = unknown_warning(trained, pd.Series(["좋다 옳", "좋다"], index=[7, 3]))
    assert warning is not None
    assert warning.startswith("33%")
    assert "좋다 옳" in warning
    assert unknown_warning(trained, REVIEWS) is None
