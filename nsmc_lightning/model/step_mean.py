"""The gradient of an optimizer step as the mean over its texts, however they are split into batches."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn


class StepMean:
    """Weights for the batches of an optimizer step, so that its gradient equals that of one large batch.

    Lightning divides the loss of each batch by ``accumulate_grad_batches``, even if an epoch's last step has fewer
    batches, and DistributedDataParallel averages over processes. Batches then count equally, although their numbers of
    texts and class weights differ.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the batches of an interrupted step."""
        self._unit = 0.0  # weight that the step's batches are compared to
        self._weight: float | Tensor = 0.0  # of the step's batches so far

    def add(self, loss: Tensor, weight: float | Tensor) -> Tensor:
        """Add a batch, and return its loss scaled by its weight in the step.

        Args:
            loss: mean over the batch's texts, float32 ().
            weight: the divisor of that mean: the number of texts, which must be equal in all processes, or the sum of
                their class weights as a float32 () tensor.
        """
        if self._unit == 0:
            self._unit = 1.0 if isinstance(weight, Tensor) else weight  # full batches then need no correction
        self._weight = self._weight + weight
        return loss * (weight / self._unit)

    def correct(
        self, parameters: Iterable[nn.Parameter], batches: int, process_mean: Callable[[Tensor], Tensor]
    ) -> None:
        """Scale the gradients of a complete step to those of the mean over its texts.

        Args:
            parameters: the optimizer's parameters.
            batches: ``accumulate_grad_batches``, by which Lightning divided each loss.
            process_mean: averages a tensor over all processes.
        """
        if self._unit == 0:  # a step of one batch, never added
            return
        weight = process_mean(self._weight) if isinstance(self._weight, Tensor) else self._weight
        scale = self._unit * batches / weight
        self.reset()
        if isinstance(scale, Tensor) or scale != 1:  # comparing a tensor would wait for the GPU
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)
