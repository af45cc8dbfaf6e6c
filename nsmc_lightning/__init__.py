"""Fine-tune BERT-family encoders on Korean sentences, NSMC first, with PyTorch Lightning."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsmc_lightning.data.corpus import Corpus, Label, Source
    from nsmc_lightning.data.module import NSMCDataModule
    from nsmc_lightning.model.module import BertClassifierModule

__version__ = "0.1.0"

_HOMES = {
    "NSMCDataModule": "nsmc_lightning.data.module",
    "BertClassifierModule": "nsmc_lightning.model.module",
    "Corpus": "nsmc_lightning.data.corpus",
    "Label": "nsmc_lightning.data.corpus",
    "Source": "nsmc_lightning.data.corpus",
}
__all__ = ["BertClassifierModule", "Corpus", "Label", "NSMCDataModule", "Source"]


def __getattr__(name: str) -> object:
    # Public names are imported when first used: importing torch and lightning takes seconds.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
