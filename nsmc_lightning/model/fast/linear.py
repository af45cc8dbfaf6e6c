"""Linear layers by the matrix library that is faster on the processor."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula


class FastLinear(nn.Linear):
    """``nn.Linear`` by oneDNN instead of MKL, if told to: twice as fast in float32 on AMD processors with AVX-512.

    torch multiplies float32 matrices on a CPU with MKL, which does not use AVX-512 on AMD processors; oneDNN, which is
    also part of torch, does. Both compute in float32, but add in another order. Other devices and dtypes, and compiled
    code, use ``nn.Linear``'s own.

    Attributes:
        onednn: whether to use oneDNN: see :func:`~nsmc_lightning.model.fast.kernels.choose_kernels`.
    """

    onednn = False

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer.

        *Shape:* ``input`` (..., in_features); result (..., out_features).
        """
        if (
            not self.onednn
            or input.dtype is not torch.float32
            or input.device.type != "cpu"
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()  # TensorBoard's graph would show a box without content
        ):
            return super().forward(input)
        # In two dimensions: with more, oneDNN returns a view, which Longformer could not change in place.
        result = _Linear.apply(input.reshape(-1, self.in_features), self.weight, self.bias)
        return result.view(*input.shape[:-1], self.out_features)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        return product(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        of_input, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t(), None) if of_input else None,
            product(gradient.t(), input.t(), None) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def product(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute ``input @ weight.T + bias`` by oneDNN.

    *Shape:* ``input`` float32 (..., K), ``weight`` (N, K), ``bias`` (N,) or None; result (..., N).
    """
    # Read in torch 2.13; oneDNN's product has no public name.
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


def _flops(input: tuple[int, ...], weight: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Count the operations of :func:`product` from the shapes of its arguments."""
    return 2 * math.prod(input) * weight[0]


def has_onednn() -> bool:
    """Whether torch offers oneDNN's product."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


if has_onednn():
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)  # otherwise the model summary counts none


def use_fast_linear(module: nn.Module) -> None:
    """Replace every ``nn.Linear`` within a module by :class:`FastLinear`, with the same weights."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            fast = FastLinear(child.in_features, child.out_features, bias=child.bias is not None, device="meta")
            fast.weight, fast.bias = child.weight, child.bias
            setattr(module, name, fast.train(child.training))
        else:
            use_fast_linear(child)
