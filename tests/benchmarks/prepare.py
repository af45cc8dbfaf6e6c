"""What every contender gets: the same reviews in files, and the same weights in folders."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from transformers import BertConfig, BertModel

from nsmc_lightning.data.clean import clean_train
from nsmc_lightning.data.corpus import NSMC, Corpus, Source
from nsmc_lightning.data.read import read_labelled
from nsmc_lightning.data.tokenizer import train_tokenizer

_DEV_REVIEWS = 64
_SHAPES: dict[str, dict[str, Any]] = {
    # klue/bert-base and every other BERT-base with a Korean vocabulary.
    "bert-base": {"vocab_size": 32_000},
    "tiny": {
        "vocab_size": 2_000, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 128,
    },
}  # fmt: skip


def read_reviews(path: Path) -> pd.DataFrame:
    """Distinct reviews of a file laid out as NSMC's, cleaned, in a random order that is always the same."""
    rows, _ = clean_train(read_labelled(path, NSMC), [label.value for label in NSMC.labels], NSMC.repair_quotes)
    return rows.sample(frac=1, random_state=0).reset_index(drop=True)


def describe_corpus(name: str) -> Corpus:
    """A corpus whose parts are files, so that none is split off another and no review is lost."""
    train, dev = Source("train.jsonl"), Source("dev.jsonl")
    return Corpus(name, train, NSMC.labels, dev=dev, test=dev, format="jsonl")


def write_corpus(reviews: pd.DataFrame, count: int, folder: Path) -> Path:
    """Writes the first ``count`` reviews as a training part, a small dev part, and the YAML that describes them.

    Returns:
        The YAML's path; the files stand beside it.
    """
    folder.mkdir(parents=True)
    parts = {"train": reviews[:count], "dev": reviews[-_DEV_REVIEWS:]}
    for part, rows in parts.items():
        lines = [json.dumps({"text": t, "label": str(n)}) for t, n in zip(rows["text"], rows["label"], strict=True)]
        (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(asdict(describe_corpus(folder.name))), encoding="utf-8")
    return path


def read_corpus(corpus: Path) -> tuple[list[str], list[int]]:
    """Texts and labels of a corpus's training part, as a contender of another library reads them."""
    lines = [json.loads(line) for line in corpus.with_name("train.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["text"] for line in lines], [int(line["label"]) for line in lines]


def write_backbone(shape: str, reviews: pd.DataFrame, folder: Path) -> Path:
    """A BERT of random weights whose vocabulary is trained on the reviews."""
    torch.manual_seed(0)
    config = BertConfig(**_SHAPES[shape])
    tokenizer = train_tokenizer(reviews["text"], config.vocab_size)
    config.pad_token_id = tokenizer.pad_token_id
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
