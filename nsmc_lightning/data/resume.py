"""Where training resumes within a checkpoint's epoch, and whether this run takes the reviews in the same order."""

import hashlib
from typing import Any, NamedTuple

from nsmc_lightning.data.sampler import StratifiedSampler, TrainSampler
from nsmc_lightning.errors import UserError

_KEYS = {
    "reviews": "data.batch_size × trainer.devices",
    "packed": "data.packed (as this model takes it)",
    "seed": "seed_everything",
    "max_length": "data.max_length",
}


class Place(NamedTuple):
    """The epoch that training resumes in, the batches of it that are done, and whether that is all of them."""

    epoch: int = 0
    batches: int = 0
    complete: bool = False


def settle(loop: dict[str, Any], num_batches: int) -> Place:
    """Reads where a checkpoint was written, and corrects what Lightning 2.6 would resume from wrongly.

    Lightning counts on from the batches of the old run: with fewer or more batches an epoch it would train again on
    reviews of an epoch that is complete. Of an epoch that ``max_steps`` cut off it would skip the rest, and under
    ``max_steps`` it takes the batches of an epoch that has ended for some of the next.

    Args:
        loop: the state of Lightning's fit loop in the loaded checkpoint, corrected in place.
        num_batches: of an epoch in this run.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    both = (epochs["current"], epochs["total"])
    for count in both:
        count["ready"] = count["started"]  # an epoch whose first hook had not yet run
    epoch, done = epochs["current"], batches["current"]["processed"]
    complete = batches["is_last_batch"] or done >= num_batches
    if epoch["processed"] == epoch["ready"]:
        if done and (not complete or epoch["completed"] < epoch["processed"]):  # cut off, or its end is still under way
            for count in both:
                count["processed"] = count["completed"] = count["processed"] - 1
        else:
            done, complete = 0, False
    if complete or not done:
        done = num_batches if complete else 0
        batches["current"] = dict.fromkeys(batches["current"], done)
        batches["is_last_batch"] = complete
    return Place(epoch["processed"], done, complete)


def order_of(sampler: TrainSampler, max_length: int) -> dict[str, Any]:
    """All that decides which reviews each step of an epoch takes, as plain types."""
    return {
        "reviews": sampler.reviews_per_batch * sampler.world_size,
        "packed": isinstance(sampler, StratifiedSampler),
        "seed": sampler.seed,
        "max_length": max_length,
        "lengths": hashlib.sha256(sampler.lengths.astype("<i8").tobytes()).hexdigest(),
    }


def refuse_another_order(stored: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to train on the rest of an epoch in another order: some reviews would come twice, others never.

    Args:
        stored: the order of the run that wrote the checkpoint; an early version stored the reviews of a step alone.
        now: that of this run.

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
        f"the checkpoint was written within an epoch, and this run would order its reviews anew: {'; '.join(values)}.\n"
        "Give the values of that run, or a checkpoint from an epoch's end."
    )
