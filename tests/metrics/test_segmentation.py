import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgtranslate.errors import UsageError
from imgtranslate.metrics.palette import Palette, find_palette, read_palette
from imgtranslate.metrics.segmentation import confusion, segmentation_scores

COLOURS = ((0, 0, 222), (0, 128, 255), (255, 80, 0), (192, 255, 63), (174, 0, 0))


def labels(seed: int, *, size: int = 96) -> np.ndarray:
    """Boxes of classes, as a map of facades has."""
    rng = np.random.default_rng(seed)
    classes = np.zeros((size, size), dtype=np.intp)
    for _ in range(8):
        top, left = rng.integers(size - 24, size=2)
        classes[top : top + 24, left : left + 24] = rng.integers(len(COLOURS))
    return classes


def painted(classes: np.ndarray) -> np.ndarray:
    return np.array(COLOURS, dtype=np.uint8)[classes]


def as_jpeg(pixels: np.ndarray, *, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file))


def photo(seed: int) -> np.ndarray:
    """Soft shades with noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((96, 96))
    return np.clip(np.asarray(coarse) + rng.normal(0, 4, (96, 96, 3)), 0, 255).astype(np.uint8)


# Scores


def test_scores_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1]])
    found = np.array([[0, 0, 1, 1]])
    scores = segmentation_scores([confusion(truth, found, classes=2)])
    values = {name: score.value for name, score in scores.items()}
    assert values == pytest.approx(
        {
            "pixel_accuracy": 3 / 4,
            "class_accuracy": (2 / 3 + 1) / 2,
            "class_iou": (2 / 3 + 1 / 2) / 2,
        }
    )


def test_a_class_without_pixels_counts_as_nothing_found() -> None:
    same = np.array([[0, 1]])
    scores = segmentation_scores([confusion(same, same, classes=4)])
    assert scores["pixel_accuracy"].value == 1
    assert scores["class_accuracy"].value == scores["class_iou"].value == 0.5


def test_rows_are_the_truth() -> None:
    counted = confusion(np.array([0, 0, 1]), np.array([2, 2, 1]), classes=3)
    assert counted[0, 2] == 2
    assert counted.sum() == 3


def test_scores_are_of_all_pixels_together() -> None:
    """A class that one picture alone has is not lost in a mean over pictures."""
    one = confusion(np.zeros((2, 2), int), np.zeros((2, 2), int), classes=2)
    other = confusion(np.ones((2, 2), int), np.zeros((2, 2), int), classes=2)
    scores = segmentation_scores([one, other] * 3)
    assert scores["class_iou"].value == pytest.approx((4 / 8 + 0) / 2)
    low, high = scores["pixel_accuracy"].interval
    assert low < 0.25
    assert high > 0.75


# Palettes


@pytest.mark.parametrize("quality", [60, 90])
def test_the_palette_is_found_through_jpeg(quality: int) -> None:
    found = find_palette(as_jpeg(painted(labels(seed)), quality=quality) for seed in range(8))
    assert found is not None
    assert len(found) == len(COLOURS)
    for colour in COLOURS:
        assert min(np.abs(np.subtract(colour, other)).max() for other in found.colours) <= 6


def test_classes_survive_jpeg_but_at_the_edges() -> None:
    classes = labels(0)
    found = Palette(COLOURS).classes(as_jpeg(painted(classes), quality=80))
    assert (found == classes).mean() > 0.97
    assert (Palette(COLOURS).classes(painted(classes)) == classes).all()


def test_photos_have_no_palette() -> None:
    assert find_palette(photo(seed) for seed in range(8)) is None


def test_shades_have_no_palette_though_they_are_flat() -> None:
    ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (96, 1, 3))
    assert find_palette([ramp]) is None


def test_one_colour_is_no_palette() -> None:
    assert find_palette([np.full((32, 32, 3), 7, np.uint8)]) is None
    assert find_palette([np.zeros((2, 2, 3), np.uint8)]) is None
    assert find_palette([]) is None


def test_a_palette_is_read(tmp_path: Path) -> None:
    file = tmp_path / "palette.txt"
    file.write_text("0 0 255 window\n\n255,80,0\n")
    assert read_palette(file, channels=3) == Palette(((0, 0, 255), (255, 80, 0)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 0 256\n0 0 1\n", "line 1: not 3 numbers"),
        ("0 0 1\n\n0 x 1\n", "line 3: not 3 numbers"),
        ("0 0 1\n0 0 1\n", "1 different colour in 2 line"),
        ("", "0 different colours"),
    ],
)
def test_what_is_no_palette_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "palette.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=why):
        read_palette(file, channels=3)
    with pytest.raises(UsageError, match="cannot be read"):
        read_palette(tmp_path / "none.txt", channels=3)
