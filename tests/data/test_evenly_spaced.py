import pytest

from imgtranslate.data.sampling import evenly_spaced


@pytest.mark.parametrize(
    ("length", "count", "picked"),
    [
        (0, 3, []),
        (2, 3, [0, 1]),
        (9, 1, [0]),
        (9, 2, [0, 8]),
        (9, 3, [0, 4, 8]),
        (5, 4, [0, 1, 3, 4]),
    ],
)
def test_from_the_first_to_the_last_and_none_twice(
    length: int, count: int, picked: list[int]
) -> None:
    assert evenly_spaced(range(length), count) == picked


def test_no_items_for_a_count_of_zero() -> None:
    assert evenly_spaced([1, 2], 0) == []
