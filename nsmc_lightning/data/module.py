"""NSMCDataModule: from a corpus's files to batches, in order."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.batch import ReviewDataset, row_shape
from nsmc_lightning.data.cache import TokenCache, token_key
from nsmc_lightning.data.clean import clean_text, counts_table
from nsmc_lightning.data.corpus import NSMC, Corpus, OnBadRows
from nsmc_lightning.data.encode import EncodedPart, encode, encode_part
from nsmc_lightning.data.loader import build_eval_loaders, build_loader, build_train_sampler
from nsmc_lightning.data.perturb import NAMES, Perturbation, perturb
from nsmc_lightning.data.preflight import fitting_tokenizer
from nsmc_lightning.data.resume import Place, order_of, place_in
from nsmc_lightning.data.sampler import StratifiedSampler, TrainSampler
from nsmc_lightning.data.tokenizer import tokenizer_files
from nsmc_lightning.errors import UserError, report, warn
from nsmc_lightning.files import default_cache_dir
from nsmc_lightning.signature import checked_settings
from nsmc_lightning.types import Batch, EncoderLimits

_PARTS = {"fit": ["train", "dev"], "validate": ["dev"], "test": ["test"], "predict": ["predict"]}
_LIMITS_MISSING = "padded batches: give the data module limits=module.limits to pack rows"
_NOT_PACKABLE = "padded batches: this model does not take packed rows"


class NSMCDataModule(LightningDataModule):
    """Sentences of a corpus, NSMC by default, as batches of token ids.

    ``fit`` reads train and dev only; a corpus without a dev part gets one split off train. ``test`` reads test.

    Args:
        tokenizer: hub id or folder of a tokenizer, or a number: train a vocabulary of so many pieces on the training
            part. Follows ``model.backbone`` on the command line.
        corpus: the data set, as in ``configs/corpus``; None is NSMC.
        data_dir: folder of the corpus's files; None downloads or generates them in the cache.
        cache_dir: folder for downloads and tokens; None is ``$NSMC_LIGHTNING_CACHE`` or the user's cache folder.
        max_length: tokens a review is cut to, special tokens included.
        batch_size: reviews in a training batch, per device.
        max_tokens: token slots in a batch of validation, test and prediction, per device.
        packed: lay training reviews end to end in rows, which wastes little on padding; False pads batches of reviews
            of similar length, as for encoders that cannot take packed rows.
        dev_fraction: share of train that becomes dev if the corpus has no dev part.
        split_seed: seed of that split; separate from the run's seed, so that seeds can be compared on one split.
        num_workers: processes that build batches; 0 builds them in the main process, usually fast enough.
        predict_path: file to predict: txt (a text a line), tsv, csv, jsonl, parquet, or - for standard input.
        encoding: encoding of the file to predict; the corpus has its own.
        on_bad_rows: what to do with unreadable rows of the file to predict: error, or skip, which warns and writes them
            without a label.
        perturb: how test also measures its texts: without spaces or punctuation, with more laughter, typos or emoji, or
            in decomposed Hangul (nfd); all for each of these.
        limits: what the model's encoder accepts, ``module.limits``; without it batches are padded, and the encoder is
            not compared with the tokenizer. Follows the model on the command line.

    Raises:
        UserError: a value above is invalid, or a file is missing or broken.
    """

    @checked_settings("data")
    def __init__(
        self,
        tokenizer: str | int,
        corpus: Corpus | None = None,
        data_dir: str | None = None,
        cache_dir: str | None = None,
        max_length: PositiveInt = 128,
        batch_size: PositiveInt = 32,
        max_tokens: PositiveInt = 8192,
        packed: bool = True,
        dev_fraction: OpenUnitInterval = 0.1,
        split_seed: NonNegativeInt = 42,
        num_workers: NonNegativeInt = 0,
        predict_path: str | None = None,
        encoding: str = "utf-8",
        on_bad_rows: OnBadRows = "error",
        perturb: Literal["all", Perturbation] | None = None,
        limits: EncoderLimits | None = None,
    ) -> None:
        from nsmc_lightning.data.parts import Parts  # imports pandas, pyarrow and scikit-learn, which --help can spare

        super().__init__()
        # Plain types only, so that checkpoints load with weights_only=True; state_dict stores the corpus.
        self.save_hyperparameters(ignore=["corpus", "limits", "perturb"], logger=False)  # perturb: of one test only
        self.corpus = corpus or NSMC
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_length = max_length
        self.limits = limits
        self.perturbations: tuple[Perturbation, ...] = NAMES if perturb == "all" else (perturb,) if perturb else ()
        self.changed_texts: dict[str, int] = {}
        """How many test texts each perturbation changes, after cleaning."""
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.encoded: dict[str, EncodedPart] = {}
        self.datasets: dict[str, ReviewDataset] = {}
        folder = Path(data_dir) if data_dir is not None else None
        self.parts = Parts(
            self.corpus, folder, self.cache_dir, dev_fraction, split_seed, predict_path, encoding, on_bad_rows
        )
        # To train a vocabulary the texts are read anyway.
        self._cache = TokenCache(self.cache_dir / "tokens") if isinstance(tokenizer, str) else None
        self._reported: set[str] = set()
        self._files: dict[str, str] = {}
        self._place = Place()
        self._order: dict[str, Any] | None = None

    # From files to tokens

    def prepare_data(self) -> None:
        """Fetch the files that the trainer's command needs; Lightning calls it in one process per machine."""
        assert self.trainer is not None
        assert self.trainer.state.fn is not None
        for part in _PARTS[self.trainer.state.fn]:
            if part != "predict":
                self.parts.path(part)

    def setup(self, stage: str) -> None:
        """Load the tokenizer and encode the parts that ``stage`` (fit, validate, test or predict) needs, once."""
        processes = self.trainer.world_size if self.trainer is not None else 1
        if stage == "predict" and self.parts.predict_path == "-" and processes > 1:
            raise UserError(
                f"data.predict_path -: {processes} processes cannot share standard input; give a file, or "
                "--trainer.devices 1."
            )
        if self.tokenizer is None:
            name, limits = self.hparams["tokenizer"], self.limits
            self.tokenizer = fitting_tokenizer(name, lambda: self.parts.rows("train")["text"], self.max_length, limits)
        for part in _PARTS[stage]:
            if part not in self.datasets:
                self.datasets[part] = self._dataset(part, self.tokenizer)
        for name in self.perturbations if stage == "test" else ():
            if name not in self.datasets:
                self.datasets[name] = self._perturbed(name, self.tokenizer)

    def _dataset(self, part: str, tokenizer: PreTrainedTokenizerFast) -> ReviewDataset:
        pad_token_id = int(tokenizer.pad_token_id)
        if part == "predict":
            texts = [clean_text(text) for text in self.parts.rows(part)["text"].fillna("")]
            return ReviewDataset(encode(tokenizer, texts, self.max_length), None, pad_token_id)
        self.parts.refuse_other_rows(part)
        self.encoded[part] = encoded = self._encoded(part, tokenizer)
        self._report(part)
        return ReviewDataset(encoded.reviews, encoded.labels, pad_token_id)

    def _perturbed(self, name: Perturbation, tokenizer: PreTrainedTokenizerFast) -> ReviewDataset:
        """The test part as its texts would come with this perturbation: cleaned after it."""
        texts = self.parts.rows("test")["text"].tolist()
        perturbed = [clean_text(text) for text in perturb(texts, name)]
        self.changed_texts[name] = sum(new != text for new, text in zip(perturbed, texts, strict=True))
        labels = self.datasets["test"].labels
        return ReviewDataset(encode(tokenizer, perturbed, self.max_length), labels, int(tokenizer.pad_token_id))

    def _encoded(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        def make() -> EncodedPart:
            rows = self.parts.rows(part)
            labels = rows["label"].to_numpy(np.int64)
            return encode_part(tokenizer, rows["text"], labels, self.parts.counts[part], self.max_length)

        if self._cache is None:
            return make()
        return self._cache.load_or_make(token_key(self.parts.key(part), tokenizer, self.max_length), make)

    def _report(self, part: str) -> None:
        """Log what cleaning did to a part's file, once for parts that share a file, and warn of unknown tokens."""
        title = f"{self.corpus.name}: {self.parts.source(part).file}{' (test)' if part == 'test' else ''}"
        if title not in self._reported:
            self._reported.add(title)
            report(f"{title}\n{counts_table(self.encoded[part].counts)}")
            if unknown := self.encoded[part].unknown:
                warn(unknown)

    def label_counts(self) -> dict[str, int]:
        """Return the training rows of each class: see :class:`~nsmc_lightning.types.CountsLabels`."""
        counts = np.bincount(self.encoded["train"].labels, minlength=self.corpus.num_labels)
        return dict(zip(self.corpus.label_names, counts.tolist(), strict=True))

    # From tokens to batches

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return random batches, in an order that depends on the seed and the epoch."""
        dataset, sampler = self.datasets["train"], self._train_sampler()
        self._order = order_of(sampler, self.max_length)
        sampler.resume_at(self._place.epoch, None if self._place.complete else self._place.batches)
        if isinstance(sampler, StratifiedSampler):
            shape = row_shape(sampler.lengths, sampler.reviews_per_batch)
            dataset = ReviewDataset(dataset.encoded, dataset.labels, dataset.pad_token_id, shape)
        elif self.hparams["packed"]:
            warn(_LIMITS_MISSING if self.limits is None else _NOT_PACKABLE)
        return build_loader(dataset, sampler, self.hparams["num_workers"])

    def _train_sampler(self) -> TrainSampler:
        assert self.trainer is not None
        packs = self.hparams["packed"] and self.limits is not None and self.limits.packs_rows
        lengths = self.datasets["train"].encoded.lengths
        return build_train_sampler(lengths, self.hparams["batch_size"], packs, self.trainer)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the dev part, every review once."""
        return self._eval_loaders("dev")[0]

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the test part, every review once; with ``perturb``, that and its perturbed texts."""
        loaders = self._eval_loaders("test", *self.perturbations)
        return loaders if self.perturbations else loaders[0]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the texts of ``predict_path``, every text once."""
        return self._eval_loaders("predict")[0]

    def _eval_loaders(self, *names: str) -> list[DataLoader[Batch]]:
        assert self.trainer is not None
        datasets = [self.datasets[name] for name in names]
        return build_eval_loaders(datasets, self.hparams["max_tokens"], self.hparams["num_workers"], self.trainer)

    # Checkpoints and the run's record

    def checksums(self) -> dict[str, str]:
        """Return the sha256 of the corpus's files in use, by name."""
        return {self.parts.source(part).file: self.parts.sha256(part) for part in self.encoded}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs of the data, as plain types: corpus, settings, checksums, tokenizer, order."""
        if self.tokenizer is None:
            return {}
        settings = {key: value for key, value in self.hparams.items() if key != "tokenizer" and key[0] != "_"}
        for key in ("data_dir", "cache_dir"):  # the checkpoint may be used from another folder
            settings[key] = os.path.abspath(settings[key]) if settings[key] is not None else None
        self._files = self._files or tokenizer_files(self.tokenizer)  # slow for 250,000 pieces: once a run
        return {
            "corpus": asdict(self.corpus),
            "settings": settings,
            "sha256": self.checksums(),
            "tokenizer_files": self._files,
            "order": self._order,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Find the place in the epoch at which ``fit`` resumes; the rest of the state is for ``Checkpoint``.

        Raises:
            UserError: the place is within an epoch, and this run would take its reviews in another order.
        """
        if self.trainer is None or self.trainer.state.fn != "fit":
            return
        stored = state_dict.get("order") or {"reviews": state_dict["position"][2]}  # position: early versions
        self._place = place_in(self.trainer, self._train_sampler(), self.max_length, stored)
