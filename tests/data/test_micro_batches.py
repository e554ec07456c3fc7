import itertools

import numpy as np
import pytest
import torch

from imgtranslate.data.sampling import ALL_ROWS, BatchSplit, Rows


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_sample_belongs_to_one_rank_and_one_micro_batch(
    accumulate: int, halves: bool
) -> None:
    splits = [
        BatchSplit(batch_size=24, rank=rank, ranks=2, accumulate=accumulate, halves=halves)
        for rank in range(2)
    ]
    for batch, found in enumerate(zip(*(each.positions(100, 2) for each in splits), strict=True)):
        assert sorted(itertools.chain(*found)) == list(range(100 + 24 * batch, 124 + 24 * batch))


def test_both_halves_of_a_batch_are_divided() -> None:
    splits = [BatchSplit(batch_size=8, rank=rank, ranks=2, halves=True) for rank in range(2)]
    assert [[*each.positions(0, 1)] for each in splits] == [[[0, 1, 4, 5]], [[2, 3, 6, 7]]]


def test_the_same_micro_batch_of_all_ranks_comes_before_the_next() -> None:
    """As the pools take fakes in: the rows of one micro-batch of all ranks lie side by side."""
    splits = [BatchSplit(batch_size=8, rank=rank, ranks=2, accumulate=2) for rank in range(2)]
    assert [[*each.positions(0, 1)] for each in splits] == [[[0, 1, 4, 5]], [[2, 3, 6, 7]]]
    assert [rows.index for rows in splits[1].micro_batches()] == [1, 3]


def test_rows_of_stacked_blocks_are_those_of_each_block() -> None:
    rows = Rows(index=1, count=3, size=2)
    assert rows.of(np.arange(12)).tolist() == [2, 3, 8, 9]
    assert rows.of(torch.arange(24).view(12, 2)).tolist() == [[4, 5], [6, 7], [16, 17], [18, 19]]


def test_one_process_has_the_whole_batch_whatever_its_size() -> None:
    assert BatchSplit(batch_size=7, halves=True).micro_batches() == [ALL_ROWS]
    positions = BatchSplit(batch_size=7, halves=True).positions(7, 2)
    assert [*positions] == [list(range(7, 14)), list(range(14, 21))]


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="6 cannot be split into 4 parts"):
        BatchSplit(batch_size=6, ranks=2, accumulate=2).micro_batches()
