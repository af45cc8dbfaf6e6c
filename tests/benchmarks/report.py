"""Ratios of what was measured in the same round, and the page that shows them."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from contenders import CLIP, LR, MAX_LENGTH, WARMUP_RATIO, WEIGHT_DECAY, Job
from machine import describe, machine
from plan import Group, Plan

_NOTES = Path(__file__).with_name("notes.md")  # what a person found, below what was measured
_ON = "On "  # how the title of a machine's section begins
_HEAD = f"""\
# Measured against the peers

Written by `make benchmark`. Contenders run in turns, each in a process of its own, on the same reviews, weights,
threads and precision; which goes first rotates. Numbers are medians over the rounds, with the smallest and the
largest; ratios are taken within a round. Each kind of machine has a section, which a new run there replaces.

The recipe on both sides: AdamW at {LR:g} with {WARMUP_RATIO:.0%} warm-up and linear decay, weight decay
{WEIGHT_DECAY:g}, gradients clipped at {CLIP:g}, at most {MAX_LENGTH} tokens a review. Ours is what
`python -m nsmc_lightning fit` runs, with its callbacks and loggers.

Fit is timed from the end of the last warm-up step to the end of the last step: imports, reading, tokenization and
weights come before. Ours, random and fully padded batches are alike, and some are timed. Of the length-grouped
Trainer's, which run from long reviews to short ones, some at even distances are timed, and its rate is scaled from
their token slots to those of all its batches (on a GPU a whole epoch is timed). MFU is the model's
operations on real tokens over the rate of bare matrix products, measured in the same process. Memory is the high-water
mark of the whole process (on a GPU: of what torch took there)."""


@dataclass
class Results:
    """What each job gave, round by round."""

    rounds: int
    of: dict[Job, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    start_up: dict[str, list[float]] = field(default_factory=dict)

    def add(self, job: Job, result: dict[str, Any]) -> None:
        """Keeps a job's result of the round at hand."""
        self.of[job].append(result)

    def values(self, job: Job, name: str) -> list[float]:
        """A number of every round; empty where a round failed."""
        values = [result.get(name) for result in self.of[job]]
        return [] if None in values else values  # type: ignore[return-value]


def spread(values: Sequence[float], form: str) -> str:
    """Median, and smallest to largest; a dash where there is nothing."""
    if not values:
        return "–"
    shown = [form.format(value) for value in (median(values), min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]}–{shown[2]})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)] if ours and theirs else []


def write_report(plan: Plan, results: Results, threads: int, path: Path) -> None:
    """Writes the page; the sections of other kinds of machines stay as they were."""
    title = f"## {_ON}{machine()}"
    facts = [f"- {line}" for line in [*describe(threads), f"Rounds: {results.rounds}", *plan.notes]]
    sections = [_HEAD, title, "\n".join(facts)]
    sections += [_group(group, results) for group in plan.groups]
    sections += [_padding(plan, results), _starts(plan, results), _start_up(results), _profile(plan, results)]
    sections += _other_machines(path, title)
    sections.append(_NOTES.read_text(encoding="utf-8").strip())
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _other_machines(path: Path, title: str) -> list[str]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    sections = [section.strip() for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)]
    return [section for section in sections if section.startswith(f"## {_ON}") and section.splitlines()[0] != title]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def _group(group: Group, results: Results) -> str:
    ours = group.jobs[0]
    rows = []
    for job in group.jobs:
        rates = results.values(job, "reviews_per_second")
        faster = "" if job is ours else spread(ratios(results.values(ours, "reviews_per_second"), rates), "{:.2f}×")
        rows.append(
            [group.label(job), spread(rates, "{:,.1f}"), faster, spread(results.values(job, "mfu"), "{:.0%}"),
             _memory(job, results)]
        )  # fmt: skip
    header = ["contender", "reviews/s", "ours is faster by", "MFU", "memory"]
    failures = [
        f"\n{group.label(job)} failed: {result['error']}"
        for job in group.jobs
        for result in results.of[job]
        if "error" in result
    ]
    return "\n".join([f"### {group.title}", "", group.note, "", _table(header, rows), *failures])


def _memory(job: Job, results: Results) -> str:
    on_gpu = results.values(job, "gpu_bytes")
    taken = on_gpu if any(on_gpu) else results.values(job, "peak_bytes")
    return spread([value / 2**30 for value in taken], "{:.2f} GiB")


def _padding(plan: Plan, results: Results) -> str:
    names = {
        "fit_ours": "nsmc_lightning",
        "fit_grouped": "Trainer, grouped by length",
        "fit_random": "Trainer, dynamic padding",
        "fit_max_length": "Trainer, padded to 128",
    }
    rows = [
        [shown, *(spread(results.values(job, name), "{:.1%}") for job in plan.padding)] for name, shown in names.items()
    ]
    header = ["", *(f"batch {job.batch_size}" for job in plan.padding)]
    return "\n".join(["### Share of computed tokens that is padding, an epoch of fit", "", _table(header, rows)])


def _starts(plan: Plan, results: Results) -> str:
    def cell(job: Job, form: str, value: Callable[[float, float], float], name: str) -> str:
        pairs = zip(results.values(job, name), results.values(job, "reviews"), strict=False)
        return spread([value(one, reviews) for one, reviews in pairs], form)

    rows = [
        [
            title,
            cell(job, "{:.2f} s", lambda seconds, reviews: seconds, "first_batch"),
            cell(job, "{:.2f} s", lambda seconds, reviews: seconds, "first_step"),
            cell(job, "{:.0f} µs", lambda seconds, reviews: 1e6 * seconds / reviews, "first_batch"),
            cell(job, "{:.1f} ms", lambda rate, reviews: 1e3 / rate, "reviews_per_second"),
        ]
        for title, job in plan.starts.items()
    ]
    header = ["", "to the first batch", "to the end of the first step", "to the first batch, a review of the corpus",
              "then, a review trained on"]  # fmt: skip
    note = (
        "From the call of `Trainer.fit` in a fresh process, after imports and weights: reading, cleaning, splitting,\n"
        "tokenization, samplers, Lightning's own set-up. “Again” is a second process with the same `cache_dir`."
    )
    return "\n".join(["### Start of a run, and how it grows", "", note, "", _table(header, rows)])


def _start_up(results: Results) -> str:
    rows = [[name, spread(seconds, "{:.2f} s")] for name, seconds in results.start_up.items()]
    return "\n".join(["### Start-up", "", _table(["in a fresh process", "time"], rows)])


def _profile(plan: Plan, results: Results) -> str:
    result = results.of[plan.profile][0]
    rows = [[f"`{name}`", f"{share:.1%}", f"{calls:,}"] for name, share, calls in result.get("top", [])]
    steps, model = plan.profile.steps, Path(plan.profile.backbone).name
    note = f"Own time in {steps} training steps of ours, {model}, batch {plan.profile.batch_size}."
    header = ["operation", "share of time", "calls"]
    return "\n".join(["### Where a training step's time goes", "", note, "", _table(header, rows)])
