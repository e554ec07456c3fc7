import numpy as np
import pytest
from numpy.typing import NDArray

from imgtranslate.metrics.estimate import wilson
from imgtranslate.metrics.inception import frechet_distance, kernel_distance
from imgtranslate.metrics.sliced_wasserstein import laplacian_pyramid, sliced_wasserstein
from imgtranslate.metrics.two_sample import two_sample_test

Pictures = NDArray[np.uint8]


def scenes(count: int, *, seed: int, size: int = 48, fine: float = 20) -> Pictures:
    """Grey shades with fine noise of a given strength."""
    rng = np.random.default_rng(seed)
    shades = rng.uniform(60, 190, (count, 1, 1, 3)) + np.linspace(-20, 20, size)[:, None]
    noise = rng.normal(0, fine, (count, size, size, 3))
    return np.clip(shades + noise, 0, 255).astype(np.uint8)


def distance(real: Pictures, fake: Pictures) -> dict[str, float]:
    found = sliced_wasserstein(
        real.__getitem__, fake.__getitem__, count=len(real), shortest=real.shape[1]
    )
    return {name: estimate.value for name, estimate in found.items()}


def test_bands_add_up_to_the_picture() -> None:
    picture = scenes(1, seed=0, size=37)[0]
    fine, coarse = laplacian_pyramid(picture, levels=2)
    assert fine.shape == picture.shape
    assert coarse.shape == (19, 19, 3)
    flat = np.full((33, 33, 3), 90, np.uint8)
    assert laplacian_pyramid(flat, levels=2)[0] == pytest.approx(0, abs=1e-3)
    assert laplacian_pyramid(flat, levels=2)[1] == pytest.approx(90, abs=1e-3)


def test_the_same_pictures_are_at_no_distance() -> None:
    real = scenes(12, seed=0)
    assert distance(real, real)["mean"] == 0


def test_the_distance_sees_at_which_size_pictures_differ() -> None:
    real, alike = scenes(12, seed=0), scenes(12, seed=1)
    rough = scenes(12, seed=1, fine=40)
    near, far = distance(real, alike), distance(real, rough)
    assert list(near) == ["mean", "1/1", "1/2"]
    assert far["1/1"] > 5 * near["1/1"]
    assert far["1/1"] - near["1/1"] > 5 * abs(far["1/2"] - near["1/2"])


def test_the_distance_sees_colour() -> None:
    """Karras et al. bring each set to its own mean, and would not."""
    real = scenes(12, seed=0)
    assert distance(real, real[..., ::-1])["1/2"] > 0.1
    assert distance(real, real + np.uint8(20))["1/2"] > 0.2


def test_the_interval_of_a_distance_is_about_right() -> None:
    """It holds what other pictures of the same kind give, and is not endless."""
    found = [
        sliced_wasserstein(a.__getitem__, b.__getitem__, count=12, shortest=48)["1/1"]
        for a, b in (
            (scenes(12, seed=2 * n), scenes(12, seed=2 * n + 1, fine=30)) for n in range(2)
        )
    ]
    low, high = found[0].interval
    half = (high - low) / 2
    assert all(low - half < one.value < high + half for one in found)
    assert high - low < found[0].value


def test_too_small_pictures_have_no_distance() -> None:
    tiny = scenes(4, seed=0, size=12)
    with pytest.raises(ValueError, match="needs 2 pictures of 16 px"):
        sliced_wasserstein(tiny.__getitem__, tiny.__getitem__, count=4, shortest=12)


def test_the_classifier_tells_what_differs_of_pictures_it_never_saw() -> None:
    """Of noise alone there is nothing to learn but the pictures themselves."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 64, 64, 3), np.uint8)
    same = two_sample_test(
        noise[0].__getitem__, noise[1].__getitem__, count=30, channels=3, steps=60
    )
    dark = noise[1] // 2
    told = two_sample_test(noise[0].__getitem__, dark.__getitem__, count=30, channels=3, steps=60)
    assert same.interval[0] < 0.5 < same.interval[1]
    assert told.value > 0.9
    assert told.interval == wilson(told.value, 60)
    with pytest.raises(ValueError, match="29 pictures: needs 30"):
        two_sample_test(noise[0].__getitem__, dark.__getitem__, count=29, channels=3)


def test_wilson_by_a_table() -> None:
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0.0, 10)[0] == 0


def test_frechet_distance_of_known_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (300, 4)), rng.normal(1, 2, (300, 4))
    assert frechet_distance(x, y) == pytest.approx(4 * 1 + 4 * 1, rel=0.25)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    same = [kernel_distance(*rng.normal(size=(2, 20, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert kernel_distance(rng.normal(size=(20, 8)), rng.normal(1, 1, (20, 8))) > np.max(same)
