"""The gradient of an optimizer step as the mean over its texts, whatever batches and processes they are in."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn


class StepMean:
    """Weighs the batches of an optimizer step, so that its gradient is that of one large batch.

    Left alone, Lightning divides the loss of each batch by ``accumulate_grad_batches``, also in an epoch's last step,
    which may have fewer batches, and DistributedDataParallel takes the plain mean over processes: batches then count
    equally, whatever their number of texts and the class weights of those.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the batches of a step that was interrupted."""
        self._unit = 0.0  # the weight that the step's batches are compared to
        self._weight: float | Tensor = 0.0  # of the step's batches so far

    def add(self, loss: Tensor, weight: float | Tensor) -> Tensor:
        """The loss of a batch, scaled by its weight in the step.

        Args:
            loss: mean over the batch's texts, float32 ().
            weight: what ``loss`` was divided by: the number of texts, which must be the same in every process, or as a
                float32 () tensor the sum of their class weights.
        """
        if self._unit == 0:
            self._unit = 1.0 if isinstance(weight, Tensor) else weight  # full batches then need no correction
        self._weight = self._weight + weight
        return loss * (weight / self._unit)

    def correct(
        self, parameters: Iterable[nn.Parameter], batches: int, process_mean: Callable[[Tensor], Tensor]
    ) -> None:
        """Scales the gradients of a complete step to those of the mean over its texts.

        Args:
            parameters: what the optimizer updates.
            batches: what Lightning divided each loss by, ``accumulate_grad_batches``.
            process_mean: the mean of a tensor over all processes.
        """
        if self._unit == 0:  # nothing was added: a step of one batch
            return
        weight = process_mean(self._weight) if isinstance(self._weight, Tensor) else self._weight
        scale = self._unit * batches / weight
        self.reset()
        if isinstance(scale, Tensor) or scale != 1:  # a tensor is not looked at: a GPU would be waited for
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)
