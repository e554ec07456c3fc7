import numpy as np
import pytest

from imgtranslate.evaluation.cycle_check.scores import thumbnail


def test_a_thumbnail_averages() -> None:
    pixels = np.zeros((16, 24, 2), np.uint8)
    pixels[:2, :3, 1] = 100
    small = thumbnail(pixels)
    assert small.shape == (8, 8, 2)
    assert small[0, 0].tolist() == [0, 100]
    assert small[..., 1].sum() == 100


@pytest.mark.parametrize("size", [(1, 1), (3, 300)])
def test_any_size_has_a_thumbnail(size: tuple[int, int]) -> None:
    assert (thumbnail(np.full((*size, 3), 7, np.uint8)) == 7).all()
