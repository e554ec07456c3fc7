import numpy as np
import pytest
import torch
from torch import Tensor

from imgtranslate.methods.step import ImagePool


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


def test_a_batch_of_any_size_is_exchanged_image_by_image() -> None:
    together, single = ImagePool(3), ImagePool(3)
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    for count in (2, 7, 1, 4):  # 7: fills the pool and swaps in one batch
        fakes = torch.from_numpy(np.random.default_rng(count).random((count, 3, 4, 5)))
        one_by_one = torch.cat([single.query(fake[None], same) for fake in fakes])
        assert torch.equal(together.query(fakes, rng), one_by_one)
    assert torch.equal(together.tensors()["images"], single.tensors()["images"])
    assert together.tensors()["images"].shape == (3, 3, 4, 5)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_half_are_exchanged_whatever_the_size_and_every_place_as_often(size: int) -> None:
    pool, rng, draws = ImagePool(size), np.random.default_rng(size), 4000
    pool.query(numbered(*range(-size, 0)), rng)
    places = np.zeros(size)
    for number in range(1, draws + 1):
        before = [int(image) for image in pool.images]
        returned = int(pool.query(numbered(number), rng))
        if returned != number:
            place = before.index(returned)
            places[place] += 1
            before[place] = number
        assert [int(image) for image in pool.images] == before
    deviation = np.sqrt(draws / 4)
    assert abs(places.sum() - draws / 2) < 4 * deviation
    expected = draws / 2 / size
    assert abs(places - expected).max() < 5 * np.sqrt(expected)


def test_what_is_returned_may_be_changed() -> None:
    pool, rng = ImagePool(4), np.random.default_rng(0)
    for start in range(1, 41, 4):
        pool.query(numbered(*range(start, start + 4)), rng).zero_()
        assert min(int(image) for image in pool.images) > 0


def test_a_stored_image_keeps_neither_its_batch_nor_its_history() -> None:
    pool = ImagePool(2)
    pool.query(torch.zeros(8, 3, 4, 4), np.random.default_rng(0))
    assert {image.untyped_storage().nbytes() for image in pool.images} == {3 * 4 * 4 * 4}
    assert not any(image.requires_grad for image in pool.images)


def test_what_is_restored_does_not_change_with_what_it_came_from() -> None:
    pool, again = ImagePool(3), ImagePool(3)
    pool.query(numbered(1, 2, 3), np.random.default_rng(0))
    saved = pool.tensors()
    again.restore(saved, torch.device("cpu"))
    saved["images"].zero_()
    assert torch.equal(pool.tensors()["images"], numbered(1, 2, 3))
    assert torch.equal(again.tensors()["images"], numbered(1, 2, 3))


def test_a_pool_that_is_not_full_goes_on_filling_when_it_comes_back() -> None:
    pool, again = ImagePool(4), ImagePool(4)
    pool.query(numbered(1, 2), np.random.default_rng(0))
    again.restore(pool.tensors(), torch.device("cpu"))
    assert torch.equal(again.query(numbered(3, 4), np.random.default_rng(0)), numbered(3, 4))
    assert torch.equal(again.tensors()["images"], numbered(1, 2, 3, 4))
    assert again.tensors()["images"].dtype == torch.float32
