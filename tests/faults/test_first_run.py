"""A user's first run: a recipe as it is, on a checkpoint of the published size and layout."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from nsmc_lightning.cli import main
from nsmc_lightning.data.demo.grammar import demo_rows
from tests.conftest import ROOT
from tests.model.published import LAYOUTS

BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}


@pytest.mark.faults
def test_klue_at_its_full_size_takes_two_steps_and_is_tested(shared: Path, tmp_path: Path) -> None:
    """It takes 4.3 GB of memory, and writes 3.1 GB: the checkpoint, and two of the run, with the optimizer's state."""
    backbone, data = tmp_path / "klue" / "bert-base", tmp_path / "nsmc"
    layout = LAYOUTS["klue"]
    written = replace(layout, config={**layout.config, **BASE}).write(backbone)
    shutil.copy(shared / "tokenizers" / "klue" / "vocab.txt", backbone)
    data.mkdir()
    rows = pd.DataFrame(demo_rows("train", 500, seed=0), columns=["id", "document", "label"])
    for part in ("train", "test"):
        rows.to_csv(data / f"ratings_{part}.txt", sep="\t", index=False)
    folders = ["--data.data_dir", str(data), "--log_dir", str(tmp_path), "--data.cache_dir", str(tmp_path / "cache")]
    recipe = ["--config", str(ROOT / "configs" / "klue.yaml"), "--model.backbone", str(backbone)]
    main(["fit", *recipe, *folders, "--trainer.max_steps=2", "--trainer.limit_val_batches=1"])
    best = tmp_path / "klue" / "version_0" / "checkpoints" / "best.ckpt"
    trained = torch.load(best, weights_only=True, mmap=True)["state_dict"]
    encoder = {name.removeprefix("encoder."): tensor for name, tensor in trained.items() if name.startswith("encoder.")}
    assert encoder.keys() == {name for name in written if not name.startswith("pooler.")}
    for name, tensor in encoder.items():  # two steps of AdamW change each weight by 5e-5 each at most
        assert torch.allclose(tensor, written[name], atol=2e-4), name
    main(["test", "--ckpt_path", str(best), *folders, "--trainer.limit_test_batches=1"])
