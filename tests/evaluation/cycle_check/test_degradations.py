import numpy as np
import pytest

from imgtranslate.errors import ImageError
from imgtranslate.evaluation.cycle_check.degradations import (
    DEGRADATIONS,
    NOISE,
    degrade,
    seed_of,
)
from imgtranslate.images import Pixels


def smooth(*, channels: int = 3, size: tuple[int, int] = (40, 56)) -> Pixels:
    rows, columns = np.indices(size)
    planes = [120 + 60 * np.sin(rows / 7 + i) + 40 * np.cos(columns / 9) for i in range(channels)]
    return np.stack(planes, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("kind", DEGRADATIONS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_harm_is_slight_and_always_the_same(kind: str, channels: int) -> None:
    pixels = smooth(channels=channels)
    before = pixels.copy()
    harmed = degrade(pixels, kind, seed=3)
    assert (harmed.shape, harmed.dtype) == (pixels.shape, np.uint8)
    assert 0 < np.abs(harmed.astype(int) - pixels).mean() < 4
    assert (degrade(pixels, kind, seed=3) == harmed).all()
    assert (pixels == before).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_smallest_pictures_are_harmed_too(kind: str, size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    assert degrade(pixels, kind, seed=0).shape == pixels.shape


def test_the_noise_is_as_strong_as_it_says_and_follows_the_seed() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    noise = degrade(grey, "noise", seed=1).astype(float) - 128
    assert noise.std() == pytest.approx(NOISE, rel=0.05)
    assert abs(noise.mean()) < 0.1
    assert (degrade(grey, "noise", seed=2) != degrade(grey, "noise", seed=1)).any()


def test_a_blur_leaves_flat_places_and_softens_edges() -> None:
    edge = np.zeros((20, 20, 1), np.uint8)
    edge[:, 10:] = 200
    blurred = degrade(edge, "blur", seed=0)
    assert (blurred[:, :5] == 0).all()
    assert (blurred[:, 15:] == 200).all()
    assert 0 < blurred[10, 9, 0] < blurred[10, 10, 0] < 200


def test_the_seed_is_that_of_the_content() -> None:
    pixels = smooth()
    assert seed_of(pixels) == seed_of(pixels.copy())
    assert seed_of(pixels) != seed_of(pixels[::-1].copy())
    assert seed_of(pixels) != seed_of(pixels.reshape(56, 40, 3))


def test_what_jpeg_cannot_hold_is_said() -> None:
    with pytest.raises(ImageError, match="65,500"):
        degrade(np.zeros((1, 65_501, 1), np.uint8), "jpeg", seed=0)


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="jpeg, noise, blur"):
        degrade(smooth(), "rain", seed=0)
