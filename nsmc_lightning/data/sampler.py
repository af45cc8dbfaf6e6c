"""Samplers: which reviews make up a batch."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_MOST_PADDING = 0.05  # share of an evaluation batch
_FEW_SLOTS = 512  # batches this small may have more padding: the fixed cost of a step weighs more
_WINDOW = 50  # batches sorted by length together, as in transformers' length grouping


class TrainSampler(Sampler[list[int]]):
    """Random batches of reviews; at each step every rank gets one batch, all of the same number of reviews.

    DistributedDataParallel takes the plain mean of the ranks' gradients, each of which is a mean over that rank's
    reviews: with equal numbers every review has the same weight. An epoch's last step is smaller if reviews are left
    over; fewer than ``world_size`` of these are left out, others in each epoch.

    The order depends on ``seed`` and the epoch only, and the reviews of a step on their number only: 2 ranks with a
    batch size of 16 train on the same reviews as 1 rank with 32.

    Args:
        lengths: tokens of each review, int64 (N,).
        batch_size: reviews per batch and rank.
        seed: seed of the order, the same on every rank.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.lengths = lengths
        # Not named batch_size: Lightning would rebuild a sampler with that attribute.
        self.reviews_per_batch = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._done: tuple[int, int | None] = (0, 0)

    def resume_at(self, epoch: int, batches: int | None) -> None:
        """Skip the first ``batches`` of that epoch, None skips all: they were trained on before."""
        self.epoch = epoch  # worker processes take the first batches before Lightning sets the epoch
        self._done = (epoch, batches)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls it at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.reviews_per_batch * self.world_size)
        return whole + int(rest >= self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        step = self.reviews_per_batch * self.world_size
        whole = len(order) // step * step
        batches = [groups[self.rank] for groups in self._group(order[:whole], random)]
        batches = [batches[i] for i in random.permutation(len(batches))]
        share = (len(order) - whole) // self.world_size
        if share:
            batches.append(order[whole + self.rank :: self.world_size][:share])
        epoch, done = self._done
        if epoch == self.epoch:
            batches = batches[len(batches) if done is None else done :]
        for batch in batches:
            yield batch.tolist()

    @abstractmethod
    def _group(self, order: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Group the shuffled reviews ``order``, a whole number of steps, into batches (world_size, B)."""


class StratifiedSampler(TrainSampler):
    """Batches that are samples of all lengths, with nearly equal numbers of tokens: for packed rows.

    Reviews are sorted by length and cut into as many strata as a step has reviews. Every step gets a random review of
    each stratum; steps with few tokens so far get the longer ones. As steps are alike, gradients vary less than with
    simple random samples (Cochran 1977, chapter 5).
    """

    def _group(self, order: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
        strata = self.reviews_per_batch * self.world_size
        steps = len(order) // strata
        by_length = order[np.argsort(-self.lengths[order], kind="stable")].reshape(strata, steps)
        tokens = np.zeros(steps, dtype=np.int64)
        dealt = np.empty((strata, steps), dtype=np.int64)
        for stratum, reviews in enumerate(by_length):
            neediest = np.lexsort((random.random(steps), tokens))  # ties in random order
            dealt[stratum, neediest] = reviews
            tokens[neediest] += self.lengths[reviews]
        yield from self._share(dealt).transpose(2, 0, 1)

    def _share(self, dealt: np.ndarray) -> np.ndarray:
        """Share the reviews of each step (strata, steps) among the ranks (world_size, B, steps), with similar tokens.

        The longest review comes first; each goes to the rank with the fewest tokens that still has room.
        """
        steps = np.arange(dealt.shape[1])
        shares = np.empty((self.world_size, self.reviews_per_batch, len(steps)), dtype=np.int64)
        count, tokens = np.zeros((2, self.world_size, len(steps)), dtype=np.int64)
        for reviews in dealt:
            rank = np.where(count < self.reviews_per_batch, tokens, np.inf).argmin(axis=0)
            shares[rank, count[rank, steps], steps] = reviews
            count[rank, steps] += 1
            tokens[rank, steps] += self.lengths[reviews]
        return shares


class LengthGroupedSampler(TrainSampler):
    """Batches of reviews of similar length: for padded rows.

    Reviews are sorted by length within random windows of 50 batches, and cut into batches.
    """

    def _group(self, order: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
        step = self.reviews_per_batch * self.world_size
        for start in range(0, len(order), step * _WINDOW):
            window = order[start : start + step * _WINDOW]
            by_length = window[np.argsort(self.lengths[window], kind="stable")]
            for batch in by_length.reshape(-1, step):
                yield batch.reshape(-1, self.world_size).T  # in turn, so that ranks get similar lengths


class EvalSampler(Sampler[list[int]]):
    """All reviews once, in batches of similar length, given to the ranks in turn.

    A batch contains as many reviews as fit into ``max_tokens`` when padded, at least one; fewer if more than a
    twentieth would be padding, or if a rank would get no batch. The longest batch comes first, so running out of memory
    fails at once; the others come in a fixed random order, so that a limit on batches does not select long reviews and
    the remaining time is estimated well.

    Args:
        lengths: tokens of each review, int64 (N,).
        max_tokens: token slots in a batch.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, lengths: np.ndarray, max_tokens: int, rank: int = 0, world_size: int = 1) -> None:
        order = np.argsort(-lengths, kind="stable")
        most = max(1, len(order) // world_size)
        batches = []
        start = 0
        while start < len(order):
            size = _size(lengths[order[start : start + most]], max_tokens)
            batches.append(order[start : start + size].tolist())
            start += size
        rest = np.random.default_rng(0).permutation(np.arange(1, len(batches)))
        self.batches: list[list[int]] = [batches[i] for i in [0, *rest] if i < len(batches)][rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def _size(lengths: np.ndarray, max_tokens: int) -> int:
    """Number of the first reviews that make up a batch; ``lengths`` (N,) in descending order."""
    reviews = lengths[: max(1, max_tokens // max(1, int(lengths[0])))]
    slots = int(lengths[0]) * np.arange(1, len(reviews) + 1)
    fits = (reviews.cumsum() >= (1 - _MOST_PADDING) * slots) | (slots <= _FEW_SLOTS)
    return max(1, int(fits.cumprod().sum()))
