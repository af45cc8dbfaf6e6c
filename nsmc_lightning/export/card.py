"""The model card of an exported classifier."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from transformers import PreTrainedModel

from nsmc_lightning.checkpoint import Checkpoint
from nsmc_lightning.export.origin import Origin, origin_of

_EXAMPLE = "연기는 별로지만 재미 하나는 끝내줌!"
_PASSED_ON = (
    "The classifier was trained as a single linear layer on the encoder's vector. In the head of this class, the dense "
    "layer before the last one passes its input on: its weights were set, not trained. Use this model for inference in "
    "float32; to train further, start from the encoder."
)

_CARD = """\
---
{data}
---

# {name}

A classifier of single sentences, fine-tuned on {corpus}. Encoder: {encoder}. Class: `{kind}`, {dtype}.

```python
from transformers import pipeline

classify = pipeline("text-classification", "{name}")
classify("{example}", truncation=True)
```

## Labels

{labels}

## Data

{parts}

{files}

## Metrics

{metrics}

## Training

{settings}

## Limits

- With `truncation=True`, a text is cut to {max_length} tokens.
- Every text gets one of the labels above, also one in another language or about something else.
- Errors and repetitions in the corpus's labels and texts limit what the metrics mean.
- The licences of the corpus and of the encoder apply.
{limit}
Made by `python -m nsmc_lightning export`.
"""


def card(checkpoint: Checkpoint, model: PreTrainedModel, dtype: str, passed_on: bool, name: str) -> str:
    """Return the model card of an exported checkpoint.

    Args:
        checkpoint: what it was trained on and how.
        model: the exported classifier.
        dtype: of its weights.
        passed_on: as in :class:`~nsmc_lightning.export.model.Exported`.
        name: of the model.
    """
    origin, corpus = _origin(checkpoint, model), checkpoint.corpus
    known = origin is not None and origin.licence
    return _CARD.format(
        data=_data(checkpoint, origin, name).to_yaml(),
        name=name,
        corpus=f"{corpus['name']} ({corpus['licence']})" if corpus["licence"] else corpus["name"],
        encoder="trained from scratch" if origin is None else f"{origin.link}{f' ({origin.licence})' if known else ''}",
        kind=type(model).__name__,
        dtype=dtype,
        example=_EXAMPLE,
        labels=_table(("id", "label", "in the corpus's files", "Korean"), _labels(corpus)),
        parts=_data_text(checkpoint),
        files=_table(("file", "sha256"), checkpoint.trained_on.sha256.items()),
        metrics=_metrics(checkpoint),
        settings=_table(("setting", "value"), _settings(checkpoint)),
        max_length=checkpoint.settings["data"]["max_length"],
        limit=f"- {_PASSED_ON}\n" if passed_on else "",
    )


def _origin(checkpoint: Checkpoint, model: PreTrainedModel) -> Origin | None:
    settings = checkpoint.settings["model"]
    if isinstance(settings["backbone"], dict) or not settings["pretrained"]:
        return None
    return origin_of(settings["backbone"], model.config)


def _data(checkpoint: Checkpoint, origin: Origin | None, name: str) -> ModelCardData:
    corpus = checkpoint.corpus
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=corpus["name"],
            dataset_name=corpus["name"],
            dataset_split="dev",
            metric_type=metric,
            metric_name=f"dev {metric}",
            metric_value=round(value, 4),
        )
        for metric, value in checkpoint.dev_metrics.items()
        if metric in ("accuracy", "f1")
    ]
    return ModelCardData(
        base_model=origin.name if origin and origin.on_hub else None,
        license=origin.licence if origin else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        model_name=name if results else None,
        eval_results=results or None,
    )


def _labels(corpus: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(number, label["name"], label["value"], label["korean"]) for number, label in enumerate(corpus["labels"])]


def _data_text(checkpoint: Checkpoint) -> str:
    corpus, data = checkpoint.corpus, checkpoint.settings["data"]
    if corpus["dev"] is not None:
        dev = f"Dev is the file {corpus['dev']['file']}."
    else:
        dev = (
            f"Dev is a share of {data['dev_fraction']:g} of it (split seed {data['split_seed']}), with no text in both."
        )
    return f"Trained on the file {corpus['train']['file']} of the corpus {corpus['name']}. {dev}"


def _metrics(checkpoint: Checkpoint) -> str:
    found = checkpoint.dev_metrics
    if not found:
        return "This checkpoint records no metrics of its own. Nothing was measured on test for this card."
    limit = checkpoint.settings["trainer"].get("limit_val_batches")
    part = f"a part of dev (limit_val_batches {limit})" if limit not in (None, 1.0) else "dev"
    kind = "of class 1" if len(checkpoint.corpus["labels"]) == 2 else "the mean over the classes"
    table = _table(("dev", ""), [(name, f"{value:.4f}") for name, value in found.items()])
    return (
        f"Measured on {part}, by which this checkpoint was chosen; F1, precision and recall are {kind}. Nothing was "
        f"measured on test for this card.\n\n{table}"
    )


def _settings(checkpoint: Checkpoint) -> list[tuple[str, Any]]:
    settings, run = checkpoint.settings, checkpoint.content["run"]
    model = {key: settings["model"][key] for key in ("pooling", "loss", "dropout", "lr", "weight_decay", "schedule")}
    data = {key: settings["data"][key] for key in ("batch_size", "max_length")}
    rest = {"precision": settings["trainer"].get("precision"), "seed": settings["seed_everything"]}
    if checkpoint.temperature != 1.0:
        rest["temperature (fitted on dev, within the last layer)"] = f"{checkpoint.temperature:.4f}"
    known = {**model, **data, **rest, "optimizer steps": checkpoint.global_step, **run.get("versions", {})}
    return [(name, value) for name, value in known.items() if value is not None]


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
