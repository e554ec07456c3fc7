"""Sampling as pure functions: pictures and random numbers by position, rows of a batch by rank.

Position p of a side with n pictures is entry p % n of the permutation of pass p // n. Every picture
is used once per pass, the smaller side is repeated evenly, and neither workers, restarts nor the
size of the other side change a sample.
"""

import enum
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
Values = TypeVar("Values", NDArray[Any], "Tensor")


class Purpose(enum.IntEnum):
    """The purpose of random numbers; two purposes never share numbers."""

    WEIGHTS = 0
    ORDER = 1
    GEOMETRY = 2
    POOL = 3
    LAYERS = 4
    MEASURES = 5
    SAMPLES = 6
    COLOUR = 7


def random_at(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Build a random generator that is seeded by the arguments only."""
    return np.random.default_rng([seed, purpose, *where])


def integer_at(seed: int, purpose: Purpose, *where: int) -> int:
    """Draw an integer below 2**63 from the arguments only, as a seed for another library."""
    return int(random_at(seed, purpose, *where).integers(2**63))


def index_at(position: int, *, count: int, seed: int, side: int) -> int:
    """Return the index, below ``count``, of the picture of ``side`` (0 or 1) at ``position``."""
    number, offset = divmod(position, count)
    return int(_permutation(count, seed, side, number)[offset])


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, side: int, number: int) -> np.ndarray:
    return random_at(seed, Purpose.ORDER, side, number).permutation(count)


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Pick at most ``count`` items in their order, evenly spaced from the first to the last."""
    last = min(count, len(items)) - 1
    return [items[round(n * (len(items) - 1) / max(last, 1))] for n in range(last + 1)]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one micro-batch: share ``index`` of ``count`` equal shares of a batch.

    A batch, its noise and its dropout masks consist of one block, or of two if a method uses the
    halves of a batch separately or stacks two inputs. Each block is divided separately, into
    ``size`` rows for each micro-batch.
    """

    index: int = 0
    count: int = 1
    size: int = 1

    def of(self, whole: Values) -> Values:
        """Select the own rows (blocks x size, …) of the whole (blocks x count x size, …)."""
        if self.count == 1:
            return whole
        blocks = whole.reshape(-1, self.count, self.size, *whole.shape[1:])
        return blocks[:, self.index].reshape(-1, *whole.shape[1:])


ALL_ROWS = Rows()


@dataclass(frozen=True, kw_only=True)
class BatchSplit:
    """The division of every batch among ``ranks`` with ``accumulate`` micro-batches each.

    ``halves``: whether the method uses the two halves of a batch separately.
    """

    batch_size: int
    rank: int = 0
    ranks: int = 1
    accumulate: int = 1
    halves: bool = False

    def micro_batches(self) -> list[Rows]:
        """List the rows of each micro-batch; ``ValueError`` if the batch is not divisible."""
        count = self.ranks * self.accumulate
        if count == 1:
            return [ALL_ROWS]
        size, rest = divmod(self.batch_size, count * (2 if self.halves else 1))
        if rest:
            raise ValueError(f"a batch of {self.batch_size} cannot be split into {count} parts")
        own = range(self.rank, count, self.ranks)
        return [Rows(index=index, count=count, size=size) for index in own]

    def positions(self, first: int, num_batches: int) -> Iterator[list[int]]:
        """Yield the positions of the samples of this rank in each batch, by micro-batches."""
        rows = np.arange(self.batch_size)
        own = np.concatenate([each.of(rows) for each in self.micro_batches()])
        for batch in range(num_batches):
            yield (first + batch * self.batch_size + own).tolist()
