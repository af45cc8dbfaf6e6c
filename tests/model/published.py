"""Folders of the recipes' checkpoints as they are published, written file by file; tensors are random and small.

What is known of each, and from where:

* klue/bert-base: pytorch_model.bin, later model.safetensors (445 MB, float32); prefix "bert."; heads of both
  pre-training tasks with cls.predictions.decoder.bias; a pooler; vocab.txt, tokenizer.json, tokenizer_config.json,
  special_tokens_map.json (loading warnings and download logs in public notebooks).
* klue/roberta-base: pytorch_model.bin (443 MB); prefix "roberta."; lm_head.*; no pooler; its tokenizer is a
  BertTokenizer with [CLS]=0 [PAD]=1 [SEP]=2 [UNK]=3 (the same, and config and token ids printed in a tutorial).
* monologg/kobert: config.json as shared by its maker; a pooler, and no heads (warnings); custom tokenizer code, and a
  tokenizer_config.json that names another class (an error quoted in a report to its maker). The prefix is not known.
* monologg/koelectra-base-v3-discriminator: prefix "electra."; discriminator_predictions.*; vocab.txt with Windows line
  ends and tokenizer_config.json (warnings, a config quoted in public code, token ids of its model card).
* beomi/KcELECTRA-base-v2022: an ELECTRA with all of the encoder's tensors (warnings); the rest is not known.
* bert-base-multilingual-cased: model.safetensors (714 MB); prefix "bert."; heads of both tasks without decoder.bias;
  a pooler; LayerNorm.gamma and beta, as bert-base-uncased has them (warnings, download logs, names listed in a report
  to huggingface/candle). Its tokenizer_config.json has 49 bytes and names no special token.
* intfloat/multilingual-e5-small: model.safetensors (471 MB, float32); no prefix; pad_token_id 0, where the tokenizer
  pads with 1; an XLMRobertaTokenizer (config.json quoted in public documents). Whether it has a pooler is not known.
* team-lucid/deberta-v3-*-korean: a WordPiece tokenizer.json that DeBERTa's own tokenizer class cannot hold (public code
  that works around it); the rest is taken from microsoft/deberta-v3-xsmall: pytorch_model.bin in float16, prefix
  "deberta.", heads lm_predictions.* and mask_predictions.*.
* google/bert_uncased_L-4_H-512_A-8: vocab.txt alone; its config.json may be the original one, without model_type.

Where a fact is not known, several variants are tried.
``embeddings.position_ids`` is a buffer that transformers 3 and 4 saved.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
File = Literal["model.safetensors", "pytorch_model.bin", "pytorch_model.bin of torch 1.5"]


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def bert_encoder(config: dict[str, Any]) -> Shapes:
    """BERT, RoBERTa and ELECTRA, without a pooler."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        **norm("embeddings.LayerNorm", hidden),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= linear(f"{layer}.attention.{part}", hidden, hidden)
        shapes |= norm(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= linear(f"{layer}.intermediate.dense", inner, hidden)
        shapes |= linear(f"{layer}.output.dense", hidden, inner)
        shapes |= norm(f"{layer}.output.LayerNorm", hidden)
    return shapes


def deberta_encoder(config: dict[str, Any]) -> Shapes:
    """DeBERTa-v3: relative positions only, in buckets, with keys that content and positions share."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "encoder.rel_embeddings.weight": (2 * config["position_buckets"], hidden),
        **norm("embeddings.LayerNorm", hidden),
        **norm("encoder.LayerNorm", hidden),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ("self.query_proj", "self.key_proj", "self.value_proj", "output.dense"):
            shapes |= linear(f"{layer}.attention.{part}", hidden, hidden)
        shapes |= norm(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= linear(f"{layer}.intermediate.dense", inner, hidden)
        shapes |= linear(f"{layer}.output.dense", hidden, inner)
        shapes |= norm(f"{layer}.output.LayerNorm", hidden)
    return shapes


def pooler(config: dict[str, Any]) -> Shapes:
    return linear("pooler.dense", config["hidden_size"], config["hidden_size"])


def bert_heads(config: dict[str, Any]) -> Shapes:
    vocabulary, hidden = config["vocab_size"], config["hidden_size"]
    return {
        "cls.predictions.bias": (vocabulary,),
        **linear("cls.predictions.transform.dense", hidden, hidden),
        **norm("cls.predictions.transform.LayerNorm", hidden),
        "cls.predictions.decoder.weight": (vocabulary, hidden),
        **linear("cls.seq_relationship", 2, hidden),
    }


def klue_heads(config: dict[str, Any]) -> Shapes:
    return {**bert_heads(config), "cls.predictions.decoder.bias": (config["vocab_size"],)}


def roberta_heads(config: dict[str, Any]) -> Shapes:
    vocabulary, hidden = config["vocab_size"], config["hidden_size"]
    return {
        "lm_head.bias": (vocabulary,),
        **linear("lm_head.dense", hidden, hidden),
        **norm("lm_head.layer_norm", hidden),
        **linear("lm_head.decoder", vocabulary, hidden),
    }


def electra_heads(config: dict[str, Any]) -> Shapes:
    hidden = config["hidden_size"]
    return {
        **linear("discriminator_predictions.dense", hidden, hidden),
        **linear("discriminator_predictions.dense_prediction", 1, hidden),
    }


def deberta_heads(config: dict[str, Any]) -> Shapes:
    vocabulary, hidden = config["vocab_size"], config["hidden_size"]
    return {
        "lm_predictions.lm_head.bias": (vocabulary,),
        **linear("lm_predictions.lm_head.dense", hidden, hidden),
        **norm("lm_predictions.lm_head.LayerNorm", hidden),
        **linear("mask_predictions.dense", hidden, hidden),
        **norm("mask_predictions.LayerNorm", hidden),
        **linear("mask_predictions.classifier", 1, hidden),
    }


def nothing(config: dict[str, Any]) -> Shapes:
    return {}


@dataclass(frozen=True)
class Layout:
    """How a checkpoint's ``config.json`` and weights are written.

    Args:
        config: the published keys, with small sizes.
        prefix: what precedes the names of the encoder's tensors.
        encoder: names and shapes of its tensors, without the prefix.
        pooler: those of its pooler.
        heads: those of other heads, which have no prefix.
        file: the name of the file, and which torch wrote it.
        position_ids: whether the buffer was saved.
        old_norms: whether layer norms have the names of TensorFlow.
        dtype: of all weights.
    """

    config: dict[str, Any]
    prefix: str
    encoder: Callable[[dict[str, Any]], Shapes] = bert_encoder
    pooler: Callable[[dict[str, Any]], Shapes] = nothing
    heads: Callable[[dict[str, Any]], Shapes] = nothing
    file: File = "pytorch_model.bin"
    position_ids: bool = True
    old_norms: bool = False
    dtype: torch.dtype = torch.float32

    def write(self, folder: Path, seed: int = 0) -> dict[str, Tensor]:
        """Write ``config.json`` and the weights; return the encoder's tensors in float32, by transformers' names."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        generator = torch.Generator().manual_seed(seed)

        def draw(shapes: Shapes) -> dict[str, Tensor]:
            return {
                name: torch.randn(shape, generator=generator).mul_(0.3).to(self.dtype) for name, shape in shapes.items()
            }

        own = draw({**self.encoder(self.config), **self.pooler(self.config)})
        stored = dict(self._stored(own)) | draw(self.heads(self.config))
        if self.file == "model.safetensors":
            save_file(stored, folder / self.file, metadata={"format": "pt"})
        else:
            zipped = self.file == "pytorch_model.bin"
            torch.save(stored, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        return {name: tensor.float() for name, tensor in own.items()}

    def _stored(self, own: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in own.items():
            if self.old_norms:
                name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            yield self.prefix + name, tensor
        if self.position_ids:
            yield f"{self.prefix}embeddings.position_ids", torch.arange(self.config["max_position_embeddings"])[None]


SIZES = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
DROPOUT = {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1}
COMMON = {**SIZES, **DROPOUT, "hidden_act": "gelu", "initializer_range": 0.02, "max_position_embeddings": 512}
BERT = {**COMMON, "model_type": "bert", "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2}
KLUE = {**BERT, "architectures": ["BertForPreTraining"], "vocab_size": 32_000}
ROBERTA = {
    **COMMON, "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "layer_norm_eps": 1e-5,
    "vocab_size": 32_000, "max_position_embeddings": 514, "type_vocab_size": 1, "bos_token_id": 0, "pad_token_id": 1,
    "eos_token_id": 2, "gradient_checkpointing": False, "position_embedding_type": "absolute",
    "tokenizer_class": "BertTokenizer",
}  # fmt: skip
KOBERT = {
    **COMMON, "architectures": ["BertModel"], "model_type": "bert", "pad_token_id": 1, "type_vocab_size": 2,
    "vocab_size": 8_002,
}  # fmt: skip
ELECTRA = {
    **BERT, "architectures": ["ElectraForPreTraining"], "model_type": "electra", "embedding_size": 24,
    "vocab_size": 35_000,
}  # fmt: skip
MBERT = {
    **BERT, "architectures": ["BertForMaskedLM"], "directionality": "bidi", "pooler_fc_size": 768,
    "pooler_num_fc_layers": 3, "pooler_num_attention_heads": 12, "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform", "vocab_size": 119_547,
}  # fmt: skip
E5 = {
    **BERT, "architectures": ["BertModel"], "position_embedding_type": "absolute",
    "tokenizer_class": "XLMRobertaTokenizer", "torch_dtype": "float32", "transformers_version": "4.30.0.dev0",
    "use_cache": True, "vocab_size": 10_700,
}  # fmt: skip
DEBERTA = {
    **COMMON, "model_type": "deberta-v2", "layer_norm_eps": 1e-7, "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm", "pos_att_type": "p2c|c2p", "position_biased_input": False, "position_buckets": 8,
    "relative_attention": True, "share_att_key": True, "type_vocab_size": 0, "vocab_size": 700,
}  # fmt: skip
GOOGLE = {**COMMON, "type_vocab_size": 2, "vocab_size": 30_522}

LAYOUTS = {
    "klue": Layout(KLUE, "bert.", pooler=pooler, heads=klue_heads),
    "klue-safetensors": Layout(KLUE, "bert.", pooler=pooler, heads=klue_heads, file="model.safetensors"),
    "klue_roberta": Layout(ROBERTA, "roberta.", heads=roberta_heads),
    "kobert": Layout(KOBERT, "", pooler=pooler, file="pytorch_model.bin of torch 1.5", position_ids=False),
    "kobert-prefixed": Layout(KOBERT, "bert.", pooler=pooler),
    "kcelectra": Layout({**ELECTRA, "vocab_size": 54_343}, "electra.", heads=electra_heads),
    "koelectra": Layout(ELECTRA, "electra.", heads=electra_heads, file="pytorch_model.bin of torch 1.5"),
    "mbert": Layout(
        MBERT, "bert.", pooler=pooler, heads=bert_heads, file="model.safetensors", position_ids=False, old_norms=True
    ),
    "mbert-bin": Layout(
        MBERT, "bert.", pooler=pooler, heads=bert_heads, file="pytorch_model.bin of torch 1.5", old_norms=True
    ),
    "e5_small": Layout(E5, "", pooler=pooler, file="model.safetensors"),
    "e5_small-bare": Layout(E5, "", position_ids=False),
    "deberta_xsmall": Layout(DEBERTA, "deberta.", deberta_encoder, heads=deberta_heads, dtype=torch.float16),
    "deberta_xsmall-safetensors": Layout(DEBERTA, "deberta.", deberta_encoder, file="model.safetensors"),
    "small_bert": Layout(GOOGLE, "bert.", pooler=pooler, heads=bert_heads, old_norms=True, position_ids=False),
}  # fmt: skip
