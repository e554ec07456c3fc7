from collections import Counter
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches
from imgtranslate.data.sampling import BatchSplit, Purpose, index_at, integer_at, random_at
from imgtranslate.settings.parsing import build_settings


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


@given(count=st.integers(1, 60), number=st.integers(0, 10**9), seed=st.integers(0, 2**63 - 1))
def test_any_pass_of_either_side_is_a_permutation(count: int, number: int, seed: int) -> None:
    positions = range(number * count, (number + 1) * count)
    for side in (0, 1):
        assert sorted(order(count, positions=positions, seed=seed, side=side)) == [*range(count)]


@given(count=st.integers(1, 20), length=st.integers(0, 100))
def test_up_to_any_position_each_picture_stood_as_often_up_to_one(count: int, length: int) -> None:
    found = Counter(dict.fromkeys(range(count), 0))
    found.update(order(count, positions=range(length)))
    assert max(found.values()) - min(found.values()) <= 1


def test_sides_of_one_length_meet_anew_in_every_pass() -> None:
    count, passes = 25, 80
    a, b = (order(count, positions=range(count * passes), side=side) for side in (0, 1))
    pairs = Counter(zip(a, b, strict=True))
    assert np.isclose(sum(i == j for i, j in zip(a, b, strict=True)) / len(a), 1 / count, atol=0.02)
    assert len(pairs) > 0.9 * count**2  # independent draws leave exp(-80 / 25) of them out
    assert max(pairs.values()) < 16


def test_no_order_comes_back_under_another_seed_side_or_pass() -> None:
    orders = {
        tuple(order(20, positions=range(20 * number, 20 * number + 20), seed=seed, side=side))
        for seed in (0, 1, 2, 2**32, 2**63 - 1)
        for side in (0, 1)
        for number in range(20)
    }
    assert len(orders) == 5 * 2 * 20


def test_a_far_position_is_found_at_once() -> None:
    assert {index_at(10**15 + p, count=8, seed=0, side=0) for p in range(8)} == set(range(8))


def test_no_two_purposes_and_places_share_their_draws() -> None:
    draws = [
        tuple(random_at(0, purpose, side, position).integers(2**32, size=2))
        for purpose in Purpose
        for side in (0, 1)
        for position in (0, 1, 2, 2**32, 2**32 + 1)
    ]
    assert len(set(draws)) == len(draws)
    numbers = {integer_at(seed, purpose, 5) for seed in (0, 1) for purpose in Purpose}
    assert len(numbers) == 2 * len(Purpose)
    assert all(0 <= number < 2**63 for number in numbers)


def test_a_sample_depends_on_its_position_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side, count in (("a", 3), ("b", 5)):
        (tmp_path / side).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    data = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "crop_size": 16, "colour_a": 0.2}
    settings = build_settings(preset="tiny", layers=[{"data": data}])
    samples = SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False)

    def shown(first: int, batch_size: int, num_batches: int) -> list[torch.Tensor]:
        found = batches(
            samples,
            first_position=first,
            split=BatchSplit(batch_size=batch_size),
            num_batches=num_batches,
            workers=0,
            device=torch.device("cpu"),
        )
        return [
            torch.cat(pair)
            for batch in found
            for pair in zip(batch.real_a, batch.real_b, strict=True)
        ]

    whole = shown(0, 1, 12)
    assert len({pair.numpy().tobytes() for pair in whole}) == 12
    for first, batch_size, num_batches in ((0, 3, 4), (7, 5, 1), (4, 2, 4)):
        found = shown(first, batch_size, num_batches)
        for position, pair in enumerate(found, start=first):
            assert torch.equal(pair, whole[position])
