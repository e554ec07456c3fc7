"""Random numbers and the order of samples, as functions of the seed and the position alone.

Position p of a side with n pictures is entry p % n of the permutation of pass p // n. So every
picture is seen once a pass, the shorter side is repeated evenly, and neither workers, restarts nor
the length of the other side change a sample.
"""

import enum
import functools

import numpy as np


class Purpose(enum.IntEnum):
    """The use of a random draw; two purposes never share numbers."""

    WEIGHTS = 0
    ORDER = 1
    GEOMETRY = 2
    POOL = 3
    LAYERS = 4
    MEASURES = 5
    SAMPLES = 6
    COLOUR = 7


def random_at(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Seed a generator with the arguments alone."""
    return np.random.default_rng([seed, purpose, *where])


def integer_at(seed: int, purpose: Purpose, *where: int) -> int:
    """Draw a seed below 2**63 for another library from the arguments alone."""
    return int(random_at(seed, purpose, *where).integers(2**63))


def index_at(position: int, *, count: int, seed: int, side: int) -> int:
    """Return the index, below ``count``, of the picture of ``side`` (0 or 1) at ``position``."""
    number, offset = divmod(position, count)
    return int(_permutation(count, seed, side, number)[offset])


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, side: int, number: int) -> np.ndarray:
    return random_at(seed, Purpose.ORDER, side, number).permutation(count)
