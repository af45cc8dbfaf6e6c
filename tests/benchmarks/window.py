"""The stretch of training that is timed: the same on both sides, from the end of one step to the end of a later one."""

import time
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback


class Window:
    """Times the steps that follow a warm-up.

    Args:
        warmup: steps before the clock starts, 1 at least.
        steps: steps that are timed.
    """

    def __init__(self, warmup: int, steps: int) -> None:
        self.steps = steps
        self.first, self.last = warmup, warmup + steps
        self.done = 0
        self.first_batch = 0.0  # when it was there
        self.first_step = 0.0  # when it ended
        self.started = self.ended = 0.0

    def step(self) -> None:
        """A step has ended; what it left to the device is waited for at the window's two edges only."""
        self.done += 1
        if self.done in (1, self.first, self.last):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.first_step = now if self.done == 1 else self.first_step
            self.started = now if self.done == self.first else self.started
            self.ended = now if self.done == self.last else self.ended

    @property
    def seconds(self) -> float:
        """Length of the window."""
        assert self.ended > 0, f"the run ended after {self.done} of {self.last} steps"
        return self.ended - self.started


class LightningWindow(Callback):
    """A window on Lightning's fit; the command line makes it, so the latest one is kept for whoever asks."""

    latest: ClassVar["LightningWindow"]

    def __init__(self, warmup: int, steps: int) -> None:
        self.window = Window(warmup, steps)
        self.encoder: nn.Module | None = None
        LightningWindow.latest = self

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the encoder, whose operations are counted later."""
        self.encoder = pl_module.encoder  # type: ignore[assignment]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Notes when the first batch is there."""
        if self.window.done == 0:
            self.window.first_batch = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step has ended."""
        self.window.step()


class TrainerWindow(TrainerCallback):
    """A window on transformers' Trainer."""

    def __init__(self, warmup: int, steps: int) -> None:
        self.window = Window(warmup, steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step has ended."""
        self.window.step()


class LightningProfile(Callback):
    """Profiles the steps that follow a warm-up; ``latest.table`` names the ten operations that took longest."""

    latest: ClassVar["LightningProfile"]

    def __init__(self, warmup: int, steps: int) -> None:
        self.first, self.last = warmup, warmup + steps
        self.done = 0
        on_gpu = torch.cuda.is_available()
        self.profile = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])])
        self.key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        LightningProfile.latest = self

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Starts and stops the profiler."""
        self.done += 1
        if self.done == self.first:
            self.profile.start()
        if self.done == self.last:
            self.profile.stop()

    def top(self, count: int) -> list[tuple[str, float, int]]:
        """Name, share of the time and calls of the operations that took longest themselves."""
        events = self.profile.key_averages()
        total = sum(getattr(event, self.key) for event in events)
        longest = sorted(events, key=lambda event: -getattr(event, self.key))[:count]
        return [(event.key, getattr(event, self.key) / total, event.count) for event in longest]
