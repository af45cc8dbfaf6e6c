"""pretrain: train an encoder on raw texts by hiding tokens."""

import os
from typing import ClassVar

from jsonargparse import Namespace

from nsmc_lightning.checkpoint import PretrainingCheckpoint
from nsmc_lightning.commands.lightning_cli import EncoderCLI
from nsmc_lightning.commands.settings import refuse_plan_faults
from nsmc_lightning.commands.trainer import Run, pretraining_run
from nsmc_lightning.data.raw_module import RawTextDataModule, no_corpus
from nsmc_lightning.errors import UserError
from nsmc_lightning.model.mlm_module import MaskedLanguageModule
from nsmc_lightning.run.record import Source


class PretrainCLI(EncoderCLI):
    """Pretrain an encoder."""

    model_type, data_type, checkpoint_type = MaskedLanguageModule, RawTextDataModule, PretrainingCheckpoint
    links: ClassVar[dict[str, str]] = {"data.tokenizer": "model.backbone", "data.limits": "model"}

    def no_backbone(self) -> UserError:
        return UserError(
            "model.backbone is missing: give it the hub id or the folder of an encoder, such as one that trim wrote."
        )

    def settle(self, config: Namespace) -> None:
        refuse_plan_faults(config)
        if config.data.corpus is None:
            raise no_corpus()
        corpus = config.data.corpus.get("init_args", config.data.corpus)  # the parser wraps an optional dataclass
        if corpus.url is None and config.data.data_dir is None:  # a checkpoint may be used from another folder
            corpus.file = os.path.abspath(corpus.file)
        rated = corpus.rating_column is not None
        if config.model.rating_weight > 0 and not rated:
            raise UserError(
                f"model.rating_weight {config.model.rating_weight}: the texts have no ratings; give "
                "--data.corpus.rating_column with the column's name, or leave it out."
            )
        if self.checkpoint is not None:
            self.checkpoint.refuse_plan(config.trainer.max_epochs, config.trainer.max_steps)

    def build_run(self, config: Namespace, source: Source) -> Run:
        return pretraining_run(config, source)
