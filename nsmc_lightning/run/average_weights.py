"""A moving average of the weights, which validations measure and checkpoints hold."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nsmc_lightning.errors import UserError
from nsmc_lightning.signature import Probability, checked_settings

TRAINED = "current_model_state"
"""The checkpoint's key of the weights that training continues from, as Lightning's WeightAveraging names it."""


class AverageWeights(Callback):
    """Average the weights over the steps of training, and use the average outside of the training batches.

    After optimizer step t = 1, 2, … with the weights w, the average a becomes ``d · a + (1 - d) · w`` with
    ``d = min(decay, (1 + t) / (10 + t))``, as in TensorFlow's ``tf.train.ExponentialMovingAverage``. With a constant
    decay of 0.999, a run of 1,000 steps would end with an average that consists of its initial weights by a third; with
    this one, the average reaches back over a tenth of the steps so far, or over ``1 / (1 - decay)`` if that is less.

    Lightning's WeightAveraging averages a copy of the whole module. Its checkpoints hold that copy's state, without the
    metrics of an epoch's batches so far; one written during a validation mixes up the average and the weights; and
    one of weights alone holds no average. Here, the tensors of the parameters are exchanged, so that the module holds
    the average between training batches and after ``fit``, whatever reads it then; metrics and buffers stay.

    Args:
        decay: largest share of the average that a step keeps, such as 0.999; 0 for no average.
    """

    @checked_settings("averaging")
    def __init__(self, decay: Probability = 0.0) -> None:
        self.decay = decay
        self._others: dict[nn.Parameter, Tensor] = {}  # the average or the trained weights: what the module lacks
        self._has_average = True  # whether the module has the average, and _others the trained weights
        self._updates = 0
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the average of an earlier ``fit``."""
        if stage == "fit":
            self._others, self._has_average, self._updates = {}, True, 0

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates} if self._updates else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._others:  # the average that was updated so often; without decay, there is none
            self._updates = state_dict["updates"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the trained weights of a run that resumes; Lightning has loaded the average into the module.

        Without ``decay``, the run continues without the average. A checkpoint that holds none starts one.
        """
        if trainer.state.fn != "fit" or TRAINED not in checkpoint:
            return
        trained = {parameter: checkpoint[TRAINED][name] for name, parameter in pl_module.named_parameters()}
        if self.decay:
            self._others = {parameter: weight.to(parameter.dtype) for parameter, weight in trained.items()}
            return
        for parameter, weight in trained.items():
            parameter.data.copy_(weight)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with the module's weights as the average, or move what a checkpoint held to the module's device.

        Raises:
            UserError: the weights are divided between devices, or too coarse to be averaged.
        """
        if not self.decay:
            return
        _refuse(self.decay, trainer, pl_module)
        if not self._others:
            self._others = {parameter: parameter.detach().clone() for parameter in pl_module.parameters()}
        self._move()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Give the module the trained weights."""
        self._step = trainer.global_step
        self._give(average=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average the weights if the batch completed a step, and give the module the average."""
        if self._others and not self._has_average and trainer.global_step > self._step:
            self._updates += 1
            decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
            get_ema_multi_avg_fn(decay)([*self._others.values()], [*self._others], self._updates)
        self._give(average=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the average into ``state_dict``, also within a batch, and the trained weights beside it."""
        if self._others.keys() != {*pl_module.parameters()}:  # no average, or of another module
            return
        checkpoint[TRAINED] = {}
        for name, parameter in pl_module.named_parameters(remove_duplicate=False):
            both = parameter.detach(), self._others[parameter]
            checkpoint["state_dict"][name], checkpoint[TRAINED][name] = both if self._has_average else both[::-1]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the module, which Lightning has moved to the CPU."""
        self._move()

    def _move(self) -> None:
        self._others = {parameter: weight.to(parameter.device) for parameter, weight in self._others.items()}

    def _give(self, average: bool) -> None:
        """Give the module the average or the trained weights: its parameters exchange tensors, and none is copied."""
        if self._has_average == average:
            return
        for parameter, other in self._others.items():
            self._others[parameter], parameter.data = parameter.data, other
        self._has_average = average


def _refuse(decay: float, trainer: Trainer, module: LightningModule) -> None:
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise UserError(
            f"averaging.decay {decay} needs all weights on each device: give --trainer.strategy auto or ddp with it."
        )
    if any(parameter.dtype in (torch.bfloat16, torch.float16) for parameter in module.parameters()):
        raise UserError(
            f"averaging.decay {decay} with trainer.precision {trainer.precision}: steps as small as the average's are "
            "rounded away in weights of 16 bits. Give --trainer.precision bf16-mixed."
        )
