"""The page in a real browser, with a real onnxruntime-web: its pixels are those of `translate`."""

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.chromium import BROWSER, Browser, browser, served
from fixtures.models import CODED_UNET, UNET, model_header, save_both, save_model
from fixtures.pages import real_runtime
from numpy.typing import NDArray
from PIL import Image

from imgtranslate.exporting.web import check_picture, export_web
from imgtranslate.pages.web import page_files
from imgtranslate.translation.translator import Translator, load

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no chromium here")]
IDLE = "document.getElementById('working').hidden"
DONE = f"{IDLE} && !document.getElementById('download').hidden"


def text_of(page: Browser, name: str) -> str:
    return str(page.tell(f"document.getElementById('{name}').textContent"))


def click(page: Browser, selector: str) -> None:
    page.tell(f"document.querySelector('{selector}').click()")


def put(page: Browser, name: str, value: float) -> None:
    """Set a control as a person does who lets go of it."""
    page.tell(
        f"(() => {{ const it = document.getElementById('{name}'); it.value = {value}; "
        "for (const kind of ['input', 'change']) it.dispatchEvent(new Event(kind)); })()"
    )


def translated(page: Browser, file: Path, folder: Path, *, target: str = "zebras") -> NDArray[Any]:
    """What the page makes of a file, as it lands in the folder of downloads."""
    page.choose("#file", file)
    page.wait(f"document.getElementById('real').alt === 'Real: {file.name}'")
    page.wait(DONE)
    assert text_of(page, "fault") == ""
    return saved(page, folder, f"{file.stem}.{target}.png")


def saved(page: Browser, folder: Path, name: str) -> NDArray[Any]:
    folder.mkdir(exist_ok=True)
    path = page.download("#download", folder, name)
    with Image.open(path) as image:
        pixels = np.asarray(image).astype(int)
    path.unlink()
    return pixels


def expected(translator: Translator, file: Path, **look: Any) -> NDArray[Any]:
    with Image.open(file) as image:
        return np.asarray(translator(image, **look)).astype(int)


def apart(found: NDArray[Any], wanted: NDArray[Any]) -> int:
    assert found.shape == wanted.shape
    return int(np.abs(found - wanted).max())


@contextmanager
def opened(page: Path, profile: Path, *options: str) -> Iterator[Browser]:
    with served(page) as address, browser(profile, *options) as tab:
        tab.open(address)
        yield tab
        assert tab.faults() == []


def scene(width: int, height: int) -> Image.Image:
    """A soft picture with an edge: what a JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), 255 * (x > y)]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    export_web(save_both(folder), folder / "page", runtime=real_runtime())
    return folder


def pictures(folder: Path) -> dict[str, Path]:
    """Files of kinds that break image tools."""
    turned, exif = scene(60, 41), Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (33, 50, 4), np.uint8))
    files = {
        "photo": folder / "a photo.jpg", "turned": folder / "turned.jpg",
        "alpha": folder / "alpha.png", "clear": folder / "clear.webp",
        "small": folder / "small.png", "one": folder / "one.png", "grey": folder / "grey.jpg",
        "long": folder / "long.png",
    }  # fmt: skip
    scene(97, 64).save(files["photo"], quality=90)
    turned.save(files["turned"], exif=exif, quality=90)
    noise.save(files["alpha"])
    noise.save(files["clear"], lossless=True, exact=True)
    scene(7, 5).save(files["small"])
    scene(1, 1).save(files["one"])
    scene(30, 40).convert("L").save(files["grey"])
    scene(355, 32).save(files["long"])
    return files


def test_its_pixels_are_those_of_translate(run_page: Path, tmp_path: Path) -> None:
    model = load(run_page / "ab.safetensors", device="cpu")
    with opened(run_page / "page", tmp_path / "profile") as page:
        for name, file in pictures(tmp_path).items():
            wanted = expected(model, file)
            assert name == "one" or np.ptp(wanted) > 100, name
            assert apart(translated(page, file, tmp_path / "saved"), wanted) <= 2, name
            width, height = wanted.shape[1], wanted.shape[0]
            assert text_of(page, "status").startswith(
                f"{width} \N{MULTIPLICATION SIGN} {height} px in "
            ), name


def test_the_other_direction_is_a_click_away(run_page: Path, tmp_path: Path) -> None:
    file = pictures(tmp_path)["photo"]
    with opened(run_page / "page", tmp_path / "profile") as page:
        translated(page, file, tmp_path / "saved")
        click(page, "#ways button:nth-child(2)")
        page.wait(DONE)
        found = saved(page, tmp_path / "saved", "a photo.horses.png")
        wanted = expected(load(run_page / "ba.safetensors", device="cpu"), file)
        assert apart(found, wanted) <= 2
        assert page.tell("document.title") == "horses ⇄ zebras"


def test_models_that_go_the_same_way_are_told_apart(tmp_path: Path) -> None:
    way = {"source": "horses", "target": "zebras", "latent_dim": 0, "crop_size": 64, "size": 1}
    entries = [
        {**way, "name": "horses2zebras"},
        {**way, "name": "horses2zebras-2"},
        {**way, "name": "zebras2horses", "source": "zebras", "target": "horses"},
    ]
    for name, text in page_files("browser", entries).items():
        (tmp_path / name).write_text(text, "utf-8")
    with opened(tmp_path, tmp_path / "profile") as page:
        buttons = "[...document.querySelectorAll('#ways button')].map((each) => each.textContent)"
        assert page.tell(buttons) == [
            "horses → zebras (horses2zebras)",
            "horses → zebras (horses2zebras-2)",
            "zebras → horses",
        ]


def test_what_is_no_picture_gets_one_line(run_page: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    scene(200, 200).save(content, format="PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "broken.png").write_bytes(content.getvalue()[:300])
    Image.new("1", (12_000, 12_000)).save(tmp_path / "huge.png")
    reasons = {
        "notes.txt": "not a picture", "notes.png": "not a picture", "empty.jpg": "not a picture",
        "broken.png": "damaged", "huge.png": "144,000,000 pixels, more than the limit",
    }  # fmt: skip
    with opened(run_page / "page", tmp_path / "profile") as page:
        for name, reason in reasons.items():
            page.choose("#file", tmp_path / name)
            page.wait(f"document.getElementById('fault').textContent.startsWith('{name}: ')")
            assert reason in text_of(page, "fault"), name
            assert "\n" not in text_of(page, "fault")
            page.wait(IDLE)
        file = pictures(tmp_path)["photo"]
        wanted = expected(load(run_page / "ab.safetensors", device="cpu"), file)
        assert apart(translated(page, file, tmp_path / "saved"), wanted) <= 2


def test_a_large_picture_is_as_exact(run_page: Path, tmp_path: Path) -> None:
    """Norms that WebAssembly adds up itself are off by 0.1 of 255 here."""
    scene(1700, 1300).save(tmp_path / "large.png")
    model = load(run_page / "ab.safetensors", device="cpu")
    with opened(run_page / "page", tmp_path / "profile") as page:
        found = translated(page, tmp_path / "large.png", tmp_path / "saved")
    wanted = expected(model, tmp_path / "large.png")
    assert apart(found, wanted) <= 2
    assert np.abs(found - wanted).mean() < 0.01


def test_what_is_too_large_is_made_smaller_and_that_is_said(run_page: Path, tmp_path: Path) -> None:
    scene(2400, 1200).save(tmp_path / "large.png")
    shutil.copytree(run_page / "page", tmp_path / "page")
    index = tmp_path / "page/index.html"
    index.write_text(re.sub(r'"max_pixels":\d+', '"max_pixels":1000000', index.read_text("utf-8")))
    with opened(tmp_path / "page", tmp_path / "profile") as page:
        found = translated(page, tmp_path / "large.png", tmp_path / "saved")
        assert "takes up to 1.0 million pixels" in text_of(page, "limit")
        assert found.shape == (707, 1414, 3)
        put(page, "size", 256)
        page.wait(f"{DONE} && document.getElementById('status').textContent.startsWith('512')")
        found = saved(page, tmp_path / "saved", "large.zebras.png")
        assert found.shape == (256, 512, 3)


def test_it_can_be_cancelled_and_done_again(run_page: Path, tmp_path: Path) -> None:
    scene(1000, 1000).save(tmp_path / "large.png")
    with opened(run_page / "page", tmp_path / "profile") as page:
        page.choose("#file", tmp_path / "large.png")
        page.wait("document.getElementById('status').textContent.startsWith('Translating')")
        click(page, "#cancel")
        page.wait(IDLE)
        assert text_of(page, "status") == "Cancelled"
        assert page.tell("document.getElementById('download').hidden")
        click(page, "#again")
        page.wait(DONE)
        assert text_of(page, "status").startswith("1,000 \N{MULTIPLICATION SIGN} 1,000 px in ")


def test_samples_are_those_of_their_codes(tmp_path: Path) -> None:
    model = save_model(tmp_path / "ab.safetensors", model_header(CODED_UNET, method="bicyclegan"))
    export_web(model, tmp_path / "page", runtime=real_runtime())
    file, translator = pictures(tmp_path)["photo"], load(model, device="cpu")
    with opened(tmp_path / "page", tmp_path / "profile") as page:
        found = translated(page, file, tmp_path / "saved")
        first = page.tell("import('/codes.js').then((codes) => codes.draw(0, 8))")
        assert apart(found, expected(translator, file, z=first)) <= 2
        put(page, "share", 50)
        page.wait(DONE)
        click(page, "#copy")
        page.wait("document.getElementById('copied').textContent")
        between = page.tell(
            "import('/codes.js').then(({ draw, between }) => between(draw(0, 8), draw(1, 8), 0.5))"
        )
        found = saved(page, tmp_path / "saved", "a photo.zebras.png")
        assert apart(found, expected(translator, file, z=between)) <= 2
        click(page, "#samples")
        page.wait(f"{IDLE} && document.querySelectorAll('#film img').length === 6")
        names = page.tell("[...document.querySelectorAll('#film button')].map((b) => b.innerText)")
        assert names == [f"Seed {seed}" for seed in range(6)]
        click(page, "#film button:nth-child(3)")
        page.wait(f"{DONE} && document.getElementById('first').value === '2'")
        third = page.tell("import('/codes.js').then((codes) => codes.draw(2, 8))")
        found = saved(page, tmp_path / "saved", "a photo.zebras.png")
        assert apart(found, expected(translator, file, z=third)) <= 2


def test_grey_models_make_grey_pictures(tmp_path: Path) -> None:
    model = save_model(
        tmp_path / "ab.safetensors", model_header(UNET, in_channels=1, out_channels=1)
    )
    export_web(model, tmp_path / "page", runtime=real_runtime())
    files, translator = pictures(tmp_path), load(model, device="cpu")
    with opened(tmp_path / "page", tmp_path / "profile") as page:
        for name in ("photo", "grey", "alpha"):
            found = translated(page, files[name], tmp_path / "saved")
            assert apart(found, expected(translator, files[name])) <= 2, name
        drawn = page.tell("import('/picture.js').then(({ pattern }) => [...pattern(32)])")
    colour = np.reshape(drawn, (32, 32, 4))[..., :3].astype(np.uint8)
    assert np.array_equal(colour, check_picture(3))
    mixed = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(mixed, check_picture(1)[..., 0])


def test_nothing_can_be_sent_elsewhere(run_page: Path, tmp_path: Path) -> None:
    fetched = "fetch('{}').then(() => 'sent', () => 'refused')"
    with (
        served(tmp_path) as elsewhere,
        served(run_page / "page") as address,
        browser(tmp_path / "profile") as page,
    ):
        page.open(address)
        assert page.tell(fetched.format(f"{elsewhere}?")) == "refused"
        inside = (
            "new Promise((done) => { const source = `fetch('%s').then(() => 'sent', "
            "() => 'refused').then(postMessage)`; const worker = new Worker(URL.createObjectURL("
            "new Blob([source]))); worker.onmessage = (event) => done(event.data); })"
        )
        assert page.tell(inside % elsewhere) == "refused"
        assert page.tell(fetched.format("index.html")) == "sent"


@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_and_is_worked_by_keys(run_page: Path, tmp_path: Path, width: int) -> None:
    with opened(run_page / "page", tmp_path / "profile") as page:
        page.screenshot(tmp_path / "empty.png", width=width, height=700, dark=width > 1000)
        translated(page, pictures(tmp_path)["photo"], tmp_path / "saved")
        assert page.tell("document.documentElement.scrollWidth <= innerWidth")
        page.tell("document.getElementById('edge').focus()")
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Home", code="Home",
                      windowsVirtualKeyCode=36)  # fmt: skip
        page.wait("document.getElementById('translated').style.clipPath.endsWith(' 0%)')")
        unnamed = page.tell(
            "[...document.querySelectorAll('button, input, select, a, progress')].filter((it) =>"
            " !it.textContent && !it.ariaLabel && !it.closest('label')).map((it) => it.id)"
        )
        assert unnamed == []
