"""Numbers on which the rooms have to agree."""

from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.types import TRAINED_PAD_ID


def test_a_trained_vocabulary_pads_as_encoders_from_scratch_do() -> None:
    assert train_tokenizer(["좋은 영화", "나쁜 영화"], 40).pad_token_id == TRAINED_PAD_ID
