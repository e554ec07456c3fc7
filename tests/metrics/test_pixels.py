import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim


def pair(shape, *, seed=0):
    """A picture and a noisy copy of it, as 8-bit pixels."""
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, shape, dtype=np.uint8)
    noise = generator.integers(-60, 60, shape)
    return x, np.clip(x.astype(int) + noise, 0, 255).astype(np.uint8)


def test_mean_absolute_error_is_a_fraction_of_the_full_range():
    black, white = np.zeros((3, 4, 3), np.uint8), np.full((3, 4, 3), 255, np.uint8)
    assert mean_absolute_error(black, white) == 1
    assert mean_absolute_error(white, black) == 1  # no wrap-around of unsigned bytes
    assert mean_absolute_error(black, black) == 0
    assert mean_absolute_error(black, black + np.uint8(51)) == pytest.approx(0.2)


def test_the_range_is_the_callers():
    x, y = np.full((2, 2, 1), -1.0), np.full((2, 2, 1), 0.0)
    assert mean_absolute_error(x, y, data_range=2) == 0.5
    assert psnr(x, y, data_range=2) == pytest.approx(10 * math.log10(4))


@pytest.mark.parametrize("channels", [1, 3])
def test_8_bit_and_float_pixels_score_alike(channels):
    x, y = pair((12, 9, channels))
    for score in (mean_absolute_error, psnr, ssim):
        assert score(x / 255, y / 255, data_range=1) == pytest.approx(score(x, y), abs=1e-9)


def test_psnr_is_scikit_images():
    x, y = pair((20, 31, 3))
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), abs=1e-9)


def test_psnr_of_equal_pictures_is_infinite():
    x, _ = pair((5, 5, 3))
    assert psnr(x, x) == math.inf


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(7, 40),
    width=st.integers(7, 40),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
)
def test_ssim_is_scikit_images(height, width, channels, seed):
    x, y = pair((height, width, channels), seed=seed)
    expected = structural_similarity(x, y, channel_axis=-1, data_range=255)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_large_smooth_picture_is_scikit_images():
    rows, columns = np.mgrid[0:600, 0:400]
    x = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
    y = np.roll(x, 3, axis=0) // 2 + 100
    expected = structural_similarity(x, y, channel_axis=-1, data_range=255)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("shape", "window"), [((6, 40, 3), 5), ((5, 5, 1), 5), ((4, 9, 3), 3)])
def test_the_window_of_ssim_shrinks_to_what_fits(shape, window):
    x, y = pair(shape)
    expected = structural_similarity(x, y, channel_axis=-1, data_range=255, win_size=window)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 1), (1, 50, 3)])
def test_ssim_of_single_pixels_compares_brightness(shape):
    black, white = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    assert ssim(white, white) == 1
    assert ssim(black, white) == pytest.approx(0.01**2 / (1 + 0.01**2))


def test_pictures_of_different_shapes_are_not_compared():
    grey, colour = np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8, 3), np.uint8)
    for score in (mean_absolute_error, psnr, ssim):
        with pytest.raises(ValueError, match="shapes"):
            score(grey, colour)
