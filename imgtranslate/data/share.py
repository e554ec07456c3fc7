"""How a batch is dealt to processes and parts, so that together they learn from the whole."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Rows = TypeVar("Rows", NDArray[Any], Tensor)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which rows of a batch are learnt from together: one of ``count`` equal shares.

    What is made of a batch consists of blocks that belong to it row by row: the batch itself, its
    halves in BicycleGAN, two stacked on each other. Each block is dealt by itself, ``rows`` to a
    share, in the order of the shares.
    """

    index: int = 0
    count: int = 1
    rows: int = 1  # of each block

    def of(self, whole: Rows) -> Rows:
        """The share's rows (blocks x rows, …) of the whole (blocks x count x rows, …)."""
        if self.count == 1:
            return whole
        blocks = whole.reshape(-1, self.count, self.rows, *whole.shape[1:])
        return blocks[:, self.index].reshape(-1, *whole.shape[1:])


WHOLE = Share()


@dataclass(frozen=True, kw_only=True)
class Dealing:
    """The shares of one of ``ranks`` processes, which learns from them one after the other.

    ``blocks``: 2 where a method does different things with the halves of a batch, else 1.
    """

    batch_size: int
    rank: int = 0
    ranks: int = 1
    parts: int = 1
    blocks: int = 1

    def shares(self) -> list[Share]:
        """One for each part; raises ``ValueError`` if the batch does not divide."""
        count = self.ranks * self.parts
        if count == 1:
            return [WHOLE]
        rows, rest = divmod(self.batch_size, count * self.blocks)
        if rest:
            raise ValueError(f"a batch of {self.batch_size} is not {count} equal shares")
        places = range(self.rank, count, self.ranks)
        return [Share(index=place, count=count, rows=rows) for place in places]

    def positions(self, first: int, num_batches: int) -> "Positions":
        """The samples that this process reads, part after part, of batches from ``first`` on."""
        rows = np.arange(self.batch_size)
        own = np.concatenate([share.of(rows) for share in self.shares()])
        places = tuple(own.tolist())
        return Positions(first=first, step=self.batch_size, own=places, num=num_batches)


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Of each of ``num`` batches of ``step`` samples the places ``own``; a sampler."""

    first: int
    step: int
    own: tuple[int, ...]
    num: int

    def __len__(self) -> int:
        return self.num * len(self.own)

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self.batches())

    def batches(self) -> Iterator[list[int]]:
        """The samples of each batch."""
        for first in range(self.first, self.first + self.num * self.step, self.step):
            yield [first + place for place in self.own]
