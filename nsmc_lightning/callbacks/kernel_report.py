"""What a run on a CPU computes with, and whether another precision would be faster."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from nsmc_lightning.errors import report, warn
from nsmc_lightning.model.fast.kernels import bfloat16_speed
from nsmc_lightning.model.fast.states import has_known_layers

_WORTH_IT = 1.15  # times as fast


class KernelReport(Callback):
    """Print the encoder's kernels at the start of ``fit`` on a CPU, and compare bf16-mixed with float32."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.strategy.root_device.type != "cpu" or not trainer.is_global_zero:
            return
        encoder: Any = pl_module.encoder
        report(str(encoder.kernels))
        if trainer.precision not in ("32-true", "bf16-mixed") or not has_known_layers(encoder):
            return
        speed = bfloat16_speed(encoder)
        if trainer.precision == "32-true" and speed >= _WORTH_IT:
            report(f"--trainer.precision bf16-mixed would train about {speed:.1f} times as fast on this CPU")
        elif trainer.precision == "bf16-mixed" and speed < 1 / _WORTH_IT:
            warn(f"bf16-mixed trains about {1 / speed:.1f} times as slowly as float32 on this CPU: "
                 "give --trainer.precision 32-true")  # fmt: skip
