"""The mean over an optimizer step's texts without a trainer; test_module.py tests it with one."""

import torch
from torch import nn

from nsmc_lightning.model.step_mean import StepMean


def test_a_step_that_was_interrupted_leaves_nothing() -> None:
    weight = nn.Parameter(torch.ones(1))
    mean = StepMean()
    mean.add((2 * weight).sum(), 7)
    mean.reset()
    for texts, factor in ((4, 1.0), (2, 4.0)):
        (mean.add((factor * weight).sum(), texts) / 2).backward()
    mean.correct([weight], batches=2, process_mean=lambda value: value)
    torch.testing.assert_close(weight.grad, torch.tensor([(4 * 1.0 + 2 * 4.0) / 6]))
