"""Measurements of speed, with a clock of the test's own."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch

from nsmc_lightning.model.fast import timing
from nsmc_lightning.model.fast.timing import AttentionSpeed, speed

NOW = [0.0]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.time, "perf_counter", lambda: NOW[0])


def taking(seconds: Iterator[float]) -> Callable[[], None]:
    """A function whose calls take these times."""

    def call() -> None:
        NOW[0] += next(seconds)

    return call


def test_the_median_of_five_pairs_after_a_warm_up() -> None:
    default, other = iter([100.0, 2, 4, 6, 8, 90]), iter([1.0, 1, 1, 1, 1, 1])
    assert speed(taking(default), taking(other)) == 6
    assert not list(default), "all turns were taken"


@pytest.mark.parametrize(("speeds", "longest"), [((2, 2, 2), 256), ((2, 2, 1), 96), ((1, 2, 2), 0), ((1.14, 2, 2), 0)])
def test_lengths_count_up_to_the_first_that_is_not_faster(
    speeds: tuple[float, ...], longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = itertools.chain(speeds)
    monkeypatch.setattr(timing, "speed", lambda default, other: next(values))
    attention = AttentionSpeed(heads=2, width=4, dtype=torch.float32, dropout=0.0)
    assert attention.longest_faster(1.15, packed=True, training=True) == longest


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_both_kinds_of_attention_compute_the_same(
    packed: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[torch.Tensor] = []

    def keep(default: Callable[[], None], other: Callable[[], None]) -> float:
        for function in (default, other):
            function()
        return 1.0

    def kept(function: Callable[..., torch.Tensor | tuple[torch.Tensor, None]], axis: int) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            result = function(*args, **options)
            tensor = result[0] if isinstance(result, tuple) else result
            results.append(tensor.transpose(1, 2) if axis else tensor)
            return result

        return call

    monkeypatch.setattr(timing, "speed", keep)
    monkeypatch.setattr(timing, "attend", kept(timing.attend, 0))
    monkeypatch.setattr(timing, "scaled_dot_product_attention", kept(timing.scaled_dot_product_attention, 1))
    AttentionSpeed(heads=2, width=4, dtype=torch.float32, dropout=0.0).at(32, packed, training)
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)
