"""What a run on a CPU computes with, and whether another precision would be faster."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.errors import report, warn
from nsmc_lightning.model.fast.kernels import bfloat16_speed

_WORTH_IT = 1.15  # times as fast


class KernelReport(Callback):
    """Print the encoder's kernels at the start of ``fit`` on a CPU, and compare bf16-mixed with float32 there."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not _is_first_on_cpu(trainer):
            return
        encoder: Any = pl_module.encoder
        report(str(encoder.kernels))
        if trainer.precision == "32-true" and (speed := bfloat16_speed(encoder)) >= _WORTH_IT:
            report(f"--trainer.precision bf16-mixed would train about {speed:.1f} times as fast on this CPU")
        self.on_test_start(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of bf16-mixed on a CPU that has no fast bfloat16 products."""
        encoder: Any = pl_module.encoder
        if not _is_first_on_cpu(trainer) or trainer.precision != "bf16-mixed":
            return
        slower = 1 / bfloat16_speed(encoder)
        if slower > _WORTH_IT:
            warn(f"bf16-mixed is about {slower:.1f} times as slow as float32 here: give --trainer.precision 32-true")

    on_predict_start = on_test_start


def _is_first_on_cpu(trainer: Trainer) -> bool:
    return trainer.is_global_zero and trainer.strategy.root_device.type == "cpu"
