"""One measurement in a process of its own: ``python contenders.py JOB``, where JOB is a Job as JSON.

The last line on standard output is the result, as JSON. Imports, reading, tokenization, loading of weights and a
warm-up come before the clock starts, except where they are what is measured.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from prepare import describe_corpus, read_corpus
from torch.utils.data import Sampler
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    TrainingArguments,
    default_data_collator,
    pipeline,
)
from transformers import Trainer as TransformersTrainer
from transformers.trainer_pt_utils import LengthGroupedSampler
from window import LightningProfile, LightningWindow, TrainerWindow, Window

from nsmc_lightning.callbacks.throughput import compute_dtype, forward_flops, matmul_peak
from nsmc_lightning.types import EncoderLimits

if TYPE_CHECKING:
    from nsmc_lightning import NSMCDataModule

# The recipe, on both sides.
LR, WEIGHT_DECAY, WARMUP_RATIO, CLIP, MAX_LENGTH, SEED = 1e-4, 0.01, 0.1, 1.0, 128, 42


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Args:
        contender: a key of ``CONTENDERS``.
        corpus: YAML of a corpus, its files beside it.
        backbone: folder of weights and tokenizer.
        batch_size: reviews a batch.
        warmup: steps before the clock starts.
        steps: steps that are timed.
        precision: 32-true or bf16-mixed.
        attention_dropout: in place of the checkpoint's, or of the recipe's default where that is another.
        cache_dir: ours, for what is kept between runs.
        threads: of torch.
    """

    contender: str
    corpus: str
    backbone: str
    batch_size: int = 32
    warmup: int = 2
    steps: int = 2
    precision: str = "32-true"
    attention_dropout: float | None = None
    cache_dir: str = ""
    threads: int = 1

    @property
    def max_steps(self) -> int:
        """Steps of the whole run."""
        return self.warmup + self.steps


Result = dict[str, Any]


# Training


def fit_ours(job: Job) -> Result:
    """``python -m nsmc_lightning fit`` in this process, with a window among its callbacks."""
    _fit_by_command_line(job, "window.LightningWindow")
    assert LightningWindow.latest.encoder is not None
    return _training_result(job, LightningWindow.latest.window, LightningWindow.latest.encoder)


def profile_ours(job: Job) -> Result:
    """The ten operations that take longest in our training steps."""
    _fit_by_command_line(job, "window.LightningProfile")
    return {"top": LightningProfile.latest.top(10)}


def _fit_by_command_line(job: Job, callback: str) -> None:
    from nsmc_lightning.cli import main

    window = {"class_path": callback, "init_args": {"warmup": job.warmup, "steps": job.steps}}
    dropout = [] if job.attention_dropout is None else [f"--model.attention_dropout={job.attention_dropout}"]
    main(
        ["fit", "--trust-config", f"--data.corpus={job.corpus}", f"--data.data_dir={Path(job.corpus).parent}",
         f"--data.cache_dir={job.cache_dir}", f"--data.batch_size={job.batch_size}", f"--data.max_length={MAX_LENGTH}",
         f"--model.backbone={job.backbone}", f"--model.lr={LR}", f"--model.weight_decay={WEIGHT_DECAY}",
         f"--model.warmup_ratio={WARMUP_RATIO}", *dropout, f"--trainer.max_steps={job.max_steps}",
         f"--trainer.gradient_clip_val={CLIP}", f"--trainer.precision={job.precision}",
         "--trainer.limit_val_batches=0",
         "--trainer.enable_checkpointing=false", "--trainer.devices=1",
         f"--trainer.callbacks={json.dumps([window])}", f"--log_dir={job.cache_dir}/logs",
         f"--seed_everything={SEED}"]
    )  # fmt: skip


def fit_trainer(job: Job, padding: str, compiled: bool = False) -> Result:
    """transformers' Trainer: ``max_length`` pads as the GLUE example does, ``random`` each batch to its longest review,
    ``grouped`` so too, with reviews of like length together."""
    config = AutoConfig.from_pretrained(job.backbone, num_labels=2)
    if job.attention_dropout is not None:
        config.attention_probs_dropout_prob = job.attention_dropout
    tokenizer = AutoTokenizer.from_pretrained(job.backbone)
    model = AutoModelForSequenceClassification.from_pretrained(job.backbone, config=config, dtype=torch.float32)
    window = TrainerWindow(job.warmup, job.steps)
    trainer = (_GroupedTrainer if padding == "grouped" else TransformersTrainer)(
        model,
        _training_arguments(job, padding == "grouped", compiled),
        train_dataset=_encoded(tokenizer, job.corpus, padding == "max_length"),
        data_collator=default_data_collator if padding == "max_length" else DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        callbacks=[window],
    )
    trainer.train()
    ratio = trainer.slots_ratio if isinstance(trainer, _GroupedTrainer) else 1.0
    return _training_result(job, window.window, model.base_model, ratio)


class _GroupedTrainer(TransformersTrainer):
    """A Trainer whose length grouping is timed over as many steps as a window has.

    It groups within 50 batches where there are 200 or more, and runs through these from long reviews to short ones: few
    steps in a row would be long or short ones. So the batches are its own, and the window's are taken from the first 50
    at even distances; ``slots_ratio`` is how many token slots a review these have, over what all batches have.
    """

    slots_ratio = 1.0

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        order = list(super()._get_train_sampler(train_dataset))
        size = self.args.per_device_train_batch_size
        window = next(c.window for c in self.callback_handler.callbacks if isinstance(c, TrainerWindow))
        batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        first = batches[:50] if len(batches) > window.steps else batches
        every = max(1, len(first) // window.steps)
        chosen = first[every // 2 :: every][: window.steps]
        longest = [max(len(self.train_dataset[row]["input_ids"]) for row in batch) for batch in batches]
        of_chosen = [longest[batches.index(batch)] for batch in chosen]
        self.slots_ratio = float(np.mean(of_chosen) / np.mean(longest))
        warmup = [chosen[i % len(chosen)] for i in range(window.first)]
        return SubsetInOrder([row for batch in [*warmup, *chosen] for row in batch])


class SubsetInOrder(Sampler[int]):
    """Rows in a given order."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _training_arguments(job: Job, grouped: bool, compiled: bool) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=f"{job.cache_dir}/trainer",
        per_device_train_batch_size=job.batch_size,
        learning_rate=LR,
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP,
        lr_scheduler_type="linear",
        warmup_steps=int(WARMUP_RATIO * job.max_steps),
        max_steps=job.max_steps,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length" if grouped else "random",
        bf16=job.precision == "bf16-mixed",
        torch_compile=compiled,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=SEED,
    )


def _encoded(tokenizer: PreTrainedTokenizerBase, corpus: str, padded: bool) -> list[dict[str, Any]]:
    texts, labels = read_corpus(Path(corpus))
    rows = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, padding="max_length" if padded else False)
    return [{**{name: rows[name][i] for name in rows}, "label": label} for i, label in enumerate(labels)]


def _training_result(job: Job, window: Window, encoder: torch.nn.Module, slots_ratio: float = 1.0) -> Result:
    """Reviews a second, in the window or, by its slots, in all batches; what share of the device's speed that is."""
    rate = job.steps * job.batch_size / window.seconds * slots_ratio
    device = next(encoder.parameters()).device
    lengths = _lengths(job)
    flops = 3 * forward_flops(encoder, int(lengths.sum()), float((lengths**2).sum())) / len(lengths)
    peak_memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    peak = matmul_peak(device, compute_dtype(job.precision, device))
    return {
        "reviews_per_second": rate,
        "slots_ratio": slots_ratio,
        "mfu": flops * rate / peak or None,  # not known of every family
        "gpu_bytes": peak_memory,
    }


def _lengths(job: Job) -> np.ndarray:
    """Tokens of each review of the corpus, int64 (N,)."""
    tokenizer = AutoTokenizer.from_pretrained(job.backbone)
    texts, _ = read_corpus(Path(job.corpus))
    return np.array([len(ids) for ids in tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]])


# Prediction: from texts in memory or in a file, tokenization included, to probabilities


def predict_ours(job: Job) -> Result:
    """What ``predict`` runs: the module, the data module and Lightning's Trainer, with the file of predictions."""
    from lightning.pytorch import Trainer

    from nsmc_lightning import BertClassifierModule, NSMCDataModule
    from nsmc_lightning.callbacks.predictions import PredictionWriter

    texts, _ = read_corpus(Path(job.corpus))
    module = BertClassifierModule(job.backbone)

    def predict(name: str, chosen: list[str]) -> float:
        path = Path(job.cache_dir) / f"{name}.txt"
        path.write_text("\n".join(chosen) + "\n", encoding="utf-8")
        data = NSMCDataModule(job.backbone, cache_dir=job.cache_dir, predict_path=str(path))
        writer = PredictionWriter(f"{path}.csv")
        trainer = Trainer(
            precision=job.precision,  # type: ignore[arg-type]
            devices=1, callbacks=[writer], logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False,
        )  # fmt: skip
        start = time.perf_counter()
        trainer.predict(module, datamodule=data, return_predictions=False)
        return time.perf_counter() - start

    predict("warmup", texts[: job.warmup * job.batch_size])
    return {"reviews_per_second": len(texts) / predict("measured", texts)}


def predict_pipeline(job: Job) -> Result:
    """transformers' pipeline, at a batch size."""
    texts, _ = read_corpus(Path(job.corpus))
    model = AutoModelForSequenceClassification.from_pretrained(job.backbone, dtype=torch.float32)
    classify = pipeline(
        "text-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(job.backbone),
        device=0 if torch.cuda.is_available() else -1,
    )
    options = {"batch_size": job.batch_size, "truncation": True, "max_length": MAX_LENGTH}
    with torch.autocast(classify.device.type, torch.bfloat16, enabled=job.precision == "bf16-mixed"):
        classify(texts[: job.warmup * job.batch_size], **options)
        start = time.perf_counter()
        classify(texts, **options)
        return {"reviews_per_second": len(texts) / (time.perf_counter() - start)}


# What else is measured


def _data_module(job: Job, limits: EncoderLimits) -> "NSMCDataModule":
    from nsmc_lightning import NSMCDataModule

    folder = Path(job.corpus).parent
    corpus = describe_corpus(folder.name)
    return NSMCDataModule(job.backbone, corpus, str(folder), job.cache_dir, batch_size=job.batch_size, limits=limits)


def start_ours(job: Job) -> Result:
    """Seconds from ``fit`` to the first batch and step, the data's preparation included, and the rate after it."""
    from lightning.pytorch import Trainer

    from nsmc_lightning import BertClassifierModule

    module = BertClassifierModule(job.backbone, attention_dropout=job.attention_dropout)
    data = _data_module(job, module.limits)
    window = LightningWindow(job.warmup, job.steps)
    trainer = Trainer(
        precision=job.precision,  # type: ignore[arg-type]
        max_steps=job.max_steps, devices=1, callbacks=[window], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )  # fmt: skip
    start = time.perf_counter()
    trainer.fit(module, datamodule=data)
    rate = job.steps * job.batch_size / window.window.seconds
    reviews = len(data.datasets["train"]) + len(data.datasets["dev"])
    seconds = {"first_batch": window.window.first_batch - start, "first_step": window.window.first_step - start}
    return {**seconds, "reviews_per_second": rate, "reviews": reviews}


def padding_of_all(job: Job) -> Result:
    """Share of the token slots that is padding, over an epoch of training: ours, and each way of Trainer's."""
    from nsmc_lightning import BertClassifierModule

    data = _data_module(job, BertClassifierModule(job.backbone).limits)
    data.trainer = SimpleNamespace(global_rank=0, world_size=1)  # type: ignore[assignment]
    data.setup("fit")
    tokens = slots = 0
    for batch in data.train_dataloader():
        tokens += batch.num_tokens
        slots += batch.input_ids.numel()
    lengths = data.datasets["train"].encoded.lengths
    torch.manual_seed(SEED)
    grouped = np.array(list(LengthGroupedSampler(job.batch_size, lengths=lengths.tolist())))
    return {
        "fit_ours": 1 - tokens / slots,
        "fit_grouped": _padding(lengths[grouped], job.batch_size),
        "fit_random": _padding(np.random.default_rng(SEED).permutation(lengths), job.batch_size),
        "fit_max_length": 1 - lengths.mean() / MAX_LENGTH,
    }


def _padding(lengths: np.ndarray, batch_size: int) -> float:
    """Padding where each batch is padded to its longest review."""
    batches = [lengths[i : i + batch_size] for i in range(0, len(lengths), batch_size)]
    return 1 - float(lengths.sum() / sum(len(batch) * batch.max() for batch in batches))


CONTENDERS: dict[str, Callable[[Job], Result]] = {
    "fit_ours": fit_ours,
    "fit_max_length": lambda job: fit_trainer(job, "max_length"),
    "fit_random": lambda job: fit_trainer(job, "random"),
    "fit_grouped": lambda job: fit_trainer(job, "grouped"),
    "fit_compiled": lambda job: fit_trainer(job, "grouped", compiled=True),
    "predict_ours": predict_ours,
    "predict_pipeline": predict_pipeline,
    "start_ours": start_ours,
    "padding": padding_of_all,
    "profile_ours": profile_ours,
}


def main() -> None:
    """Runs the job given as the first argument."""
    job = Job(**json.loads(sys.argv[1]))
    torch.set_num_threads(job.threads)
    result = CONTENDERS[job.contender](job)
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"job": asdict(job), **result}), flush=True)


if __name__ == "__main__":
    main()
