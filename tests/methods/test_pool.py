import numpy as np
import torch
from torch import Tensor

from imgtranslate.methods.pool import ImagePool


def numbered(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1)


def test_until_it_is_full_the_new_one_is_stored_and_returned() -> None:
    pool, rng = ImagePool(3), np.random.default_rng(0)
    assert torch.equal(pool.query(numbered(1, 2), rng), numbered(1, 2))
    assert torch.equal(pool.query(numbered(3), rng), numbered(3))
    assert torch.equal(pool.tensors()["images"], numbered(1, 2, 3))


def test_then_half_are_exchanged_and_the_others_are_not_stored() -> None:
    pool, rng, stored, swaps = ImagePool(5), np.random.default_rng(0), {1, 2, 3, 4, 5}, 0
    pool.query(numbered(*stored), rng)
    for number in range(6, 2006):
        returned = int(pool.query(numbered(number), rng))
        if returned != number:
            swaps += 1
            stored = stored - {returned} | {number}
        assert {int(image) for image in pool.images} == stored
    assert abs(swaps / 2000 - 0.5) < 0.05


def test_every_place_is_exchanged() -> None:
    pool, rng = ImagePool(4), np.random.default_rng(0)
    pool.query(numbered(1, 2, 3, 4), rng)
    pool.query(numbered(*range(5, 105)), rng)
    assert min(int(image) for image in pool.images) > 4


def test_a_pool_of_zero_passes_through() -> None:
    fakes = numbered(1, 2)
    pool = ImagePool(0)
    assert pool.query(fakes, np.random.default_rng(0)) is fakes
    assert pool.tensors() == {}


def test_what_is_stored_does_not_change_with_what_was_given() -> None:
    pool, fakes = ImagePool(2), numbered(1, 2)
    pool.query(fakes, np.random.default_rng(0))
    fakes.zero_()
    assert torch.equal(pool.tensors()["images"], numbered(1, 2))


def test_it_comes_back() -> None:
    pool, again = ImagePool(3), ImagePool(3)
    pool.query(numbered(1, 2, 3), np.random.default_rng(0))
    again.restore(pool.tensors(), torch.device("cpu"))
    for rng_seed in range(5):
        new = numbered(10 + rng_seed)
        one, other = (p.query(new, np.random.default_rng(rng_seed)) for p in (pool, again))
        assert torch.equal(one, other)
    again.restore({}, torch.device("cpu"))
    assert again.images == []
