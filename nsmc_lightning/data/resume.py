"""Where training resumes within a checkpoint's epoch, and whether this run orders the reviews as that run did."""

import hashlib
from typing import Any, NamedTuple

from lightning.pytorch import Trainer

from nsmc_lightning.data.sampler import StratifiedSampler, TrainSampler
from nsmc_lightning.errors import UserError

_KEYS = {
    "reviews": "data.batch_size × trainer.devices",
    "packed": "data.packed (with the model's limits)",
    "seed": "seed_everything",
    "max_length": "data.max_length",
}


class Place(NamedTuple):
    """The epoch in which training resumes, how many of its batches are done, and whether those are all."""

    epoch: int = 0
    batches: int = 0
    complete: bool = False


def place_in(trainer: Trainer, sampler: TrainSampler, max_length: int, stored: dict[str, Any]) -> Place:
    """Return the place in the epoch at which ``trainer`` resumes, whose loops' state is corrected.

    Args:
        trainer: is about to restore its loops.
        sampler: of this run.
        max_length: tokens that a text is cut to in this run.
        stored: the order in the checkpoint, see :func:`order_of`.

    Raises:
        UserError: the place is within an epoch, and this run would take its reviews in another order.
    """
    correct_loops(trainer, len(sampler))
    place = find_place(trainer)
    if place.batches and not place.complete:
        refuse_another_order(stored, order_of(sampler, max_length))
    return place


def find_place(trainer: Trainer) -> Place:
    """Return where ``trainer`` resumes from its checkpoint, whose loops' state is corrected."""
    loop = _loaded_fit_loop(trainer)
    batches = loop["epoch_loop.batch_progress"]
    return Place(
        loop["epoch_progress"]["current"]["processed"], batches["current"]["processed"], batches["is_last_batch"]
    )


def correct_loops(trainer: Trainer, batches_per_epoch: int) -> None:
    """Correct the loops' state of the checkpoint that ``trainer`` resumes from.

    Args:
        trainer: is about to restore its loops.
        batches_per_epoch: of this run, before ``limit_train_batches``.
    """
    limit = trainer.limit_train_batches
    num_batches = (
        min(batches_per_epoch, limit)
        if isinstance(limit, int)
        else int(batches_per_epoch * (1.0 if limit is None else limit))
    )
    _correct(_loaded_fit_loop(trainer), num_batches)


def _loaded_fit_loop(trainer: Trainer) -> dict[str, Any]:
    """The fit loop's state in the checkpoint that ``trainer`` has loaded."""
    # Read in Lightning 2.6. The data module's state is restored before the loops, and nothing public has theirs yet.
    return trainer._checkpoint_connector._loaded_checkpoint["loops"]["fit_loop"]


def _correct(loop: dict[str, Any], num_batches: int) -> None:
    """Correct, in place, what Lightning 2.6 would resume from wrongly.

    Lightning continues to count from the batches of the old run: with another number of batches per epoch it would
    train again on reviews of a complete epoch. It would skip the rest of an epoch that ``max_steps`` cut off, and under
    ``max_steps`` it counts the batches of a finished epoch as batches of the next.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    both = (epochs["current"], epochs["total"])
    for count in both:
        count["ready"] = count["started"]  # an epoch whose first hook had not run yet
    epoch, done = epochs["current"], batches["current"]["processed"]
    complete = batches["is_last_batch"] or done >= num_batches
    if epoch["processed"] == epoch["ready"]:
        if done and (not complete or epoch["completed"] < epoch["processed"]):  # cut off, or its last hooks are pending
            for count in both:
                count["processed"] = count["completed"] = count["processed"] - 1
        else:
            done, complete = 0, False
    if complete or not done:
        done = num_batches if complete else 0
        batches["current"] = dict.fromkeys(batches["current"], done)
        batches["is_last_batch"] = complete


def order_of(sampler: TrainSampler, max_length: int) -> dict[str, Any]:
    """Return everything that decides which reviews each step of an epoch takes, as plain types."""
    return {
        "reviews": sampler.reviews_per_batch * sampler.world_size,
        "packed": isinstance(sampler, StratifiedSampler),
        "seed": sampler.seed,
        "max_length": max_length,
        "lengths": hashlib.sha256(sampler.lengths.astype("<i8").tobytes()).hexdigest(),
    }


def refuse_another_order(stored: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to train on the rest of an epoch in another order: some reviews would come twice, others never.

    Args:
        stored: the order in the checkpoint; early versions stored ``reviews`` only.
        now: the order of this run.

    Raises:
        UserError: they differ.
    """
    differ: list[str] = [key for key in ("reviews", "packed", "seed") if key in stored and stored[key] != now[key]]
    if "lengths" in stored and stored["lengths"] != now["lengths"]:
        differ.append("max_length" if stored["max_length"] != now["max_length"] else "lengths")
    if not differ:
        return
    values = [f"{_KEYS[key]} was {stored[key]} and is {now[key]}" for key in differ if key in _KEYS]
    if "lengths" in differ:
        values.append("the reviews have other lengths in tokens")
    raise UserError(
        "the checkpoint was written within an epoch, and this run would take the rest of its reviews in another order: "
        f"{'; '.join(values)}.\nGive that run's values, or a checkpoint from the end of an epoch."
    )
