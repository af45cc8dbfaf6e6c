"""The forward pass of training, compiled for one shape."""

import torch
from torch import Tensor, nn


class CompiledForward:
    """A module's ``forward``, compiled for the shape of the first packed batch of ``batch_size`` texts.

    Batches of another shape, such as the smaller one at an epoch's end, run uncompiled: compiling for each of them
    would cost more time than it saves.
    """

    def __init__(self, module: nn.Module, batch_size: int) -> None:
        self._module = module
        self._compiled = torch.compile(module.forward, dynamic=False)
        self._batch_size = batch_size
        self._shape: torch.Size | None = None

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, first_tokens: Tensor, packed: bool
    ) -> Tensor:
        """Compute the logits of a batch.

        *Shape:* as in :class:`~nsmc_lightning.types.Batch`: int64 (R, W) each, ``first_tokens`` (B,); result (B, C).
        """
        inputs = input_ids, attention_mask, position_ids, first_tokens, packed
        if not packed or len(first_tokens) != self._batch_size:
            return self._module(*inputs)
        self._shape = self._shape or input_ids.shape
        return self._compiled(*inputs) if input_ids.shape == self._shape else self._module(*inputs)
