"""The page of `serve` in a real browser, where one is installed."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.chromium import BROWSER, browser
from fixtures.models import HEADER, save_model
from fixtures.pictures import png
from PIL import Image
from serving.service import coded, running

from imgtranslate.serving.models import load_models
from imgtranslate.translation.translator import load

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no chromium here")]


def test_the_page_translates_by_the_server(tmp_path: Path) -> None:
    names = {"ab": HEADER, "coded": coded(HEADER, 3)}
    paths = [save_model(tmp_path / f"{name}.safetensors", each) for name, each in names.items()]
    (tmp_path / "in.png").write_bytes(png((61, 43)))
    (tmp_path / "text.png").write_bytes(b"hello\n" * 99)
    models = load_models(paths, device="cpu", notice=lambda _: None)
    with running(models) as service, browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{service.port}/")
        page.choose("#file", tmp_path / "in.png")
        page.wait("!document.querySelector('#download').hidden")
        made = page.download("#download", tmp_path, "in.zebras.png")
        expected = load(paths[0], device="cpu")(Image.open(tmp_path / "in.png"))
        np.testing.assert_array_equal(np.asarray(Image.open(made)), np.asarray(expected))

        page.tell("document.querySelectorAll('#ways button')[1].click()")
        page.wait("!document.querySelector('#codes').hidden")
        page.wait("!document.querySelector('#download').hidden")
        page.tell("document.querySelector('#samples').click()")
        page.wait("document.querySelectorAll('#film button').length === 6")
        page.screenshot(tmp_path / "page.png", width=1100, height=900)

        page.choose("#file", tmp_path / "text.png")
        page.wait("!document.querySelector('#fault').hidden")
        assert page.faults() == []
    assert [each.status for each in service.answered].count(200) >= 8
    assert {each.model for each in service.answered} == {"horses2zebras", "horses2zebras-2"}
