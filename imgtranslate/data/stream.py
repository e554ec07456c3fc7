"""The endless stream of samples: what stands at a position depends on the seed alone.

Position p of a domain of n pictures is entry p % n of the permutation of pass p // n, so every
picture is seen once a pass, the shorter side is resampled evenly, and neither workers nor
restarts nor the other side's length can change a sample.
"""

import enum
import functools

import numpy as np


class Purpose(enum.IntEnum):
    """What a random draw is for; two purposes never share numbers."""

    WEIGHTS = 0
    ORDER = 1
    GEOMETRY = 2
    POOL = 3
    LAYERS = 4
    MEASURES = 5
    SAMPLES = 6
    COLOUR = 7


def random_at(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """A generator that is a function of its arguments."""
    return np.random.default_rng([seed, purpose, *where])


def integer_at(seed: int, purpose: Purpose, *where: int) -> int:
    """A number below 2**63 that is a function of its arguments, to seed another library."""
    return int(random_at(seed, purpose, *where).integers(2**63))


def index_at(position: int, *, count: int, seed: int, side: int) -> int:
    """Which of ``count`` pictures stands at ``position`` of the stream of ``side`` (0 or 1)."""
    number, offset = divmod(position, count)
    return int(_permutation(count, seed, side, number)[offset])


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, side: int, number: int) -> np.ndarray:
    return random_at(seed, Purpose.ORDER, side, number).permutation(count)
