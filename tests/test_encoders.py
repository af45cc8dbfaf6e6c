"""Encoders with windows or relative positions from the command line: packed in training, exact on the test part."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers
import yaml
from torch import Tensor

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.cli import main
from nsmc_lightning.model.module import BertClassifierModule
from nsmc_lightning.types import Batch
from tests.conftest import ROOT
from tests.model.conftest import small


@pytest.mark.parametrize("model_type", ["deberta-v2", "modernbert"])
def test_a_run_trains_on_packed_rows_and_predicts_as_transformers_does_for_each_text(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, step = set(), BertClassifierModule.training_step

    def watched(self: BertClassifierModule, batch: Batch, batch_idx: int) -> Tensor:
        packed.add(batch.packed)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(BertClassifierModule, "training_step", watched)
    corpus = str(ROOT / "configs" / "corpus" / "demo.yaml")
    settings = {
        "data": {"corpus": corpus, "cache_dir": str(tmp_path / "cache"), "max_length": 40},
        "model": {"backbone": small(model_type), "lr": 0.01},
        "trainer": {"max_steps": 30, "limit_val_batches": 2},
        "log_dir": str(tmp_path),
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    main(["fit", "--config", str(tmp_path / "run.yaml")])
    assert packed == {True}
    best = str(tmp_path / "run" / "version_0" / "checkpoints" / "best.ckpt")
    main(["test", "--ckpt_path", best, "--output", str(tmp_path / "test.csv")])
    table = pd.read_csv(tmp_path / "test.csv").head(100)
    expected = probabilities(Checkpoint.read(best), small(model_type), table["text"].tolist())
    assert expected.std() > 1e-3  # training told texts apart
    torch.testing.assert_close(torch.tensor(table["probability_positive"]).float(), expected, atol=2e-6, rtol=0)


def probabilities(checkpoint: Checkpoint, keys: dict[str, Any], texts: list[str]) -> Tensor:
    """The probability that each text is positive, by transformers' own encoder and attention, one text at a time."""
    weights = checkpoint.content["state_dict"]
    config = transformers.AutoConfig.for_model(**{"pad_token_id": 0, **keys})
    encoder = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    encoder.load_state_dict({name: weights[f"encoder.{name}"] for name in encoder.state_dict()})
    tokenizer = checkpoint.tokenizer()
    logits = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=40, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            first = encoder(**inputs).last_hidden_state[0, 0]
        logits.append(weights["head.linear.weight"] @ first + weights["head.linear.bias"])
    return (torch.stack(logits) / checkpoint.content["temperature"]).softmax(dim=1)[:, 1]
