"""The way of the data, in order: corpus, download, read, clean, split, tokenizer, encode, batch."""

import hashlib
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.batch import EvalSampler, ReviewDataset, TrainSampler
from nsmc_lightning.data.clean import clean_test, clean_text, clean_train, has_text
from nsmc_lightning.data.corpus import NSMC, Corpus, Source
from nsmc_lightning.data.demo import write_demo
from nsmc_lightning.data.download import default_cache_dir, fetch
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.read import OnBadRows, read_labelled, read_texts
from nsmc_lightning.data.split import split_rows
from nsmc_lightning.data.tokenizer import load_tokenizer, preflight, tokenizer_files, train_tokenizer, unknown_warning
from nsmc_lightning.types import Batch, EncoderLimits, UserError

log = logging.getLogger(__name__)

TEST_SEED = 0  # of the test part of a corpus that has none: never the run's seed, or the test set would move with it
_UNKNOWN_SAMPLE = 2_000  # training reviews looked at for unknown tokens: ±2 points at 95 % confidence


class NSMCDataModule(LightningDataModule):
    """Sentences of a corpus (NSMC unless told otherwise) as batches of token ids.

    ``fit`` reads the training part alone: its dev part is split off it where the corpus has none, and the test part is
    opened by ``test`` only.

    Args:
        tokenizer: hub id or folder of a tokenizer, or a number: train a vocabulary of so many pieces on the training
            part. On the command line it follows ``model.backbone``.
        corpus: the data set, as in ``configs/corpus``; None is NSMC.
        data_dir: folder that already holds the corpus's files; None downloads them to the cache.
        cache_dir: folder for downloads; None is ``$NSMC_LIGHTNING_CACHE`` or the user's cache folder.
        max_length: tokens a review is cut to, special tokens included.
        batch_size: reviews in a training batch, for each device.
        eval_batch_size: reviews in a batch of validation, test and prediction, for each device.
        dev_fraction: share of the training part that becomes the dev part where the corpus has none.
        split_seed: of the dev split; kept apart from the run's seed so that seeds can be compared on one split.
        num_workers: processes that build batches; 0 builds them in the main process, which is fast enough for most.
        predict_path: file to predict: txt (a text a line), tsv, csv, jsonl, parquet, or - for standard input.
        encoding: of the file to predict; that of a corpus stands in the corpus.
        on_bad_rows: what a row of the file to predict that cannot be read leads to: error, or skip, which warns and
            writes it without a label.

    Raises:
        UserError: where a value above cannot be, or a file is missing or broken.
    """

    def __init__(
        self,
        tokenizer: str | int,
        corpus: Corpus | None = None,
        data_dir: str | None = None,
        cache_dir: str | None = None,
        max_length: int = 128,
        batch_size: int = 32,
        eval_batch_size: int = 128,
        dev_fraction: float = 0.1,
        split_seed: int = 42,
        num_workers: int = 0,
        predict_path: str | None = None,
        encoding: str = "utf-8",
        on_bad_rows: OnBadRows = "error",
    ) -> None:
        super().__init__()
        # Plain types only, so that checkpoints load with weights_only=True; the corpus travels in state_dict.
        self.save_hyperparameters(ignore=["corpus"], logger=False)
        for name, value in {"batch_size": batch_size, "eval_batch_size": eval_batch_size}.items():
            if value < 1:
                raise UserError(f"data.{name} is {value}: give at least 1.")
        self.corpus = corpus or NSMC
        self.data_dir = Path(data_dir) if data_dir is not None else None
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_length = max_length
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.data: dict[str, ReviewDataset] = {}
        self.rows: dict[str, pd.DataFrame] = {}

    # The parts, from files to batches

    def prepare_data(self) -> None:
        """Fetches the files of the command at hand; runs in one process a machine."""
        if self.corpus.generate == "demo":
            write_demo(self._demo_dir)
        for source in self._sources():
            fetch(source, self._directory, self.corpus.name, self.cache_dir)

    def setup(self, stage: str) -> None:
        """Reads, cleans, splits and encodes what ``stage`` (fit, validate, test or predict) needs, once."""
        if stage in ("fit", "validate") and "dev" not in self.rows:
            self.rows["train"], self.rows["dev"] = self._train_and_dev()
        if stage == "test" and "test" not in self.rows:
            self.rows["test"] = self._test()
        if stage == "predict" and "predict" not in self.rows:
            self.rows["predict"] = self._predict()
        if self.tokenizer is None:
            self.tokenizer = self._make_tokenizer()
            self._preflight(self.tokenizer)
        needed = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("predict",)}[stage]
        for part in needed:
            if part not in self.data:
                self.data[part] = self._encode(self.tokenizer, self.rows[part])

    def _train_and_dev(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        values = [label.value for label in self.corpus.labels]
        raw = self._read(self.corpus.train)
        if self.corpus.test is None:
            raw, _ = split_rows(raw[has_text(raw)], self.corpus.test_fraction, TEST_SEED, "test_fraction")
        train, counts = clean_train(raw, values, self.corpus.repair_quotes)
        _log_counts(f"{self.corpus.name}: {self.corpus.train.file}", counts)
        if self.corpus.dev is not None:
            dev, counts = clean_train(self._read(self.corpus.dev), values, self.corpus.repair_quotes)
            _log_counts(f"{self.corpus.name}: {self.corpus.dev.file}", counts)
            return train, dev
        return split_rows(train, self.hparams["dev_fraction"], self.hparams["split_seed"], "data.dev_fraction")

    def _test(self) -> pd.DataFrame:
        source = self.corpus.test or self.corpus.train
        raw = self._read(source)
        if self.corpus.test is None:
            _, raw = split_rows(raw[has_text(raw)], self.corpus.test_fraction, TEST_SEED, "test_fraction")
        values = [label.value for label in self.corpus.labels]
        rows, counts = clean_test(raw, values, self.corpus.repair_quotes, source.file)
        _log_counts(f"{self.corpus.name}: {source.file} (test)", counts)
        return rows

    def _predict(self) -> pd.DataFrame:
        path = self.hparams["predict_path"]
        if path is None:
            raise UserError("predict needs texts: give --data.predict_path FILE, or - for standard input.")
        columns = self.corpus.text_column, self.corpus.id_column
        return read_texts(path, *columns, self.hparams["encoding"], self.hparams["on_bad_rows"])

    def _encode(self, tokenizer: PreTrainedTokenizerFast, rows: pd.DataFrame) -> ReviewDataset:
        texts = [clean_text(text) for text in rows["text"].fillna("")]
        labels = rows["label"].to_numpy(np.int64) if "label" in rows else None
        return ReviewDataset(encode(tokenizer, texts, self.max_length), labels, int(tokenizer.pad_token_id))

    # Loaders

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random batches of like length, in an order that the seed and the epoch decide."""
        assert self.trainer is not None
        dataset = self.data["train"]
        sampler = TrainSampler(
            dataset.encoded.lengths,
            self.hparams["batch_size"],
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # where seed_everything leaves it for every process
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return self._loader(dataset, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The dev part, every review once."""
        return self._eval_loader("dev")

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test part, every review once."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The texts of ``predict_path``, every one once."""
        return self._eval_loader("predict")

    def _eval_loader(self, part: str) -> DataLoader[Batch]:
        assert self.trainer is not None
        dataset = self.data[part]
        if len(dataset) < self.trainer.world_size:
            raise UserError(f"{len(dataset)} rows for {self.trainer.world_size} processes: use fewer devices.")
        sampler = EvalSampler(
            dataset.encoded.lengths,
            self.hparams["eval_batch_size"],
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return self._loader(dataset, sampler)

    def _loader(self, dataset: ReviewDataset, sampler: TrainSampler | EvalSampler) -> DataLoader[Batch]:
        workers = self.hparams["num_workers"]
        return DataLoader(
            dataset,
            batch_size=None,  # the sampler yields whole batches
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    # What stands in a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """Tokenizer files, their fingerprint and the corpus, as plain types: a checkpoint stands alone."""
        if self.tokenizer is None:
            return {}
        files = tokenizer_files(self.tokenizer)
        return {
            "corpus": asdict(self.corpus),
            "tokenizer_files": files,
            "tokenizer_sha256": hashlib.sha256(files["tokenizer.json"].encode()).hexdigest(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing is restored here: the command line builds the module from the checkpoint's own tokenizer."""

    # Small parts of the above

    @property
    def _demo_dir(self) -> Path:
        return self.cache_dir / "demo"

    @property
    def _directory(self) -> Path | None:
        return self._demo_dir if self.corpus.generate == "demo" else self.data_dir

    def _sources(self) -> list[Source]:
        """The files that the trainer's command reads."""
        assert self.trainer is not None
        command = self.trainer.state.fn
        if command == "predict":
            return []
        if command == "test":
            return [self.corpus.test or self.corpus.train]
        return [self.corpus.train, *([self.corpus.dev] if self.corpus.dev else [])]

    def _read(self, source: Source) -> pd.DataFrame:
        path = fetch(source, self._directory, self.corpus.name, self.cache_dir)
        return read_labelled(path, self.corpus)

    def _make_tokenizer(self) -> PreTrainedTokenizerFast:
        name = self.hparams["tokenizer"]
        if isinstance(name, str):
            return load_tokenizer(name)
        if "train" not in self.rows:
            self.rows["train"], self.rows["dev"] = self._train_and_dev()
        return train_tokenizer(self.rows["train"]["text"], name)

    def _preflight(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Refuses what the trainer's model would compute wrongly, and warns of what is odd."""
        limits = getattr(self.trainer.lightning_module, "limits", None) if self.trainer else None
        if isinstance(limits, EncoderLimits):
            for warning in preflight(tokenizer, limits, self.max_length):
                log.warning(warning)
        if "train" in self.rows:
            texts = self.rows["train"]["text"]
            sample = texts.sample(min(len(texts), _UNKNOWN_SAMPLE), random_state=0)
            if unknown := unknown_warning(tokenizer, sample.tolist()):
                log.warning(unknown)


@rank_zero_only
def _log_counts(title: str, counts: dict[str, int]) -> None:
    width = max(len(rule) for rule in counts)
    lines = [f"  {rule:<{width}} {count:>9,}" for rule, count in counts.items()]
    log.info("\n".join([title, *lines]))
