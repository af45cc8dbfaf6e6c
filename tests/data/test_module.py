"""NSMCDataModule: parts in order, the test part untouched by fit, batches, and the token cache."""

import hashlib
import io
import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.trainer.states import TrainerFn
from transformers import AutoTokenizer

from nsmc_lightning.callbacks.predictions import PredictionWriter
from nsmc_lightning.data import parts as rows
from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.corpus import Corpus, Label, Source
from nsmc_lightning.data.demo.grammar import demo_rows
from nsmc_lightning.data.module import NSMCDataModule
from nsmc_lightning.data.perturb import NAMES, perturb
from nsmc_lightning.data.split import normalise_for_matching
from nsmc_lightning.data.tokenizer import train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Batch, CountsLabels, EncoderLimits, Prediction

LABELS = [Label("0", "negative"), Label("1", "positive")]
PACKS = EncoderLimits(vocab_size=400, max_length=None, pad_token_id=0, packs_rows=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train.csv of 300 reviews, some of them twice."""
    reviews = demo_rows("train", 300, seed=0)
    table = pd.DataFrame([*reviews, *reviews[:20]], columns=["id", "text", "label"])
    table.to_csv(tmp_path / "train.csv", index=False)
    return tmp_path


def data(folder: Path, corpus: Corpus | None = None, **settings: Any) -> NSMCDataModule:
    corpus = corpus or Corpus("own", Source("train.csv"), LABELS, format="csv", id_column="id")
    module = NSMCDataModule(400, corpus, data_dir=str(folder), **settings)
    module.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    module.trainer.strategy.connect(BoringModel())
    return module


def test_train_dev_and_test_share_no_text(folder: Path) -> None:
    module = data(folder)
    module.setup("fit")
    assert "test" not in module.parts.counts
    module.setup("test")
    texts = {
        part: set(map(normalise_for_matching, module.parts.rows(part)["text"])) for part in ("train", "dev", "test")
    }
    assert not texts["train"] & texts["dev"]
    assert not texts["test"] & (texts["train"] | texts["dev"])
    assert module.parts.rows("train")["text"].is_unique


@pytest.mark.parametrize(("command", "asked"), [("predict", []), ("test", ["test"]), ("fit", ["train", "dev"])])
def test_a_command_fetches_only_its_own_parts(
    command: str, asked: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = data(folder)
    module.trainer.state.fn = {"predict": TrainerFn.PREDICTING, "test": TrainerFn.TESTING, "fit": TrainerFn.FITTING}[
        command
    ]
    parts: list[str] = []
    monkeypatch.setattr(module.parts, "path", parts.append)
    module.prepare_data()
    assert parts == asked


@pytest.mark.parametrize(
    ("limits", "packed", "is_packed", "warning"),
    [
        (PACKS, True, True, None),
        (PACKS, False, False, None),
        (replace(PACKS, packs_rows=False), True, False, "this model does not take packed rows"),
        (None, True, False, "limits=module.limits"),
        (None, False, False, None),
    ],
)
def test_training_rows_are_packed_if_the_model_takes_them(
    limits: EncoderLimits | None,
    packed: bool,
    is_packed: bool,
    warning: str | None,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = data(folder, batch_size=16, limits=limits, packed=packed)
    module.setup("fit")
    caplog.clear()
    batches = list(module.train_dataloader())
    assert {batch.packed for batch in batches} == {is_packed}
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(len(module.datasets["train"])))
    messages = [record.message for record in caplog.records if "padded" in record.message]
    assert [warning in message for message in messages] == ([] if warning is None else [True])


def test_several_processes_cannot_share_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("좋다\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    module = data(folder, predict_path="-")
    module.trainer = SimpleNamespace(world_size=2)  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"predict_path -: 2 processes .* give a file, or --trainer\.devices 1"):
        module.setup("predict")
    assert stdin.read() == "좋다\n"


def test_a_generated_corpus_is_read_from_the_user_s_folder_where_one_is_given(folder: Path) -> None:
    corpus = Corpus("demo", Source("train.csv"), LABELS, format="csv", generate="demo")
    module = data(folder, corpus, cache_dir=str(folder / "cache"))
    module.trainer.state.fn = TrainerFn.FITTING
    module.prepare_data()
    assert not (folder / "cache").exists()
    assert module.parts.path("train") == folder / "train.csv"


def test_each_checkpoint_holds_the_tokenizer_s_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = data(folder)
    module.setup("fit")
    files = module.state_dict()["tokenizer_files"]
    assert json.loads(files["tokenizer.json"])["model"]["vocab"] == module.tokenizer.get_vocab()
    monkeypatch.setattr(module.tokenizer, "save_pretrained", None)  # they are not written again
    assert module.state_dict()["tokenizer_files"] == files


def test_an_encoder_that_the_tokenizer_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="embedding has 100 rows"):
        data(folder, limits=replace(PACKS, vocab_size=100)).setup("fit")
    with pytest.raises(UserError, match=r"data\.max_length is 2"):  # also without limits
        data(folder, max_length=2).setup("fit")


def test_checkpoints_contain_no_limits(folder: Path) -> None:
    module = data(folder, limits=PACKS)
    module.setup("fit")
    assert "limits" not in module.hparams
    assert "limits" not in module.state_dict()["settings"]


@pytest.mark.parametrize("processes", [1, 2])
def test_perturbed_texts_come_in_the_batches_of_the_clean_ones(folder: Path, processes: int) -> None:
    module = data(folder, perturb="all", max_tokens=200)
    module.setup("test")
    rows = []
    for rank in range(processes):
        module.trainer = SimpleNamespace(global_rank=rank, world_size=processes)  # type: ignore[assignment]
        clean, *perturbed = ([*each] for each in module.test_dataloader())
        assert len(perturbed) == len(NAMES)
        for name, batches in zip(NAMES, perturbed, strict=True):
            for batch, other in zip(clean, batches, strict=True):
                assert batch.rows.equal(other.rows)
                assert batch.labels.equal(other.labels)
                assert batch.input_ids.equal(other.input_ids) == (name == "nfd") or name == "no_punctuation"
                assert other.input_ids.numel() <= 200
        rows += torch.cat([batch.rows for batch in clean]).tolist()
    assert sorted(rows) == [*range(len(module.parts.rows("test")))]


def test_perturbed_texts_are_cleaned_after_it_and_changes_counted(folder: Path) -> None:
    module = data(folder, perturb="typos")
    module.setup("test")
    texts = module.parts.rows("test")["text"].tolist()
    expected = [clean_text(text) for text in perturb(texts, "typos")]
    found = module.datasets["typos"].encoded
    for row, text in enumerate(expected):
        ids = module.tokenizer(text, truncation=True, max_length=module.max_length)["input_ids"]
        assert found.tokens[found.offsets[row] : found.offsets[row + 1]].tolist() == ids
    assert module.changed_texts == {"typos": sum(a != b for a, b in zip(texts, expected, strict=True))}
    assert "perturb" not in {*module.hparams, *module.state_dict()["settings"]}


def test_label_counts_are_those_of_the_training_rows(folder: Path) -> None:
    module = data(folder)
    module.setup("fit")
    labels = module.parts.rows("train")["label"]
    assert module.label_counts() == {"negative": (labels == 0).sum(), "positive": (labels == 1).sum()}
    assert isinstance(module, CountsLabels)


def test_the_test_part_does_not_depend_on_the_seed(folder: Path) -> None:
    parts = []
    for seed in (1, 2):
        module = data(folder, split_seed=seed)
        module.setup("fit")
        module.setup("test")
        parts.append(module)
    assert parts[0].parts.rows("test").equals(parts[1].parts.rows("test"))
    assert not parts[0].parts.rows("dev").equals(parts[1].parts.rows("dev"))


def test_fit_never_opens_the_test_file(folder: Path) -> None:
    corpus = Corpus("own", Source("train.csv"), LABELS, test=Source("no-such-test.csv"), format="csv", id_column="id")
    module = data(folder, corpus)
    module.trainer.state.fn = "fit"
    module.prepare_data()
    module.setup("fit")
    with pytest.raises(UserError, match=r"no-such-test\.csv"):
        module.setup("test")


def test_batches_contain_every_training_row_once(folder: Path) -> None:
    module = data(folder, batch_size=16)
    module.setup("fit")
    seen = [row for batch in module.train_dataloader() for row in batch.rows.tolist()]
    assert sorted(seen) == list(range(len(module.parts.rows("train"))))


def test_the_counts_of_cleaning_are_logged_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="nsmc_lightning"):
        module = data(folder)
        module.setup("fit")
        module.setup("fit")
    assert sum("duplicates dropped" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("max_tokens", 0), ("num_workers", -1)])
def test_invalid_values_are_refused(key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"data\.{key} {value}: give a number"):
        NSMCDataModule(400, **{key: value})  # type: ignore[arg-type]


# The token cache


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a vocabulary so small that many tokens are unknown."""
    path = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([row[1] for row in demo_rows("train", 300, seed=1)], 300).save_pretrained(path)
    return str(path)


def cached(folder: Path, tokenizer: str, **settings: int | float) -> NSMCDataModule:
    corpus = Corpus("own", Source("train.csv"), LABELS, format="csv", id_column="id")
    module = NSMCDataModule(
        tokenizer,
        corpus,
        data_dir=str(folder),
        cache_dir=str(folder / "cache"),
        **settings,  # type: ignore[arg-type]
    )
    module.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    module.trainer.strategy.connect(BoringModel())
    return module


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, corpus: Corpus) -> pd.DataFrame:
        raise AssertionError("text was read")

    monkeypatch.setattr(rows, "read_labelled", refuse)


def test_a_warm_cache_reads_no_text_and_gives_the_same_batches(
    folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    messages = []
    batches = []
    for start in ("cold", "warm"):
        if start == "warm":
            forbid_reading(monkeypatch)
        caplog.clear()
        with caplog.at_level("INFO", logger="nsmc_lightning"):
            module = cached(folder, tokenizer)
            module.setup("fit")
        assert bool(module.parts.counts) == (start == "cold")
        messages.append([record.message for record in caplog.records if record.name.startswith("nsmc_lightning")])
        batches.append([*module.train_dataloader(), *module.val_dataloader()])
    assert [message.count("rows in") for message in messages[0]] == [1, 0]  # and a warning of unknown tokens
    assert messages[0] == messages[1]
    for one, other in zip(*batches, strict=True):
        assert one.rows.equal(other.rows)
        assert one.input_ids.equal(other.input_ids)
        assert one.labels.equal(other.labels)


def test_cached_tokens_are_those_of_each_text_alone(folder: Path, tokenizer: str) -> None:
    cached(folder, tokenizer, max_length=12).setup("fit")
    module = cached(folder, tokenizer, max_length=12)
    module.setup("fit")
    assert not module.parts.counts
    part, one_by_one = module.encoded["train"], AutoTokenizer.from_pretrained(tokenizer)
    tokens = np.split(part.reviews.tokens, part.reviews.offsets[1:-1])
    for row, (text, label) in enumerate(module.parts.rows("train")[["text", "label"]].itertuples(index=False)):
        assert tokens[row].tolist() == one_by_one(text, truncation=True, max_length=12)["input_ids"]
        assert part.reviews.full_lengths[row] == len(one_by_one(text)["input_ids"])
        assert part.characters[row] == len(text)
        assert part.labels[row] == label


def _other_file(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    with (folder / "train.csv").open("a", encoding="utf-8") as file:
        file.write("new,처음 보는 문장,1\n")
    return cached(folder, tokenizer)


def _other_tokenizer(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    other = folder / "tokenizer"  # its name does not count
    train_tokenizer(["다른 말뭉치의 어휘"] * 3, 100).save_pretrained(other)
    return cached(folder, str(other))


def _other_max_length(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    return cached(folder, tokenizer, max_length=64)


def _other_seed(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    return cached(folder, tokenizer, split_seed=1)


def _other_fraction(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    return cached(folder, tokenizer, dev_fraction=0.2)


def _other_rules(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    monkeypatch.setattr("nsmc_lightning.data.cache.rules_digest", lambda: "other")
    return cached(folder, tokenizer)


def _other_corpus(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> NSMCDataModule:
    module = cached(folder, tokenizer)
    module.parts.corpus = replace(module.corpus, labels=LABELS[::-1])
    return module


@pytest.mark.parametrize(
    "other",
    [_other_file, _other_tokenizer, _other_max_length, _other_seed, _other_fraction, _other_rules, _other_corpus],
)
def test_what_decides_the_tokens_decides_the_entry(
    other: Callable[[Path, str, pytest.MonkeyPatch], NSMCDataModule],
    folder: Path,
    tokenizer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached(folder, tokenizer).setup("fit")
    forbid_reading(monkeypatch)
    cached(folder, tokenizer).setup("fit")
    changed = other(folder, tokenizer, monkeypatch)
    with pytest.raises(AssertionError, match="text was read"):
        changed.setup("fit")


class CountsTokens(LightningModule):
    """The probability of a review is a function of its tokens."""

    def test_step(self, batch: Batch, batch_idx: int) -> Prediction:
        share = (batch.input_ids * batch.attention_mask.clamp(max=1)).sum(1).float() % 97 / 97
        return Prediction(batch.rows, torch.stack([share, 1 - share], dim=1))


def test_the_predictions_file_is_the_same_from_a_cold_and_a_warm_cache(folder: Path, tokenizer: str) -> None:
    files = [folder / "cold.csv", folder / "warm.csv"]
    for file in files:
        trainer = Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            callbacks=[PredictionWriter(str(file))],
        )
        trainer.test(CountsTokens(), cached(folder, tokenizer), verbose=False)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pd.read_csv(files[0])["label"].notna().all()


def _setup_at_once(folder: Path, tokenizer: str, barrier: Any, answers: Any) -> None:
    module = cached(folder, tokenizer)
    barrier.wait(timeout=600)
    module.setup("fit")
    answers.put(hashlib.sha256(module.encoded["train"].reviews.tokens.tobytes()).hexdigest())


def test_two_processes_may_set_up_at_once(folder: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # its threads, if a test before used them, are not forked
    context = multiprocessing.get_context("fork")  # spawned processes would import for seconds
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_setup_at_once, args=(folder, tokenizer, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert answers.get(timeout=600) == answers.get(timeout=600)
    for process in processes:
        process.join(60)
    assert {path.suffix for path in (folder / "cache" / "tokens").iterdir()} == {".npz"}
    assert len(list((folder / "cache" / "tokens").iterdir())) == 2  # train and dev


def test_a_cache_that_cannot_be_written_costs_one_warning(
    folder: Path, tokenizer: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "cache").mkdir()
    (folder / "cache" / "tokens").write_text("a file in its place", encoding="utf-8")
    module = cached(folder, tokenizer)
    module.setup("fit")
    assert len(module.datasets["train"]) > 0
    assert sum("cannot keep tokens" in record.message for record in caplog.records) == 1


def test_prediction_input_and_texts_that_train_a_vocabulary_are_not_cached(folder: Path, tokenizer: str) -> None:
    (folder / "in.txt").write_text("좋다\n", encoding="utf-8")
    module = cached(folder, tokenizer)
    module.parts.predict_path = str(folder / "in.txt")
    module.setup("predict")
    trained = NSMCDataModule(300, module.corpus, data_dir=str(folder), cache_dir=str(folder / "cache"))
    trained.setup("fit")
    assert not (folder / "cache").exists()
