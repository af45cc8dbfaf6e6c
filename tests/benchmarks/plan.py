"""What is measured against what, and how long."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from contenders import Job
from prepare import read_reviews, write_backbone, write_corpus

_LABELS = {
    "fit_ours": "nsmc_lightning",
    "fit_max_length": "Trainer, padded to 128 (GLUE example)",
    "fit_random": "Trainer, dynamic padding",
    "fit_grouped": "Trainer, grouped by length",
    "fit_compiled": "Trainer, grouped by length, torch_compile",
    "predict_ours": "nsmc_lightning predict",
    "predict_pipeline": "pipeline, batch {}",
}


@dataclass(frozen=True)
class Group:
    """Contenders that are compared; the first is ours."""

    title: str
    note: str
    jobs: tuple[Job, ...]

    def label(self, job: Job) -> str:
        """How a contender is called."""
        return _LABELS[job.contender].format(job.batch_size)


@dataclass
class Plan:
    """Everything that is measured: groups in turns, the rest once."""

    groups: list[Group]
    padding: list[Job]
    starts: dict[str, Job]
    profile: Job
    rounds: int
    notes: list[str]

    @property
    def jobs(self) -> list[Job]:
        """All contenders of all groups, each once."""
        return list(dict.fromkeys(job for group in self.groups for job in group.jobs))

    @property
    def single(self) -> list[Job]:
        """What is measured once; the order matters: a warm start follows its cold one."""
        return [*self.padding, *self.starts.values(), self.profile]


@dataclass(frozen=True)
class _Sizes:
    """Batches of the window for a model that is small or large to the machine, and reviews of the rest."""

    training: int
    small: int
    large: int
    predict: int
    starts: tuple[int, int]
    rounds: int
    gpu_batch_sizes: tuple[int, ...] = (64, 256)


_CPU = _Sizes(training=6_400, small=12, large=6, predict=1_024, starts=(15_000, 150_000), rounds=3)
_GPU = _Sizes(training=0, small=400, large=400, predict=5_000, starts=(15_000, 150_000), rounds=3)
_QUICK = _Sizes(training=256, small=2, large=2, predict=64, starts=(500, 5_000), rounds=1, gpu_batch_sizes=(64,))


class _Corpora:
    """Corpora of the first so many reviews, each written once."""

    def __init__(self, reviews: Path, folder: Path) -> None:
        self.reviews = read_reviews(reviews)
        self.folder = folder

    def first(self, count: int) -> str:
        """Path of the YAML of a corpus of so many reviews, or of all where there are fewer."""
        path = self.folder / f"reviews-{count}" / "corpus.yaml"
        return str(path if path.exists() else write_corpus(self.reviews, count, path.parent))


def make_plan(
    reviews: Path, pretrained: Path, folder: Path, threads: int, quick: bool, precisions: tuple[str, ...]
) -> Plan:
    """Writes reviews and random backbones into ``folder`` and plans what is measured on them.

    Args:
        reviews: NSMC's ratings_train.txt.
        pretrained: folder of the small backbone.
        folder: for what is written.
        threads: of each contender.
        quick: tiny sizes, one round.
        precisions: 32-true and bf16-mixed, on a CPU; a GPU is measured in bf16-mixed.
    """
    on_gpu = torch.cuda.is_available()
    sizes = _QUICK if quick else _GPU if on_gpu else _CPU
    corpora = _Corpora(reviews, folder)
    base = Job("", "", "", threads=threads, cache_dir=str(folder / "cache"))
    (folder / "cache").mkdir()
    notes = []
    small = pretrained
    if quick or not (pretrained / "config.json").is_file():
        notes.append("--quick" if quick else f"no pretrained backbone {pretrained.name}: skipped")
        small = write_backbone("tiny", corpora.reviews[:5_000], folder / "tiny") if quick else small
    large = write_backbone("tiny" if quick else "bert-base", corpora.reviews, folder / "bert-base-shaped")
    groups = []
    if small.is_dir() and not on_gpu:
        job = replace(base, backbone=str(small), steps=sizes.small, corpus=corpora.first(sizes.training))
        predicted = replace(job, corpus=corpora.first(sizes.predict))
        if "32-true" in precisions:
            groups += _training_on_cpu(job, small.name)[: 1 if quick else None]
            groups.append(_prediction(predicted, small.name, (1, 32)))
        if "bf16-mixed" in precisions:
            groups += _training_in_half(replace(job, precision="bf16-mixed"), small.name)
            groups.append(_prediction(replace(predicted, precision="bf16-mixed"), f"{small.name}, bf16-mixed", (32,)))
    if on_gpu:
        job = replace(base, backbone=str(large), steps=sizes.large, precision="bf16-mixed")
        smallest = min(sizes.gpu_batch_sizes)
        for size in sizes.gpu_batch_sizes:
            steps = max(1, sizes.large * smallest // size)  # the same number of reviews
            groups += _training_on_gpu(replace(job, batch_size=size, steps=steps, corpus=corpora.first(size * steps)))
        predicted = replace(job, corpus=corpora.first(sizes.predict))
        groups.append(_prediction(predicted, large.name, (1, 32, 256)))
    else:
        job = replace(base, backbone=str(large), steps=sizes.large, corpus=corpora.first(sizes.training))
        groups += [_training_of_large(replace(job, precision=precision)) for precision in precisions]
    return Plan(groups, *_single(job, corpora, sizes, small if small.is_dir() else large), sizes.rounds, notes)


def _training_on_cpu(job: Job, name: str) -> list[Group]:
    as_checkpoint = _training_by_all(replace(job, attention_dropout=0.1))
    without = _training_by_all(replace(job, attention_dropout=0.0))
    return [
        Group(f"Fit, {name}, no attention dropout", "Attention dropout 0 on both sides.", without),
        Group(
            f"Fit, {name}, our recipe against what Trainer does by itself",
            "`configs/e5_small.yaml` has no attention dropout; Trainer takes the checkpoint's, 0.1.",
            (without[0], *as_checkpoint[1:]),
        ),
        Group(f"Fit, {name}, attention dropout as in the checkpoint", "0.1 on both sides.", as_checkpoint),
    ]


def _training_by_all(job: Job) -> tuple[Job, ...]:
    return (
        replace(job, contender="fit_ours", steps=max(1, job.steps // 2)),
        replace(job, contender="fit_grouped"),
        replace(job, contender="fit_random", steps=max(1, job.steps // 2)),
        # All its batches are alike, as ours are: few will do.
        replace(job, contender="fit_max_length", steps=max(1, job.steps // 4)),
    )


def _training_in_half(job: Job, name: str) -> list[Group]:
    return [
        Group(
            f"Fit, {name}, {job.precision}, attention dropout {dropout}",
            "The same precision and attention dropout on both sides.",
            tuple(replace(job, contender=kind, attention_dropout=dropout) for kind in ("fit_ours", "fit_grouped")),
        )
        for dropout in (0.0, 0.1)
    ]


def _training_of_large(job: Job) -> Group:
    return Group(
        "Fit, BERT-base" if job.precision == "32-true" else f"Fit, BERT-base, {job.precision}",
        "12 layers × 768, random weights, a vocabulary of 32,000; attention dropout 0 on both sides.",
        tuple(replace(job, contender=contender, attention_dropout=0.0) for contender in ("fit_ours", "fit_grouped")),
    )


def _training_on_gpu(job: Job) -> list[Group]:
    best = ("fit_ours", "fit_grouped", "fit_compiled")
    contenders = {0.0: best, 0.1: (*best, "fit_random", "fit_max_length")}
    title = f"Fit, BERT-base, {job.precision}, batch {job.batch_size}, attention dropout"
    note = "12 layers × 768, random weights, a vocabulary of 32,000; the same dropout on both sides."
    job = replace(job, warmup=job.steps)
    return [
        Group(f"{title} {dropout}", note, tuple(replace(job, contender=c, attention_dropout=dropout) for c in names))
        for dropout, names in contenders.items()
    ]


def _prediction(job: Job, name: str, batch_sizes: tuple[int, ...]) -> Group:
    ours = replace(job, contender="predict_ours", batch_size=32)
    peers = (replace(job, contender="predict_pipeline", batch_size=size) for size in batch_sizes)
    return Group(
        f"Predict, {name}",
        "From texts to probabilities, tokenization included; ours also reads the texts from a file and writes one.",
        (ours, *peers),
    )


def _single(job: Job, corpora: _Corpora, sizes: _Sizes, backbone: Path) -> tuple[list[Job], dict[str, Job], Job]:
    few, many = (min(count, len(corpora.reviews)) for count in sizes.starts)
    job = replace(job, backbone=str(backbone), attention_dropout=0.1)
    padding = [replace(job, contender="padding", corpus=corpora.first(many), batch_size=n) for n in (32, 256)]
    start = replace(job, contender="start_ours", warmup=1, steps=4)
    small_start = replace(start, corpus=corpora.first(few), cache_dir=f"{job.cache_dir}/few")
    large_start = replace(start, corpus=corpora.first(many), cache_dir=f"{job.cache_dir}/many")
    starts = {
        f"{few:,} reviews": small_start,
        f"{many:,} reviews": large_start,
        # A Job equal to the one before it would be the same measurement; the step more tells them apart.
        f"{many:,} reviews, again": replace(large_start, steps=5),
    }
    profile = replace(
        job,
        contender="profile_ours",
        corpus=corpora.first(4 * job.batch_size),
        warmup=2,
        steps=2,
        attention_dropout=0.0,
    )
    return padding, starts, profile
