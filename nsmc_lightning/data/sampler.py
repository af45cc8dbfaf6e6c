"""Which reviews go together."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_MOST_PADDING = 0.05  # of an evaluation batch
_FEW_SLOTS = 512  # in a batch that may hold more padding than that: below, a step's fixed cost weighs more
_WINDOW = 50  # batches that are sorted by length together, as transformers' length grouping does


class TrainSampler(Sampler[list[int]]):
    """Random batches of reviews; at each step every rank gets one, and all get equally many reviews.

    DistributedDataParallel takes the plain mean of the ranks' gradients, each of which is a mean over that rank's
    reviews: with equal numbers, a review counts as a review. An epoch's last step is smaller where reviews are left
    over; of these, fewer than ``world_size`` are left out, others in each epoch.

    The order depends on ``seed`` and the epoch alone, and which reviews make up a step on nothing but how many it
    takes: 2 ranks with a batch size of 16 train on the same as 1 with 32.

    Args:
        lengths: tokens of each review, (N,).
        batch_size: reviews a batch and rank.
        seed: of the order; the same on every rank.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.lengths = lengths
        # Not called batch_size: Lightning would take the sampler for one that it may rebuild.
        self.reviews_per_batch = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._done: tuple[int, int | None] = (0, 0)

    def resume_at(self, epoch: int, batches: int | None) -> None:
        """Leaves out the first ``batches`` of that epoch, or with None all: they were trained on before."""
        self.epoch = epoch  # processes that build batches ask for the first ones before Lightning sets it
        self._done = (epoch, batches)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
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
        """Groups the reviews ``order``, shuffled and a whole number of batches, into batches (world_size, B)."""


class StratifiedSampler(TrainSampler):
    """Batches that are each a sample of all lengths, with nearly equal numbers of tokens: for packed rows.

    Reviews are sorted by length and cut into as many strata as a step has reviews; every step gets a random review of
    each, the longer ones where tokens are still few. So steps are alike, to each other and to the whole, which is
    also what makes gradients of stratified samples vary less (Cochran 1977, chapter 5).
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
        """Shares the reviews of each step (strata, steps) among the ranks (world_size, B, steps), tokens alike.

        The longest review goes first, each to the rank that has the fewest tokens and still room.
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
    """Batches of reviews of like length: for padded rows.

    Reviews are sorted by length within random windows of 50 batches, and cut into batches.
    """

    def _group(self, order: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
        step = self.reviews_per_batch * self.world_size
        for start in range(0, len(order), step * _WINDOW):
            window = order[start : start + step * _WINDOW]
            by_length = window[np.argsort(self.lengths[window], kind="stable")]
            for batch in by_length.reshape(-1, step):
                yield batch.reshape(-1, self.world_size).T  # dealt out in turn: ranks have like lengths


class EvalSampler(Sampler[list[int]]):
    """All reviews once, in batches of like length, dealt out to the ranks in turn.

    A batch holds as many reviews as fit into ``max_tokens`` when padded, and one at least; fewer where more than a
    twentieth would be padding, or where some rank would have none. The longest reviews come first, so that memory that
    does not suffice shows at once; the others come in a random order that is always the same, so that a limit on
    batches does not pick the long reviews, nor the clock mislead.
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
    """How many of the first reviews go into a batch; ``lengths`` (N,) from the longest to the shortest."""
    reviews = lengths[: max(1, max_tokens // max(1, int(lengths[0])))]
    slots = int(lengths[0]) * np.arange(1, len(reviews) + 1)
    fits = (reviews.cumsum() >= (1 - _MOST_PADDING) * slots) | (slots <= _FEW_SLOTS)
    return max(1, int(fits.cumprod().sum()))
