"""EncoderModule: how an encoder with a head is trained, whatever its task."""

import math
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from nsmc_lightning.errors import UserError
from nsmc_lightning.model.fast.kernels import KERNELS, Kernels, choose_kernels, stored_kernels, use_kernels
from nsmc_lightning.model.fast.memory import keep_freed_memory
from nsmc_lightning.model.optim import parameter_groups, remaining_steps, replan, resolve_warmup, warmup_schedule
from nsmc_lightning.model.step_mean import StepMean
from nsmc_lightning.model.stored import ENCODER_CONFIG, config_text


class EncoderModule(LightningModule):
    """Kernels, optimizer, learning rates and checkpoints of a module with an ``encoder`` and a ``head``.

    Its hyper-parameters are those of :class:`~nsmc_lightning.model.module.BertClassifierModule`, of which
    ``layer_decay`` may be missing.
    """

    encoder: Any
    head: Any

    def __init__(self) -> None:
        super().__init__()
        self.step_mean = StepMean()

    def setup(self, stage: str) -> None:
        """On a CPU, choose the encoder's kernels, the same in all processes, and keep the memory that a step frees."""
        if self.trainer.strategy.root_device.type != "cpu":
            return
        keep_freed_memory()
        use_kernels(self.encoder, self.trainer.strategy.broadcast(self._choose_kernels()))

    def _choose_kernels(self) -> Kernels:
        """Choose in the first process, whose choice is that of all."""
        if not self.trainer.is_global_zero:
            return Kernels()
        dtype = torch.bfloat16 if "bf16" in str(self.trainer.precision) else torch.float32
        return choose_kernels(self.encoder, dtype)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Make the gradient of several batches the mean over their texts, before it is clipped."""
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        self.step_mean.correct(
            parameters,
            self.trainer.accumulate_grad_batches,
            lambda weight: self.trainer.strategy.reduce(weight.clone(), reduce_op="mean"),
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build AdamW (Loshchilov and Hutter 2019) and a learning rate that warms up and changes with each step.

        Raises:
            UserError: training has no known end, or the encoder has no layers for ``layer_decay``.
        """
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise UserError("training has no known end to plan the learning rate for: give --trainer.max_steps or "
                            "--trainer.max_epochs.")  # fmt: skip
        lr, weight_decay = self.hparams["lr"], self.hparams["weight_decay"]
        groups = parameter_groups(self.encoder, self.head, lr, weight_decay, self.hparams.get("layer_decay", 1.0))
        optimizer = torch.optim.AdamW(groups, lr=lr, fused=True)
        # Lightning 2.6 refuses to clip gradients in mixed precision if the optimizer unscales them itself, as a fused
        # one does by this private attribute of torch 2.13. Without it, the trainer unscales them before it clips.
        optimizer._step_supports_amp_scaling = False
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._plan(optimizer, int(steps)), "interval": "step"},
        }

    def _plan(self, optimizer: Optimizer, total_steps: int) -> LambdaLR:
        warmup = resolve_warmup(self.hparams["warmup_ratio"], self.hparams["warmup_steps"], total_steps)
        return warmup_schedule(optimizer, self.hparams["schedule"], warmup, total_steps)

    def on_train_start(self) -> None:
        """Plan a resumed run's learning rates over all of its steps, past and future.

        Its settings may differ from those of the checkpoint's plan: more epochs, fewer batches.
        """
        self.step_mean.reset()
        if self.trainer.global_step > 0:
            scheduler: Any = self.lr_schedulers()
            steps = self.trainer.global_step + remaining_steps(self.trainer)
            replan(scheduler, self._plan(scheduler.optimizer, steps))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the encoder's ``config.json``, with which the weights load without the backbone, and its kernels."""
        checkpoint[ENCODER_CONFIG] = config_text(self.encoder.config)
        if self.device.type == "cpu":
            checkpoint[KERNELS] = asdict(self.encoder.kernels)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the kernels of a run in the same precision: with others a resumed run would round otherwise."""
        current: Kernels = self.encoder.kernels
        use_kernels(self.encoder, stored_kernels(checkpoint, current.dtype) or current)
