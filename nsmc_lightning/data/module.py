"""The way of the data, in order: corpus, download, read, clean, split, tokenizer, encode, cache, batch."""

import hashlib
import logging
import os
from collections.abc import Callable
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

from nsmc_lightning.data.batch import PackedReviews, ReviewDataset
from nsmc_lightning.data.cache import EncodedPart, file_digest, load_part, rules_digest, store_part
from nsmc_lightning.data.clean import clean_test, clean_text, clean_train, has_text
from nsmc_lightning.data.corpus import NSMC, Corpus, Source
from nsmc_lightning.data.demo import write_demo
from nsmc_lightning.data.download import default_cache_dir, fetch
from nsmc_lightning.data.encode import encode
from nsmc_lightning.data.pack import row_shape
from nsmc_lightning.data.read import read_labelled, read_texts
from nsmc_lightning.data.sampler import EvalSampler, LengthGroupedSampler, StratifiedSampler, TrainSampler
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
        cache_dir: folder for downloads and tokens; None is ``$NSMC_LIGHTNING_CACHE`` or the user's cache folder.
        max_length: tokens a review is cut to, special tokens included.
        batch_size: reviews in a training batch, for each device.
        max_tokens: token slots in a batch of validation, test and prediction, for each device.
        packed: lay training reviews end to end in rows, so that nothing is computed on padding; False pads batches of
            like length, as is done for encoders that cannot take packed rows.
        dev_fraction: share of the training part that becomes the dev part where the corpus has none.
        split_seed: of the dev split; kept apart from the run's seed so that seeds can be compared on one split.
        num_workers: processes that build batches; 0 builds them in the main process, which is fast enough for most.
        predict_path: file to predict: txt (a text a line), tsv, csv, jsonl, parquet, or - for standard input.

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
        max_tokens: int = 8192,
        packed: bool = True,
        dev_fraction: float = 0.1,
        split_seed: int = 42,
        num_workers: int = 0,
        predict_path: str | None = None,
    ) -> None:
        super().__init__()
        # Plain types only, so that checkpoints load with weights_only=True; the corpus travels in state_dict.
        self.save_hyperparameters(ignore=["corpus"], logger=False)
        for name, value in {"batch_size": batch_size, "max_tokens": max_tokens}.items():
            if value < 1:
                raise UserError(f"data.{name} is {value}: give at least 1.")
        self.corpus = corpus or NSMC
        self.data_dir = Path(data_dir) if data_dir is not None else None
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_length = max_length
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.parts: dict[str, EncodedPart] = {}
        self.data: dict[str, ReviewDataset] = {}
        self.rows = _Rows(self._read_rows)
        self._use_cache = isinstance(tokenizer, str)  # a vocabulary is trained on the texts: they are read anyway
        self._digests: dict[Path, str] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._reported: set[str] = set()

    # The parts, from files to batches

    def prepare_data(self) -> None:
        """Fetches the files of the command at hand; runs in one process a machine."""
        if self.corpus.generate == "demo":
            write_demo(self._demo_dir)
        for source in self._sources():
            fetch(source, self._directory, self.corpus.name, self.cache_dir)

    def setup(self, stage: str) -> None:
        """Makes what ``stage`` (fit, validate, test or predict) needs, once; cached tokens need no text."""
        if self.tokenizer is None:
            self.tokenizer = self._make_tokenizer()
            self._preflight(self.tokenizer)
        needed = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("predict",)}[stage]
        for part in needed:
            if part not in self.data:
                self.data[part] = self._dataset(part, self.tokenizer)

    def _dataset(self, part: str, tokenizer: PreTrainedTokenizerFast) -> ReviewDataset:
        pad_token_id = int(tokenizer.pad_token_id)
        if part == "predict":
            return ReviewDataset(encode(tokenizer, self._texts(part), self.max_length), None, pad_token_id)
        self.parts[part] = self._cached(part, tokenizer)
        self._report(part)
        return ReviewDataset(self.parts[part].encoded, self.parts[part].labels, pad_token_id)

    def _cached(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        """The part as the token cache holds it; one that it does not hold is made and put there."""
        folder, made_from = self.cache_dir / "tokens", self._made_from(part, tokenizer)
        if made_from is None:
            return self._encode(part, tokenizer)
        found = load_part(folder, made_from)
        if found is not None:
            return found
        made = self._encode(part, tokenizer)
        try:
            store_part(folder, made_from, made)
        except OSError as error:
            self._use_cache = False  # one warning, not one a part
            log.warning(f"{folder}: tokens cannot be kept for the next run ({error.strerror}); this one goes on.")
        return made

    def _encode(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        rows, texts = self.rows[part], self._texts(part)
        sample = rows["text"].sample(min(len(rows), _UNKNOWN_SAMPLE), random_state=0)
        return EncodedPart(
            encoded=encode(tokenizer, texts, self.max_length),
            labels=rows["label"].to_numpy(np.int64),
            characters=np.fromiter(map(len, texts), dtype=np.int32, count=len(texts)),
            counts=self._counts[self._title(part)],
            unknown=unknown_warning(tokenizer, sample.tolist()),
        )

    # From files to rows: not run where the cache holds the tokens, unless someone asks for the text

    def _read_rows(self, part: str) -> dict[str, pd.DataFrame]:
        """Reads, cleans and splits what a part's file holds: train and dev together where they share one."""
        if part == "predict":
            return {part: self._predict()}
        values = [label.value for label in self.corpus.labels]
        source = self._source(part)
        raw = self._read(source)
        if self.corpus.test is None and source == self.corpus.train:
            kept, test = split_rows(raw[has_text(raw)], self.corpus.test_fraction, TEST_SEED, "test_fraction")
            raw = test if part == "test" else kept
        if part == "test":
            rows, counts = clean_test(raw, values, self.corpus.repair_quotes, source.file)
        else:
            rows, counts = clean_train(raw, values, self.corpus.repair_quotes)
        self._counts[self._title(part)] = counts
        if part == "test" or self.corpus.dev is not None:
            return {part: rows}
        fraction, seed = self.hparams["dev_fraction"], self.hparams["split_seed"]
        train, dev = split_rows(rows, fraction, seed, "data.dev_fraction")
        return {"train": train, "dev": dev}

    def _predict(self) -> pd.DataFrame:
        path = self.hparams["predict_path"]
        if path is None:
            raise UserError("predict needs texts: give --data.predict_path FILE, or - for standard input.")
        return read_texts(path, self.corpus.text_column, self.corpus.id_column)

    def _texts(self, part: str) -> list[str]:
        return [clean_text(text) for text in self.rows[part]["text"].fillna("")]

    # Loaders

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random batches, in an order that the seed and the epoch decide."""
        assert self.trainer is not None
        dataset, batch_size = self.data["train"], self.hparams["batch_size"]
        lengths = dataset.encoded.lengths
        packs = self.hparams["packed"] and getattr(self.trainer.lightning_module, "packed_rows", False)
        if self.hparams["packed"] and not packs:
            log.warning("packed rows: not for this model, batches of like length are padded instead")
        sampler = (StratifiedSampler if packs else LengthGroupedSampler)(
            lengths,
            batch_size,
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # where seed_everything leaves it for every process
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        packed = PackedReviews(dataset, row_shape(lengths, batch_size)) if packs else dataset
        return self._loader(packed, sampler)

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
            self.hparams["max_tokens"],
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return self._loader(dataset, sampler)

    def _loader(self, dataset: ReviewDataset | PackedReviews, sampler: TrainSampler | EvalSampler) -> DataLoader[Batch]:
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
            return [self._source("test")]
        return [self.corpus.train, *([self.corpus.dev] if self.corpus.dev else [])]

    def _source(self, part: str) -> Source:
        """The file that a part (train, dev or test) is read from."""
        own = {"train": None, "dev": self.corpus.dev, "test": self.corpus.test}[part]
        return own or self.corpus.train

    def _title(self, part: str) -> str:
        """What the cleaning of the part's file is reported under; train and dev share it where they share the file."""
        return f"{self.corpus.name}: {self._source(part).file}{' (test)' if part == 'test' else ''}"

    def _path(self, source: Source) -> Path:
        return fetch(source, self._directory, self.corpus.name, self.cache_dir)

    def _digest(self, path: Path) -> str:
        folders = [label.value for label in self.corpus.labels] if self.corpus.format == "folders" else []
        return file_digest(path, folders)

    def _read(self, source: Source) -> pd.DataFrame:
        path = self._path(source)
        rows = read_labelled(path, self.corpus)
        if path in self._digests and self._digest(path) != self._digests[path]:
            raise UserError(f"{path}: has changed since this run began to use it; start the run anew.")
        return rows

    def _made_from(self, part: str, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any] | None:
        """Everything that decides what a part's tokens are; None where the cache is not to be used."""
        path = self._path(self._source(part))
        if not self._use_cache:
            return None
        if path not in self._digests:
            try:
                self._digests[path] = self._digest(path)
            except OSError:  # read_labelled knows better what to say
                return None
        return {
            "part": part,
            "file_sha256": self._digests[path],
            "corpus": asdict(self.corpus),
            "tokenizer_sha256": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
            "max_length": self.max_length,
            "dev_fraction": self.hparams["dev_fraction"],
            "split_seed": self.hparams["split_seed"],
            "rules_sha256": rules_digest(),
        }

    def _make_tokenizer(self) -> PreTrainedTokenizerFast:
        name = self.hparams["tokenizer"]
        return load_tokenizer(name) if isinstance(name, str) else train_tokenizer(self.rows["train"]["text"], name)

    def _preflight(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Refuses what the trainer's model would compute wrongly, and warns of what is odd."""
        limits = getattr(self.trainer.lightning_module, "limits", None) if self.trainer else None
        if isinstance(limits, EncoderLimits):
            for warning in preflight(tokenizer, limits, self.max_length):
                log.warning(warning)

    def _report(self, part: str) -> None:
        """Logs what cleaning did to the part's file, and a warning about unknown tokens, once a file."""
        title = self._title(part)
        if title in self._reported:
            return
        self._reported.add(title)
        _log_counts(title, self.parts[part].counts)
        if unknown := self.parts[part].unknown:
            log.warning(unknown)


class _Rows(dict[str, pd.DataFrame]):
    """The rows of each part by its name, read when they are first asked for; ``in`` tells what has been read."""

    def __init__(self, read: Callable[[str], dict[str, pd.DataFrame]]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, part: str) -> pd.DataFrame:
        self.update(self._read(part))
        return self[part]


@rank_zero_only
def _log_counts(title: str, counts: dict[str, int]) -> None:
    width = max(len(rule) for rule in counts)
    lines = [f"  {rule:<{width}} {count:>9,}" for rule, count in counts.items()]
    log.info("\n".join([title, *lines]))
