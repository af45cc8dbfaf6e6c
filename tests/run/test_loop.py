"""The insides of Lightning are where run/loop.py looks for them."""

import signal
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from nsmc_lightning.run.loop import remove_signal_handlers

pytestmark = pytest.mark.filterwarnings("ignore")


class Handlers(Callback):
    """Keeps the handler of SIGTERM during training."""

    sigterm: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sigterm = signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("removed", [False, True])
def test_a_trainer_without_handlers_leaves_signals_alone(removed: bool) -> None:
    before = signal.getsignal(signal.SIGTERM)
    handlers = Handlers()
    trainer = Trainer(accelerator="cpu", fast_dev_run=True, callbacks=[handlers], enable_progress_bar=False)
    if removed:
        remove_signal_handlers(trainer)
    trainer.fit(BoringModel())
    assert (handlers.sigterm == before) == removed
