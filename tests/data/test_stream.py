from collections import Counter

import numpy as np

from imgtranslate.data.stream import Purpose, index_at, random_at


def order(count: int, *, positions: range, seed: int = 0, side: int = 0) -> list[int]:
    return [index_at(p, count=count, seed=seed, side=side) for p in positions]


def test_every_pass_is_a_permutation_and_no_two_are_alike() -> None:
    passes = [order(20, positions=range(n * 20, n * 20 + 20)) for n in range(4)]
    assert all(sorted(each) == list(range(20)) for each in passes)
    assert len({tuple(each) for each in passes}) == 4


def test_the_shorter_side_is_resampled_evenly() -> None:
    counts = Counter(order(7, positions=range(30), side=1))
    assert set(counts) == set(range(7))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_sides_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(order(20, positions=range(20), seed=s, side=d)) for s in (0, 1) for d in (0, 1)}
    assert len(orders) == 4


def test_a_position_needs_none_before_it() -> None:
    whole = order(13, positions=range(200))
    assert order(13, positions=range(150, 200)) == whole[150:]
    assert order(13, positions=range(199, -1, -1)) == whole[::-1]


def test_draws_are_functions_of_seed_purpose_and_place() -> None:
    def draw(seed: int, purpose: Purpose, *where: int) -> float:
        return random_at(seed, purpose, *where).random()

    assert draw(0, Purpose.POOL, 3) == draw(0, Purpose.POOL, 3)
    different = {draw(0, purpose, 3) for purpose in Purpose}
    different |= {draw(1, Purpose.POOL, 3), draw(0, Purpose.POOL, 4)}
    assert len(different) == len(Purpose) + 2
    assert len(set(Purpose)) == len(Purpose.__members__)
    assert np.isclose(np.mean([draw(0, Purpose.POOL, n) for n in range(2000)]), 0.5, atol=0.02)
