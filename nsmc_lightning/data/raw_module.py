"""RawTextDataModule: from raw texts to masked batches, in order."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.batch import row_shape
from nsmc_lightning.data.cache import TokenCache, token_key
from nsmc_lightning.data.clean import counts_table
from nsmc_lightning.data.corpus import Corpus
from nsmc_lightning.data.encode import EncodedPart, encode_part
from nsmc_lightning.data.loader import build_loader, build_train_sampler
from nsmc_lightning.data.masked_batch import MaskedDataset, WithEpoch
from nsmc_lightning.data.masking import Masking
from nsmc_lightning.data.preflight import fitting_tokenizer
from nsmc_lightning.data.raw_corpus import RawCorpus, raw_path
from nsmc_lightning.data.resume import Place, order_of, place_in
from nsmc_lightning.data.sampler import EvalSampler, StratifiedSampler, TrainSampler
from nsmc_lightning.data.tokenizer import tokenizer_files
from nsmc_lightning.errors import UserError, report, warn
from nsmc_lightning.files import default_cache_dir
from nsmc_lightning.signature import checked_settings
from nsmc_lightning.types import EncoderLimits, MaskedBatch

_PARTS = ("train", "dev")


class RawTextDataModule(LightningDataModule):
    """Raw texts as batches of token ids, of which some are hidden: whole eojeols, others in each epoch.

    Args:
        tokenizer: hub id or folder of a tokenizer, or a number: train a vocabulary of so many pieces on the texts.
            Follows ``model.backbone`` on the command line.
        corpus: the texts: their file and its columns.
        exclude: a corpus with labels whose test and dev part are left out of the texts, so that an encoder can be
            measured on them later.
        data_dir: folder of all files; None downloads them to the cache.
        cache_dir: folder for downloads and tokens; None is ``$NSMC_LIGHTNING_CACHE`` or the user's cache folder.
        max_length: tokens a text is cut to, special tokens included.
        batch_size: texts in a training batch, per device.
        max_tokens: token slots in a batch of validation, per device.
        packed: lay training texts end to end in rows; False pads batches of texts of similar length.
        mask_rate: share of the eojeols that are hidden.
        val_texts: number of texts held out for validation.
        dev_fraction: share of ``exclude``'s train that is its dev part, as ``fit`` will be given.
        split_seed: seed of that split, as ``fit`` will be given.
        num_workers: processes that build batches; 0 builds them in the main process.
        limits: what the model's encoder accepts, ``module.limits``. Follows the model on the command line.

    Raises:
        UserError: a value above is invalid, or a file is missing or broken.
    """

    @checked_settings("data")
    def __init__(
        self,
        tokenizer: str | int,
        corpus: RawCorpus | None = None,
        exclude: Corpus | None = None,
        data_dir: str | None = None,
        cache_dir: str | None = None,
        max_length: PositiveInt = 128,
        batch_size: PositiveInt = 64,
        max_tokens: PositiveInt = 4096,
        packed: bool = True,
        mask_rate: OpenUnitInterval = 0.25,
        val_texts: PositiveInt = 5000,
        dev_fraction: OpenUnitInterval = 0.1,
        split_seed: NonNegativeInt = 42,
        num_workers: NonNegativeInt = 0,
        limits: EncoderLimits | None = None,
    ) -> None:
        from nsmc_lightning.data.parts import Parts  # imports pandas, pyarrow and scikit-learn, which --help can spare
        from nsmc_lightning.data.raw_texts import RawTexts

        super().__init__()
        if corpus is None:
            raise no_corpus()
        self.save_hyperparameters(ignore=["corpus", "exclude", "limits"], logger=False)
        self.corpus = corpus
        self.max_length = max_length
        self.limits = limits
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.encoded: dict[str, EncodedPart] = {}
        cache = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        folder = Path(data_dir) if data_dir is not None else None
        excluded = None
        if exclude is not None:
            excluded = Parts(exclude, folder, cache, dev_fraction, split_seed, None, "utf-8", "error")
        self.parts = RawTexts(lambda: raw_path(corpus, folder, cache), corpus, excluded, val_texts)
        # To train a vocabulary the texts are read anyway.
        self._cache = TokenCache(cache / "tokens") if isinstance(tokenizer, str) else None
        self._files: dict[str, str] = {}
        self._place = Place()
        self._order: dict[str, Any] | None = None

    # From files to tokens

    def prepare_data(self) -> None:
        """Fetch the files; Lightning calls it in one process per machine."""
        self.parts.path()

    def setup(self, stage: str) -> None:
        """Load the tokenizer and encode the texts, once."""
        if self.tokenizer is None:
            self.tokenizer = self._load_tokenizer()
            self.encoded = {part: self._encoded(part, self.tokenizer) for part in _PARTS}
            report(f"{self.corpus.name}: {self.corpus.file}\n{counts_table(self.encoded['train'].counts)}")
            if unknown := self.encoded["train"].unknown:
                warn(unknown)

    def _load_tokenizer(self) -> PreTrainedTokenizerFast:
        name, limits = self.hparams["tokenizer"], self.limits
        tokenizer = fitting_tokenizer(name, lambda: self.parts.rows("train")["text"], self.max_length, limits)
        if tokenizer.mask_token_id is None:
            raise UserError("the tokenizer has no mask_token: give an encoder that was trained by hiding tokens.")
        return tokenizer

    def _encoded(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        def make() -> EncodedPart:
            rows = self.parts.rows(part)
            ratings = rows["rating"].to_numpy(np.float32)
            return encode_part(tokenizer, rows["text"], ratings, self.parts.counts, self.max_length, with_eojeols=True)

        if self._cache is None:
            return make()
        return self._cache.load_or_make(token_key(self.parts.key(part), tokenizer, self.max_length), make)

    # From tokens to batches

    def train_dataloader(self) -> DataLoader[MaskedBatch]:
        """Return random batches, in an order and with hidden tokens that depend on the seed and the epoch."""
        sampler = self._train_sampler()
        self._order = order_of(sampler, self.max_length)
        sampler.resume_at(self._place.epoch, None if self._place.complete else self._place.batches)
        packs = isinstance(sampler, StratifiedSampler)
        shape = row_shape(sampler.lengths, sampler.reviews_per_batch) if packs else None
        return build_loader(self._dataset("train", shape), WithEpoch(sampler), self.hparams["num_workers"])

    def val_dataloader(self) -> DataLoader[MaskedBatch]:
        """Return the texts held out, every one once, always with the same tokens hidden."""
        assert self.trainer is not None
        lengths, world_size = self.encoded["dev"].reviews.lengths, self.trainer.world_size
        if len(lengths) < world_size:
            raise UserError(f"data.val_texts: {len(lengths)} texts for {world_size} processes: give more.")
        sampler = EvalSampler(lengths, self.hparams["max_tokens"], self.trainer.global_rank, world_size)
        return build_loader(self._dataset("dev"), WithEpoch(sampler), self.hparams["num_workers"])

    def _train_sampler(self) -> TrainSampler:
        assert self.trainer is not None
        packs = self.hparams["packed"] and self.limits is not None and self.limits.packs_rows
        lengths = self.encoded["train"].reviews.lengths
        return build_train_sampler(lengths, self.hparams["batch_size"], packs, self.trainer)

    def _dataset(self, part: str, shape: tuple[int, int] | None = None) -> MaskedDataset:
        assert self.tokenizer is not None
        encoded, has_ratings = self.encoded[part], self.corpus.rating_column is not None
        ratings = encoded.labels if has_ratings else None
        return MaskedDataset(encoded.reviews, ratings, int(self.tokenizer.pad_token_id), self._masking(), shape)

    def _masking(self) -> Masking:
        tokenizer: Any = self.tokenizer
        others = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        return Masking(self.hparams["mask_rate"], tokenizer.mask_token_id, others, seed)

    # Checkpoints and the run's record

    def checksums(self) -> dict[str, str]:
        """Return the sha256 of the files in use, by name."""
        parts = self.parts.exclude
        excluded = {} if parts is None else {parts.source(part).file: parts.sha256(part) for part in ("dev", "test")}
        return {self.corpus.file: self.parts.sha256(), **excluded}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs of the data, as plain types: corpus, checksums, tokenizer, order."""
        if self.tokenizer is None:
            return {}
        self._files = self._files or tokenizer_files(self.tokenizer)  # slow for 250,000 pieces: once a run
        return {
            "corpus": asdict(self.corpus),
            "sha256": self.checksums(),
            "tokenizer_files": self._files,
            "order": self._order,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Find the place in the epoch at which training resumes.

        Raises:
            UserError: the place is within an epoch, and this run would take its texts in another order.
        """
        assert self.trainer is not None
        self._place = place_in(self.trainer, self._train_sampler(), self.max_length, state_dict["order"])


def no_corpus() -> UserError:
    """Return the error for a missing corpus."""
    return UserError(
        "data.corpus is missing: give a recipe, --config configs/pretrain_nsmc.yaml, or --data.corpus.file FILE."
    )
