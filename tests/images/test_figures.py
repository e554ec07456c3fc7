import numpy as np
import pytest

from imgtranslate.images.figures import comparison

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour, *, height=64, width=64):
    return np.full((height, width, 3), colour, np.uint8)


def where(figure, colour):
    """The top, left, height and width of the box that holds every pixel of a colour."""
    rows, columns = np.nonzero((figure == colour).all(axis=-1))
    top, left = rows.min(), columns.min()
    return top, left, rows.max() - top + 1, columns.max() - left + 1


def test_pictures_stand_side_by_side_in_the_order_given():
    figure = comparison(
        [[plain(RED), plain(GREEN), plain(BLUE)]], titles=["Real", "Fake", "Recovered"]
    )
    boxes = [where(figure, colour) for colour in (RED, GREEN, BLUE)]
    assert figure.dtype == np.uint8
    assert len({top for top, *_ in boxes}) == 1
    assert [left for _, left, *_ in boxes] == sorted(left for _, left, *_ in boxes)
    assert {(height, width) for *_, height, width in boxes} == {(256, 256)}


def test_rows_stand_below_each_other_on_white_paper():
    figure = comparison([[plain(RED)], [plain(GREEN)]], titles=["Real"])
    top, left, height, _ = where(figure, RED)
    below, same_left, *_ = where(figure, GREEN)
    assert below >= top + height
    assert left == same_left
    assert (figure[0] == 255).all()
    assert (figure[-1] == 255).all()


def test_small_pictures_are_enlarged_pixel_by_pixel():
    picture = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    picture[0, 0], picture[-1, -1] = RED, RED
    figure = comparison([[picture]], titles=[""], cell=200)
    top, left, height, width = where(figure, RED)
    assert (height, width) == (192, 144)  # three times, the most that fits
    shown = figure[top : top + height, left : left + width]
    assert (shown[::3, ::3] == picture).all()
    assert (shown[2::3, 1::3] == picture).all()


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(512, 1024, (128, 256)), (1000, 3, (256, 1)), (257, 257, (256, 256)), (1, 1, (256, 256))],
)
def test_any_size_fits_its_cell_with_the_aspect_kept(height, width, shown):
    figure = comparison([[plain(RED, height=height, width=width)]], titles=["Real"])
    assert where(figure, RED)[2:] == shown


def test_grey_pictures_are_shown_grey():
    grey = np.full((64, 64, 1), 77, np.uint8)
    figure = comparison([[grey, plain(RED)]], titles=["Real", "Fake"])
    assert where(figure, (77, 77, 77))[2:] == (256, 256)


def test_titles_and_captions_are_drawn():
    rows = [[plain(RED)]]
    untitled = comparison(rows, titles=[""])
    titled = comparison(rows, titles=["Real"])
    captioned = comparison(rows, titles=["Real"], captions=["horse.jpg"])
    top, _, height, _ = where(titled, RED)
    assert (untitled[: top - 1] == 255).all()
    assert (titled[: top - 1] < 128).any()
    assert (titled[top + height + 1 :] == 255).all()
    assert (captioned[top + height + 1 :] < 160).any()


def test_long_titles_and_captions_stay_inside():
    figure = comparison([[plain(RED)]], titles=["long " * 50], captions=["日本 é " * 200])
    assert figure.shape[1] < 256 + 40
    assert (figure[:, -10:] == 255).all()


def test_a_row_may_be_short_and_a_figure_empty():
    ragged = comparison([[plain(RED)], [plain(GREEN), plain(BLUE)]], titles=["Real", "Fake"])
    assert where(ragged, RED)[1] == where(ragged, GREEN)[1]
    assert comparison([], titles=["Real", "Fake"]).shape[2] == 3
