"""Attention within groups of like length, compared with torch's over whole rows and with one text at a time."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nsmc_lightning.model.backbone import load_encoder
from nsmc_lightning.model.fast import attention
from nsmc_lightning.model.fast.attention import SHORT_TEXTS, ShortTexts, attend, short_texts
from nsmc_lightning.model.fast.paths import use_fast_paths
from nsmc_lightning.model.fast.states import same_text

HEADS, WIDTH = 3, 8


def packed(rows: list[list[int]], width: int) -> tuple[Tensor, Tensor]:
    """Mask and positions of texts of these lengths in rows, as in a Batch."""
    mask, positions = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width, dtype=torch.int64)
    number = 0
    for row, lengths in enumerate(rows):
        start = 0
        for length in lengths:
            number += 1
            mask[row, start : start + length] = number
            positions[row, start : start + length] = torch.arange(length)
            start += length
    return mask, positions


def lay_out(rows: list[list[int]], width: int) -> tuple[Tensor, ShortTexts]:
    mask, positions = packed(rows, width)
    texts = short_texts(mask, positions, HEADS, longest=16)
    assert texts is not None
    return mask, texts


def states(rows: int, width: int, dtype: torch.dtype) -> list[Tensor]:
    """Query, key, value (R, heads, W, width) and the gradient of the result (R, W, heads, width)."""
    torch.manual_seed(0)
    shape = (rows, HEADS, width, WIDTH)
    return [*(torch.randn(shape).to(dtype).requires_grad_() for _ in range(3)), torch.randn(rows, width, HEADS, WIDTH)]


LAYOUTS = {
    "packed": ([[7, 3, 5], [1, 12], [2, 2, 2, 2]], 16),
    "padded": ([[7], [3], [5]], 7),
    "one text": ([[4]], 4),
    "of one token": ([[1, 1, 1]], 3),
    "a row of padding": ([[5], []], 6),
}


@pytest.mark.parametrize(("rows", "width"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_results_and_gradients_are_those_of_torch(
    rows: list[list[int]], width: int, dtype: torch.dtype, tolerance: float
) -> None:
    mask, texts = lay_out(rows, width)
    real = mask > 0
    *inputs, gradient = states(len(rows), width, dtype)
    gradient = (gradient * real[:, :, None, None]).to(dtype)  # nothing depends on padding

    ours, _ = attend(torch.nn.Module(), *inputs, None, texts=texts)
    ours.backward(gradient)
    found = [ours.detach(), *(part.grad for part in inputs)]
    *reference, _ = states(len(rows), width, torch.float32)
    expected = scaled_dot_product_attention(*reference, attn_mask=same_text(mask, added=False)).transpose(1, 2)
    expected.backward(gradient.float())
    for part in found[1:]:
        assert not part.transpose(1, 2)[~real].any(), "padding gets no gradient"
    torch.testing.assert_close(found[0][real].float(), expected.detach()[real], atol=tolerance, rtol=tolerance)
    for part, other in zip(found[1:], reference, strict=True):
        torch.testing.assert_close(part.float(), other.grad, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_right_with_dropout(dropout: float) -> None:
    _, texts = lay_out([[3, 2], [5]], 5)

    def result(*inputs: Tensor) -> Tensor:
        torch.manual_seed(7)
        return attend(torch.nn.Module(), *inputs, None, scaling=0.3, dropout=dropout, texts=texts)[0]

    inputs = [part.detach().double().requires_grad_() for part in states(2, 5, torch.float32)[:3]]
    assert torch.autograd.gradcheck(result, inputs)


def test_dropout_keeps_the_mean_and_drops_weights() -> None:
    _, texts = lay_out([[2]], 2)
    query, key, value, _ = (part.detach() for part in states(1, 2, torch.float32))
    value = torch.ones_like(value)  # results are sums of weights
    torch.manual_seed(0)
    sums = torch.stack(
        [attend(torch.nn.Module(), query, key, value, None, dropout=0.25, texts=texts)[0] for _ in range(4000)]
    )
    assert sums.mean() == pytest.approx(1, abs=0.02)
    assert (sums == 0).float().mean() == pytest.approx(0.25**2, abs=0.01)  # both weights of a token dropped


def test_autocast_keeps_bfloat16() -> None:
    _, texts = lay_out([[3, 4]], 8)
    *inputs, _ = states(1, 8, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert attend(torch.nn.Module(), *inputs, None, texts=texts)[0].dtype == torch.bfloat16


def test_groups_cost_least() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        lengths = np.sort(generator.integers(2, 150, generator.integers(1, 9)))

        def cost(cuts: tuple[int, ...], lengths: Any = lengths) -> float:
            ends = [*cuts, len(lengths)]
            return sum(
                (end - start) * lengths[end - 1] ** 2 + attention._GROUP_COST
                for start, end in zip([0, *cuts], ends, strict=True)
            )

        ways = [cuts for number in range(4) for cuts in combinations(range(1, len(lengths)), number)]
        assert cost(tuple(attention._cuts(lengths))) == min(map(cost, ways))


def test_texts_longer_than_the_longest_are_left_to_torch() -> None:
    assert short_texts(*packed([[17, 5]], 22), HEADS, longest=16) is None
    assert short_texts(*packed([[]], 4), HEADS, longest=16) is None


def test_an_encoder_with_which_it_is_not_exact_keeps_torch_s(
    family: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(family, pretrained=False, need_pooler=False)
    assert use_fast_paths(encoder).packs
    assert encoder.config._attn_implementation == SHORT_TEXTS
    monkeypatch.setattr(attention._Attention, "apply", lambda query, *_: query)
    assert use_fast_paths(encoder).packs
    assert encoder.config._attn_implementation == "sdpa"
