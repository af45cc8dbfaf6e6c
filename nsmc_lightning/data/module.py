"""The way of the data, in order: rows, tokenizer, encode or cache, batch."""

import hashlib
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from nsmc_lightning.data.batch import ReviewDataset, row_shape
from nsmc_lightning.data.cache import load_part, rules_digest, store_part
from nsmc_lightning.data.clean import clean_text
from nsmc_lightning.data.corpus import NSMC, Corpus, OnBadRows
from nsmc_lightning.data.demo.grammar import write_demo
from nsmc_lightning.data.download import default_cache_dir
from nsmc_lightning.data.encode import EncodedPart, encode, encode_part
from nsmc_lightning.data.loader import build_loader
from nsmc_lightning.data.preflight import check_limits, check_tokenizer
from nsmc_lightning.data.resume import Place, order_of, refuse_another_order, settle
from nsmc_lightning.data.sampler import EvalSampler, LengthGroupedSampler, StratifiedSampler, TrainSampler
from nsmc_lightning.data.tokenizer import load_tokenizer, tokenizer_files, train_tokenizer
from nsmc_lightning.errors import UserError
from nsmc_lightning.types import Batch, EncoderLimits

log = logging.getLogger(__name__)


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
        packed: lay training reviews end to end in rows, so that little is computed on padding; False pads batches of
            like length, as is done for encoders that cannot take packed rows.
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
        max_tokens: int = 8192,
        packed: bool = True,
        dev_fraction: float = 0.1,
        split_seed: int = 42,
        num_workers: int = 0,
        predict_path: str | None = None,
        encoding: str = "utf-8",
        on_bad_rows: OnBadRows = "error",
    ) -> None:
        from nsmc_lightning.data.parts import Parts  # pandas, pyarrow and scikit-learn: --help waits for none of them

        super().__init__()
        # Plain types only, so that checkpoints load with weights_only=True; the corpus travels in state_dict.
        self.save_hyperparameters(ignore=["corpus"], logger=False)
        least = {"batch_size": (batch_size, 1), "max_tokens": (max_tokens, 1), "num_workers": (num_workers, 0)}
        for name, (value, minimum) in least.items():
            if value < minimum:
                raise UserError(f"data.{name} is {value}: give at least {minimum}.")
        self.corpus = corpus or NSMC
        self.data_dir = Path(data_dir) if data_dir is not None else None
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_length = max_length
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self.encoded: dict[str, EncodedPart] = {}
        self.data: dict[str, ReviewDataset] = {}
        self.parts = Parts(
            self.corpus,
            self.cache_dir / "demo" if self.corpus.generate == "demo" else self.data_dir,
            self.cache_dir,
            dev_fraction,
            split_seed,
            predict_path,
            encoding,
            on_bad_rows,
        )
        self._use_cache = isinstance(tokenizer, str)  # a vocabulary is trained on the texts: they are read anyway
        self._reported: set[str] = set()
        self._checksums: dict[str, str] = {}
        self._place = Place()
        self._order: dict[str, Any] | None = None

    # The parts, from files to batches

    def prepare_data(self) -> None:
        """Fetches the files of the command at hand; runs in one process a machine."""
        assert self.trainer is not None
        if self.corpus.generate == "demo":
            write_demo(self.cache_dir / "demo")
        command = self.trainer.state.fn
        for part in () if command == "predict" else ("test",) if command == "test" else ("train", "dev"):
            self.parts.path(part)

    def setup(self, stage: str) -> None:
        """Makes what ``stage`` (fit, validate, test or predict) needs, once; cached parts without reading text."""
        if self.tokenizer is None:
            self.tokenizer = self._make_tokenizer()
            self._preflight(self.tokenizer)
        needed = {"fit": ("train", "dev"), "validate": ("dev",), "test": ("test",), "predict": ("predict",)}[stage]
        for part in needed:
            if part not in self.data:
                self.data[part] = self._dataset(part, self.tokenizer)

    def _make_tokenizer(self) -> PreTrainedTokenizerFast:
        name = self.hparams["tokenizer"]
        return (
            load_tokenizer(name) if isinstance(name, str) else train_tokenizer(self.parts.rows("train")["text"], name)
        )

    def _preflight(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Refuses what the trainer's model would compute wrongly, and warns of what is odd."""
        limits = getattr(self.trainer.lightning_module, "limits", None) if self.trainer else None
        check_tokenizer(tokenizer, self.max_length)
        if isinstance(limits, EncoderLimits) and (warning := check_limits(tokenizer, limits, self.max_length)):
            log.warning(warning)

    def _dataset(self, part: str, tokenizer: PreTrainedTokenizerFast) -> ReviewDataset:
        pad_token_id = int(tokenizer.pad_token_id)
        if part == "predict":
            texts = [clean_text(text) for text in self.parts.rows(part)["text"].fillna("")]
            return ReviewDataset(encode(tokenizer, texts, self.max_length), None, pad_token_id)
        self.encoded[part] = kept = self._cached(part, tokenizer)
        self.parts.refuse_other_rows(part)
        self._checksums[self.parts.source(part).file] = self.parts.made_from(part)["sha256"]
        self._report(part)
        return ReviewDataset(kept.encoded, kept.labels, pad_token_id)

    def _cached(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        """The part as the token cache has it; one that it has not is made, and kept there."""
        made_from = self._made_from(part, tokenizer)
        if made_from is None:
            return self._encode(part, tokenizer)
        folder = self.cache_dir / "tokens"
        found = load_part(folder, made_from)
        if found is not None:
            return found
        made = self._encode(part, tokenizer)
        try:
            store_part(folder, made_from, made)
        except OSError as error:
            self._use_cache = False  # one warning, not one a part
            log.warning(f"{folder}: tokens cannot be kept for the next run ({error.strerror}); this run goes on.")
        return made

    def _made_from(self, part: str, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any] | None:
        """All that decides what a part's tokens are; None where the cache is not used."""
        if not self._use_cache:
            return None
        try:
            rows = self.parts.made_from(part)
        except OSError:  # a folder in place of a file, or no right to read it: reading says so better
            return None
        fingerprint = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        return {"rows": rows, "tokenizer": fingerprint, "max_length": self.max_length, "rules": rules_digest()}

    def _encode(self, part: str, tokenizer: PreTrainedTokenizerFast) -> EncodedPart:
        rows = self.parts.rows(part)
        return encode_part(tokenizer, rows, self.parts.counts[part], self.max_length)

    def _report(self, part: str) -> None:
        """Logs what cleaning did to a part's file and a warning about unknown tokens, once where parts share a file."""
        file = self.parts.source(part).file
        title = f"{self.corpus.name}: {file}" + (" (test)" if part == "test" else "")
        if title in self._reported:
            return
        self._reported.add(title)
        _log_counts(title, self.encoded[part].counts)
        if unknown := self.encoded[part].unknown:
            log.warning(unknown)

    # Loaders

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random batches, in an order that the seed and the epoch decide."""
        dataset, sampler = self.data["train"], self._train_sampler()
        packs = isinstance(sampler, StratifiedSampler)
        if self.hparams["packed"] and not packs:
            log.warning("packed rows: not for this model, batches of like length are padded instead")
        self._order = order_of(sampler, self.max_length)
        sampler.go_on(self._place.epoch, None if self._place.complete else self._place.batches)
        if packs:
            shape = row_shape(sampler.lengths, sampler.reviews_per_batch)
            dataset = ReviewDataset(dataset.encoded, dataset.labels, dataset.pad_token_id, shape)
        return build_loader(dataset, sampler, self.hparams["num_workers"])

    def _train_sampler(self) -> TrainSampler:
        assert self.trainer is not None
        packs = self.hparams["packed"] and getattr(self.trainer.lightning_module, "packed_rows", False)
        return (StratifiedSampler if packs else LengthGroupedSampler)(
            self.data["train"].encoded.lengths,
            self.hparams["batch_size"],
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")),  # where seed_everything leaves it for every process
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

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
        return build_loader(dataset, sampler, self.hparams["num_workers"])

    # What stands in a checkpoint and in a run's record

    def checksums(self) -> dict[str, str]:
        """sha256 of the corpus's files that are in use, by name."""
        return dict(self._checksums)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs of the data, as plain types: tokenizer, corpus, settings, checksums, order."""
        if self.tokenizer is None:
            return {}
        files = tokenizer_files(self.tokenizer)
        settings = {key: value for key, value in self.hparams.items() if key != "tokenizer" and key[0] != "_"}
        for key in ("data_dir", "cache_dir"):  # the checkpoint may be used from another folder
            settings[key] = os.path.abspath(settings[key]) if settings[key] is not None else None
        return {
            "corpus": asdict(self.corpus),
            "settings": settings,
            "sha256": self.checksums(),
            "tokenizer_files": files,
            "tokenizer_sha256": hashlib.sha256(files["tokenizer.json"].encode()).hexdigest(),
            "order": self._order,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Finds the place in the epoch where ``fit`` resumes; the rest is for who builds the module.

        Raises:
            UserError: it is within an epoch whose reviews this run would take in another order.
        """
        if self.trainer is None or self.trainer.state.fn != "fit":
            return
        sampler = self._train_sampler()
        # Nothing public gives the loops' state this early: Lightning restores its loops from it only later.
        loop = self.trainer._checkpoint_connector._loaded_checkpoint["loops"]["fit_loop"]
        self._place = settle(loop, _limited(len(sampler), self.trainer.limit_train_batches))
        if self._place.batches and not self._place.complete:
            stored = state_dict.get("order") or {"reviews": state_dict["position"][2]}  # as early versions wrote it
            refuse_another_order(stored, order_of(sampler, self.max_length))


def _limited(batches: int, limit: int | float | None) -> int:
    """How many of an epoch's batches Lightning trains on."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * (1.0 if limit is None else limit))


@rank_zero_only
def _log_counts(title: str, counts: dict[str, int]) -> None:
    width = max(len(rule) for rule in counts)
    lines = [f"  {rule:<{width}} {count:>9,}" for rule, count in counts.items()]
    log.info("\n".join([title, *lines]))
