import numpy as np
import pytest
import torch

from imgtranslate.data.share import WHOLE, Dealing, Share


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("parts", [1, 3])
def test_processes_and_parts_deal_out_every_sample_once(parts: int, blocks: int) -> None:
    dealings = [
        Dealing(batch_size=24, rank=rank, ranks=2, parts=parts, blocks=blocks) for rank in range(2)
    ]
    for batch in range(2):
        found = [[*each.positions(100, 2)][12 * batch :][:12] for each in dealings]
        assert sorted([*found[0], *found[1]]) == list(range(100 + 24 * batch, 124 + 24 * batch))


def test_both_halves_of_a_batch_are_shared() -> None:
    dealings = [Dealing(batch_size=8, rank=rank, ranks=2, blocks=2) for rank in range(2)]
    assert [[*each.positions(0, 1)] for each in dealings] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_a_part_is_dealt_to_all_processes_before_the_next() -> None:
    """As the pools take them in: the shares of one part are beside each other."""
    dealings = [Dealing(batch_size=8, rank=rank, ranks=2, parts=2) for rank in range(2)]
    assert [[*each.positions(0, 1)] for each in dealings] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert [share.index for share in dealings[1].shares()] == [1, 3]


def test_a_share_of_stacked_blocks_is_its_rows_of_each() -> None:
    share = Share(index=1, count=3, rows=2)
    assert share.of(np.arange(12)).tolist() == [2, 3, 8, 9]
    assert share.of(torch.arange(24).view(12, 2)).tolist() == [[4, 5], [6, 7], [16, 17], [18, 19]]


def test_alone_all_is_the_share_whatever_its_size() -> None:
    assert Dealing(batch_size=7, blocks=2).shares() == [WHOLE]
    assert [*Dealing(batch_size=7, blocks=2).positions(7, 2)] == list(range(7, 21))
    assert len(Dealing(batch_size=7).positions(7, 2)) == 14


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="6 is not 4 equal shares"):
        Dealing(batch_size=6, ranks=2, parts=2).shares()
