"""Shipped recipes: found by name; each parses, builds its modules and trains two steps, with a stand-in checkpoint."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import AutoConfig, AutoModel

from nsmc_lightning.cli import main
from nsmc_lightning.commands.recipes import recipe_file
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.errors import UserError
from tests.model.conftest import SPECIAL

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
FAMILY = {"koelectra": "electra", "kcelectra": "electra", "klue_roberta": "roberta", "deberta_xsmall": "deberta-v2"}
# all others are BERT
COMMAND = {"pretrain_nsmc": "pretrain"}  # of all others fit


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of NSMC and IMDB, of the demo corpus's texts."""
    folder = tmp_path_factory.mktemp("data")
    rows = demo_rows("train", 200, seed=0)
    table = pd.DataFrame(rows, columns=["id", "document", "label"])
    raw = demo_rows("train", 200, seed=1)
    pd.DataFrame({"id": range(200), "text": [row[1] for row in raw], "rating": [1, 10] * 100}).to_parquet(
        folder / "reviews.parquet"
    )
    for part in ("train", "test"):
        table.to_csv(folder / f"ratings_{part}.txt", sep="\t", index=False)
        for label, name in (("0", "neg"), ("1", "pos")):
            texts = folder / "aclImdb" / part / name
            texts.mkdir(parents=True)
            for i, text in enumerate(table.loc[table["label"] == label, "document"]):
                (texts / f"{i}_1.txt").write_text(text, encoding="utf-8")
    return folder


def stand_in(recipe: str, folder: Path) -> str:
    """A random checkpoint of the recipe's family, 2 layers of 16."""
    family = FAMILY.get(recipe, "bert")
    tokenizer = train_tokenizer([row[1] for row in demo_rows("train", 500, seed=0)], vocab_size=300)
    config = AutoConfig.for_model(
        family, vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=514, pad_token_id=tokenizer.pad_token_id, **SPECIAL.get(family, {}),
    )  # fmt: skip
    if family == "electra":
        config.embedding_size = 16
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_there_are_all_recipes() -> None:
    names = "deberta_xsmall demo e5_small kcelectra klue klue_roberta kobert koelectra mbert"
    assert [path.stem for path in RECIPES] == [*names.split(), "pretrain_nsmc", "small_bert_imdb"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_its_command(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\ndata:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"python -m nsmc_lightning {COMMAND.get(path.stem, 'fit')} --config configs/{path.name}" in head


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_two_steps(path: Path, data_dir: Path, tmp_path: Path) -> None:
    args = [
        COMMAND.get(path.stem, "fit"),
        "--config",
        str(path),
        "--trainer.max_steps=2",
        "--trainer.limit_val_batches=1",
    ]
    args += ["--log_dir", str(tmp_path / "logs"), "--data.cache_dir", str(tmp_path / "cache")]
    if path.stem != "demo":
        args += ["--model.backbone", stand_in(path.stem, tmp_path / "backbone"), "--data.data_dir", str(data_dir)]
    if path.stem == "pretrain_nsmc":
        args += ["--data.val_texts", "20", "--data.max_length", "64"]
    main(args)
    run = tmp_path / "logs" / path.stem / "version_0"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert kept["model"]["lr"] == wanted["model"]["lr"]
    assert kept["trainer"]["max_epochs"] == wanted["trainer"]["max_epochs"]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's folder of recipes, with one of each kind, seen from an empty working folder."""
    here, folder = tmp_path / "here", tmp_path / "package" / "recipes"
    here.mkdir()
    (folder / "corpus").mkdir(parents=True)
    for name in ("small.yaml", "corpus/own.yaml"):
        (folder / name).touch()
    monkeypatch.chdir(here)
    return folder


@pytest.mark.parametrize("name", ["small.yaml", "corpus/own.yaml"])
def test_a_file_that_is_not_here_is_the_package_s(shipped: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        assert recipe_file("--config", f"./configs/{name}", shipped) == str(shipped / name)
    (said,) = caplog.messages
    assert said.endswith(str(shipped / name))


def test_the_user_s_own_file_comes_first(shipped: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("configs").mkdir()
    Path("configs/small.yaml").touch()
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        assert recipe_file("--config", "configs/small.yaml", shipped) == "configs/small.yaml"
    assert not caplog.messages


@pytest.mark.parametrize("value", ["", "null", "data: {max_length: 3}", "{name: small.yaml}", "a: ["])
def test_settings_spelt_out_name_no_file(shipped: Path, value: str) -> None:
    assert recipe_file("--config", value, shipped) == value


@pytest.mark.parametrize(
    ("option", "known"), [("--config", "configs/small.yaml"), ("--data.corpus", "configs/corpus/own.yaml")]
)
@pytest.mark.parametrize("value", ["configs/smal.yaml", "small.yaml", "configs/../configs/small.yaml", "x" * 5000])
def test_a_name_that_neither_has_is_refused_with_those_there_are(
    shipped: Path, option: str, known: str, value: str
) -> None:
    with pytest.raises(UserError) as refusal:
        recipe_file(option, value, shipped)
    assert str(refusal.value).startswith(f"{option} {value}: there is no such file.\n")
    assert known in str(refusal.value)


def test_the_published_settings_are_kept() -> None:
    def recipe(name: str) -> tuple[int, int, float]:
        settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
        return settings["data"]["batch_size"], settings["trainer"]["max_epochs"], settings["model"]["lr"]

    assert recipe("klue") == (64, 2, 5e-5)
    assert recipe("kobert") == (32, 4, 2e-5)
    assert recipe("mbert") == (32, 4, 2e-5)
    assert recipe("small_bert_imdb") == (32, 5, 3e-5)
    assert recipe("deberta_xsmall") == (64, 3, 4.5e-5)
