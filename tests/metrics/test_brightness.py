import numpy as np
import pytest

from imgtranslate.demo.scenes import draw_scene, render_painting
from imgtranslate.images import Pixels
from imgtranslate.metrics.brightness import brightness_agreement


def scene(seed: int = 0) -> Pixels:
    return render_painting(draw_scene(seed, "held_out", 0))


def test_brightness_agrees_with_itself_and_not_with_the_negative() -> None:
    picture = scene()
    assert brightness_agreement(picture, picture) == pytest.approx(1)
    assert brightness_agreement(picture, 255 - picture) == pytest.approx(-1)
    assert brightness_agreement(picture, picture[..., [2, 0, 1]]) == pytest.approx(1)
    assert brightness_agreement(picture, picture // 3 + 50) == pytest.approx(1, abs=0.01)
    assert brightness_agreement(picture, picture[..., :1]) == pytest.approx(0.9, abs=0.1)


def test_upside_down_is_no_negative() -> None:
    values = [brightness_agreement(scene(i), scene(i)[::-1]) or 0 for i in range(20)]
    assert np.mean(values) > -0.15  # of the brightness alone it would be -0.4


def test_flat_pictures_have_no_bright_places() -> None:
    flat = np.full((40, 40, 3), 80, np.uint8)
    assert brightness_agreement(flat, scene()) is None
    assert brightness_agreement(scene(), flat) is None
