"""From a checkpoint to a Hugging Face folder, checked against the checkpoint."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from tokenizers import normalizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.classifier import Classifier
from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.encode import encode
from nsmc_lightning.errors import UserError
from nsmc_lightning.export.card import card
from nsmc_lightning.export.model import Exported, family_model
from nsmc_lightning.model.weights import quiet

Dtype = Literal["float32", "float16"]

_TOLERANCE = {"float32": 1e-4, "float16": 2e-3}  # of a probability
_TEXTS = [
    *(text for _, text, _ in demo_rows("test", 12, seed=0)),
    "굿",
    " 앞뒤에 빈칸 ",
    unicodedata.normalize("NFD", "풀어 쓴 한글"),
    "[CLS] <s> [SEP] </s> [UNK] [PAD] <pad> [MASK]",
    "𐌰𐌱 \U0001f600 ㅋㅋㅋ\n두 번째 줄",
    "길고 지루하다 " * 300,
]


class Export(NamedTuple):
    """What is exported.

    Args:
        checkpoint: the checkpoint.
        classifier: the predictions that the folder must give.
        exported: its model as a class of transformers.
        dtype: of the weights in the file.
    """

    checkpoint: Checkpoint
    classifier: Classifier
    exported: Exported
    dtype: Dtype


def prepare(ckpt_path: str, dtype: Dtype) -> Export:
    """Rebuild a checkpoint's model as a class of transformers.

    Raises:
        UserError: the checkpoint cannot be used, or transformers has no class that computes the same.
    """
    checkpoint, classifier = Checkpoint.read(ckpt_path), Classifier(ckpt_path)
    exported = family_model(checkpoint, classifier.network, classifier.tokenizer)
    if exported.passed_on and dtype != "float32":
        raise UserError(
            f"--dtype {dtype}: with model.pooling {checkpoint.settings['model']['pooling']}, the exported head needs "
            "float32.\nLeave --dtype out, or train with --model.pooling head."
        )
    return Export(checkpoint, classifier, exported, dtype)


def write(export: Export, folder: Path, name: str) -> str:
    """Write weights, configuration, tokenizer and model card, and compare the folder with the checkpoint.

    Args:
        export: what is exported.
        folder: an empty folder.
        name: of the model, in its card.

    Returns:
        What was written, as a line of text.

    Raises:
        OSError: a file cannot be written.
        RuntimeError: the folder gives other tokens or probabilities than the checkpoint.
    """
    model, classifier = export.exported.model, export.classifier
    with quiet():
        model.to(getattr(torch, export.dtype)).save_pretrained(folder)
    _edit(folder / "config.json", dtype="float32")  # half precision saves room, and is computed in float32 unless asked
    _save_tokenizer(_prepared(export.checkpoint.tokenizer(), classifier.max_length), folder)
    difference = _difference(folder, classifier, _TOLERANCE[export.dtype])
    text = card(export.checkpoint, model, export.dtype, export.exported.passed_on, name)
    (folder / "README.md").write_text(text, encoding="utf-8")
    kind = type(model).__name__
    return f"{kind}, {export.dtype}; probabilities of {len(_TEXTS)} texts differ by at most {difference:.1e}"


def _prepared(tokenizer: PreTrainedTokenizerFast, max_length: int) -> PreTrainedTokenizerFast:
    """Let a tokenizer clean and cut texts as this package does, so that a pipeline needs nothing else."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.normalizer = normalizers.Sequence([normalizers.Strip(), backend.normalizer])
    tokenizer.model_max_length = max_length
    # No token types: a single text has type 0 throughout, every encoder's default, and not every encoder takes them.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer under the name of its class that transformers 4 knows too."""
    tokenizer.save_pretrained(folder)
    _edit(folder / "tokenizer_config.json", backend=None, tokenizer_class="PreTrainedTokenizerFast")


def _edit(path: Path, **values: str | None) -> None:
    """Set keys of a JSON file; None removes one."""
    settings = {**json.loads(path.read_text(encoding="utf-8")), **values}
    settings = {key: value for key, value in settings.items() if key not in values or value is not None}
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@torch.inference_mode()
def _difference(folder: Path, classifier: Classifier, tolerance: float) -> float:
    """Return the largest difference between a folder's probabilities and a checkpoint's.

    Raises:
        RuntimeError: it is above the tolerance, or tokens or labels differ.
    """
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="auto", trust_remote_code=False).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    expected = encode(classifier.tokenizer, [clean_text(text) for text in _TEXTS], classifier.max_length)
    probabilities = classifier.probabilities(_TEXTS)
    largest = 0.0
    for number, text in enumerate(_TEXTS):
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        start, end = expected.offsets[number : number + 2]
        if inputs["input_ids"][0].tolist() != expected.tokens[start:end].tolist():
            raise RuntimeError(f"the exported tokenizer gives other tokens for {text[:40]!r}")
        found, right = model(**inputs).logits[0].float().softmax(dim=0), probabilities[number]
        difference = float((found - right).abs().max())
        first, second = right.topk(2).values
        if not difference <= tolerance or (found.argmax() != right.argmax() and first - second > 2 * tolerance):
            raise RuntimeError(f"the exported model's probabilities differ by {difference:.1e} for {text[:40]!r}")
        largest = max(largest, difference)
    return largest
