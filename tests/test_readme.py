"""README's Python, run as it stands; its checkpoint is used on the command line."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from transformers import AutoConfig, AutoModel

from nsmc_lightning import BertClassifierModule, NSMCDataModule
from nsmc_lightning.cli import main
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.tokenizer import train_tokenizer

README = Path(__file__).resolve().parents[1] / "README.md"
SIZES = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}

pytestmark = pytest.mark.filterwarnings("ignore:.*")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that README's block ran in: a small encoder and corpus stand under the names that it uses."""
    folder = tmp_path_factory.mktemp("python")
    rows = demo_rows("train", 200, seed=0)
    (folder / "nsmc").mkdir()
    for part in ("train", "test"):
        table = pd.DataFrame(rows, columns=["id", "document", "label"])
        table.to_csv(folder / "nsmc" / f"ratings_{part}.txt", sep="\t", index=False)
    tokenizer = train_tokenizer([row[1] for row in rows], vocab_size=300)
    tokenizer.save_pretrained(folder / "klue" / "bert-base")
    config = AutoConfig.for_model("bert", vocab_size=len(tokenizer), max_position_embeddings=128, **SIZES)
    AutoModel.from_config(config).save_pretrained(folder / "klue" / "bert-base")
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(block, {})
    shutil.rmtree(folder / "klue")
    return folder


@pytest.fixture
def elsewhere(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NSMC_LIGHTNING_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_its_checkpoint_is_classified_with_as_in_python(
    ran: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["연기는 별로지만 재미 하나는 끝내줌!", "시간이 아깝다"]
    main(["classify", "--ckpt_path", str(ran / "nsmc.ckpt"), *texts])
    said = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    (elsewhere / "in.txt").write_text("\n".join(texts), encoding="utf-8")
    main(["predict", "--ckpt_path", str(ran / "nsmc.ckpt"), "--data.predict_path=in.txt", "--output=out.csv"])
    table = pd.read_csv("out.csv")
    shares = table[["probability_negative", "probability_positive"]].max(axis=1)
    assert said == [[label, f"{100 * share:.2f}%"] for label, share in zip(table["label"], shares, strict=True)]


def test_its_checkpoint_is_measured_with_its_own_settings(ran: Path, elsewhere: Path) -> None:
    model = BertClassifierModule.load_from_checkpoint(ran / "nsmc.ckpt")
    state = torch.load(ran / "nsmc.ckpt", weights_only=True)["NSMCDataModule"]
    assert state["settings"]["data_dir"] == str(ran / "nsmc")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    for command, part in (("validate", "val"), ("test", "test")):
        main([command, "--ckpt_path", str(ran / "nsmc.ckpt"), "--name=run"])
        folder = max(Path("lightning_logs/run").glob("version_*"))
        logged = pd.read_csv(folder / "metrics.csv").iloc[-1]
        data = NSMCDataModule(tokenizer_of(state, elsewhere), data_dir=str(ran / "nsmc"))
        measured = getattr(Trainer(**quiet), command)(model, data, verbose=False)[0]
        assert logged[f"{part}/accuracy"] == pytest.approx(measured[f"{part}/accuracy"])
        assert logged[f"{part}/loss"] == pytest.approx(measured[f"{part}/loss"], abs=1e-5)


def tokenizer_of(state: dict[str, dict[str, str]], folder: Path) -> str:
    (folder / "tokenizer").mkdir(exist_ok=True)
    for name, text in state["tokenizer_files"].items():
        (folder / "tokenizer" / name).write_text(text, encoding="utf-8")
    return str(folder / "tokenizer")


def test_the_command_line_goes_on_from_its_checkpoint(ran: Path, elsewhere: Path) -> None:
    main(["fit", "--ckpt_path", str(ran / "nsmc.ckpt"), "--name=run", "--trainer.max_epochs=2"])
    last = torch.load("lightning_logs/run/version_0/checkpoints/last.ckpt", weights_only=True)
    first = torch.load(ran / "nsmc.ckpt", weights_only=True)
    assert last["global_step"] == 2 * first["global_step"]


def test_its_checkpoint_is_exported(ran: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    main(["export", "--ckpt_path", str(ran / "nsmc.ckpt"), "--output=folder"])
    card = Path("folder/README.md").read_text(encoding="utf-8")
    assert "Encoder: bert-base." in card  # its folder is no longer there
    assert "records no metrics" in card


def test_another_split_beside_its_checkpoint_is_refused(
    ran: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change in ("--data.split_seed=1", "--data.corpus.text_column=id", "--model.pooling=mean"):
        with pytest.raises(SystemExit):
            main(["validate", "--ckpt_path", str(ran / "nsmc.ckpt"), change])
        assert change.partition("=")[0].removeprefix("--") in capsys.readouterr().err
