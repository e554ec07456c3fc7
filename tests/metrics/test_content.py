import numpy as np
import pytest

from imgtranslate.demo.scenes import draw_scene, render_painting, render_stitches
from imgtranslate.images import Pixels
from imgtranslate.metrics.content import content_agreement, edge_directions

SCENES = [draw_scene(0, "held_out", index) for index in range(6)]
FLAT = np.full((40, 30, 3), 80, np.uint8)


def scene(index: int = 0) -> Pixels:
    return render_painting(SCENES[index])


def agreement(x: Pixels, y: Pixels) -> float | None:
    return content_agreement(edge_directions(x), edge_directions(y))


def halves_inverted(x: Pixels) -> Pixels:
    return np.where(np.arange(x.shape[1])[:, None] < x.shape[1] // 2, x, 255 - x)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_equal_pictures_agree_whatever_their_channels(channels: int) -> None:
    picture = np.random.default_rng(channels).integers(0, 256, (50, 33, channels), np.uint8)
    assert agreement(picture, picture) == pytest.approx(1)


def test_colours_and_brightness_do_not_count_even_in_parts_of_a_picture() -> None:
    picture = scene()
    assert agreement(picture, 255 - picture) == pytest.approx(1)
    assert agreement(picture, picture[..., [1, 2, 0]]) == pytest.approx(1)
    assert agreement(picture, picture // 4 + 90) == pytest.approx(0.93, abs=0.07)
    grey = picture.mean(axis=2, keepdims=True).astype(np.uint8)
    assert agreement(picture, grey) == pytest.approx(0.9, abs=0.1)
    assert agreement(picture, halves_inverted(picture)) == pytest.approx(0.93, abs=0.06)


def test_a_translation_agrees_and_another_scene_does_not() -> None:
    stitched = [render_stitches(each) for each in SCENES]
    own = [agreement(scene(n), fake) or 0 for n, fake in enumerate(stitched)]
    other = [agreement(scene(n), stitched[n - 1]) or 0 for n in range(len(SCENES))]
    assert min(own) > 0.6
    assert np.mean(other) < 0.3


def test_noise_and_rotated_edges_do_not_agree() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert agreement(scene(), noise) == pytest.approx(0, abs=0.1)
    waves = np.sin(np.arange(64) / 4) * 100 + 128
    stripes = np.broadcast_to(waves[:, None, None], (64, 64, 3)).astype(np.uint8)
    across = np.ascontiguousarray(stripes.swapaxes(0, 1))
    assert agreement(stripes, across) == pytest.approx(-1, abs=0.1)


def test_a_flat_picture_has_no_content_to_keep_and_keeps_none() -> None:
    assert agreement(FLAT, scene()) is None
    assert agreement(FLAT, FLAT) is None
    assert agreement(scene(), FLAT) == 0


def test_pictures_smaller_than_the_grid_and_of_one_pixel() -> None:
    small = np.random.default_rng(1).integers(0, 256, (9, 5, 3), np.uint8)
    assert agreement(small, 255 - small) == pytest.approx(1)
    assert agreement(small[:1, :1], small[:1, :1]) is None
