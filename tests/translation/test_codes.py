"""Models with a code z: many samples of one picture."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.models import CODED_UNET, RESNET, model_header, save_model
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import imgtranslate
from imgtranslate import cli
from imgtranslate.builders import build_encoder
from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.exporting.export import export_model
from imgtranslate.images.figures import comparison
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import ENCODER_PREFIX, ModelHeader
from imgtranslate.settings.config import CodeAt, ResidualEncoderConfig
from imgtranslate.translation.codes import interpolate
from imgtranslate.translation.translator import Translator, find_model

ENCODER = ResidualEncoderConfig(base_channels=4, num_blocks=2)

CODED = model_header(
    CODED_UNET,
    encoder=ENCODER,
    source="labels",
    target="photos",
    load_size=36,
    crop_size=32,
    method="bicyclegan",
)
PLAIN = replace(CODED, generator=RESNET, encoder=None, method="pix2pix")


def with_code_at(z_at: CodeAt) -> ModelHeader:
    return replace(CODED, generator=replace(CODED_UNET, z_at=z_at))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "ab.safetensors", CODED)


@pytest.fixture(scope="module")
def translator(model: Path) -> Translator:
    return imgtranslate.load(model, device="cpu")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, size in (
        ("in", (40, 33)),
        ("other", (20, 50)),
        ("red", (32, 32)),
        ("blue", (50, 34)),
    ):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


Translate = Callable[..., int]


@pytest.fixture
def translate(model: Path, pictures: Path) -> Translate:  # noqa: ARG001 - where it works
    def run(*arguments: str) -> int:
        return cli.run(["translate", *arguments, "--model", str(model), "--device", "cpu"])

    return run


def pixels_of(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_samples_are_numbered_differ_and_come_again(translate: Translate) -> None:
    assert translate("in.png", "--samples", "3", "--seed", "4") == 0
    names = [f"in.photos.{number}.png" for number in (1, 2, 3)]
    first = [Path(name).read_bytes() for name in names]
    assert len(set(first)) == 3
    assert translate("in.png", "--samples", "3", "--seed", "4", "--overwrite") == 0
    assert [Path(name).read_bytes() for name in names] == first
    assert translate("in.png", "--seed", "5", "-o", "alone.png") == 0
    assert Path("alone.png").read_bytes() == first[1]


def test_neighbours_and_names_do_not_matter(translate: Translate) -> None:
    assert translate("in.png", "--samples", "2", "-o", "one") == 0
    Path("in.png").rename("renamed.png")
    assert translate("other.png", "renamed.png", "--samples", "2", "-o", "two") == 0
    for number in (1, 2):
        one, two = (Path(f"{n}.{number}.png") for n in ("one/in", "two/renamed"))
        assert one.read_bytes() == two.read_bytes()


def test_sync_gives_all_pictures_the_same_codes(translator: Translator) -> None:
    a, b = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32, 3), np.uint8)
    assert not np.array_equal(translator.draw(0, a), translator.draw(0, b))
    assert not np.array_equal(translator.draw(0), translator.draw(1))
    assert np.array_equal(translator.draw(0), translator.draw(0))


def test_sync_on_the_command_line(translate: Translate, translator: Translator) -> None:
    assert translate("in.png", "other.png", "--seed", "2", "--sync", "-o", "out") == 0
    for name in ("in", "other"):
        wanted = translator.translate_pixels(pixels_of(f"{name}.png"), z=translator.draw(2))
        assert np.array_equal(pixels_of(f"out/{name}.png"), wanted)


def test_python_gives_the_pixels_of_the_command(
    translate: Translate, translator: Translator
) -> None:
    with Image.open("in.png") as image, Image.open("red.png") as red:
        assert translate("in.png", "--samples", "2", "-o", "drawn") == 0
        for seed in (0, 1):
            found = pixels_of(f"drawn/in.{seed + 1}.png")
            assert np.array_equal(found, np.asarray(translator(image, seed=seed)))
        assert np.array_equal(np.asarray(translator(image)), np.asarray(translator(image, seed=0)))
        assert translate("in.png", "--style", "red.png", "-o", "styled.png") == 0
        styled = np.asarray(translator(image, style=red))
        assert np.array_equal(pixels_of("styled.png"), styled)
        assert np.array_equal(np.asarray(translator(image, z=translator.encode(red))), styled)
        code = [-0.5, 0.25, 1, 2, -1, 0, 0, 3]
        assert translate("in.png", "--z", "-0.5,0.25,1,2,-1,0,0,3", "-o", "code.png") == 0
        assert np.array_equal(pixels_of("code.png"), np.asarray(translator(image, z=code)))


def test_a_style_is_the_mean_that_the_encoder_reads(model: Path, translator: Translator) -> None:
    for size in ((1, 1), (7, 5), (40, 33), (64, 64)):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        code = translator.encode(Image.fromarray(pixels))
        assert code.shape == (8,)
        assert np.isfinite(code).all()
    encoder = build_encoder(ENCODER, in_channels=3, latent_dim=8).eval()
    tensors = checkpoint.load_tensors(model).items()
    own = {n.removeprefix(ENCODER_PREFIX): t for n, t in tensors if n.startswith(ENCODER_PREFIX)}
    encoder.load_state_dict(own)
    x = torch.from_numpy(pixels.transpose(2, 0, 1)[None]).float() / 127.5 - 1
    with torch.inference_mode():
        wanted = encoder(x)[0][0].numpy()
    assert np.allclose(code, wanted, atol=1e-5)


def test_codes_from_a_file(translate: Translate) -> None:
    Path("z.txt").write_text("0,0,0,0,0,0,0,0\n\n1 1 1 1 1 1 1 1\n")
    assert translate("in.png", "--z-file", "z.txt", "-o", "out") == 0
    assert not np.array_equal(pixels_of("out/in.1.png"), pixels_of("out/in.2.png"))
    assert translate("in.png", "--z", "0,0,0,0,0,0,0,0", "-o", "zero.png") == 0
    assert Path("zero.png").read_bytes() == Path("out/in.1.png").read_bytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_codes_from_an_array(translate: Translate, dtype: type) -> None:
    np.save("z.npy", np.array([[0] * 8, [1] * 8], dtype))
    assert translate("in.png", "--z-file", "z.npy", "-o", "out") == 0
    for number, code in ((1, "0,0,0,0,0,0,0,0"), (2, "1,1,1,1,1,1,1,1")):
        assert translate("in.png", "--z", code, "-o", f"{number}.png") == 0
        assert Path(f"{number}.png").read_bytes() == Path(f"out/in.{number}.png").read_bytes()
    np.save("z.npy", np.zeros(8, dtype))
    assert translate("in.png", "--z-file", "z.npy", "-o", "one.png") == 0
    assert Path("one.png").read_bytes() == Path("1.png").read_bytes()


def test_a_path_begins_and_ends_at_the_styles(translate: Translate) -> None:
    path = ("--interpolate", "red.png", "blue.png", "--frames", "4")
    assert translate("in.png", *path, "-o", "out") == 0
    for number, name in ((1, "red.png"), (4, "blue.png")):
        assert translate("in.png", "--style", name, "-o", f"{number}.png") == 0
        assert Path(f"{number}.png").read_bytes() == Path(f"out/in.{number}.png").read_bytes()
    assert len(list(Path("out").iterdir())) == 4


def test_between_two_codes_the_length_is_kept() -> None:
    first, last = np.array([2, 0, 0], np.float32), np.array([0, 2, 0], np.float32)
    middle = interpolate(first, last, 0.5)
    assert np.allclose(middle, [2**0.5, 2**0.5, 0])
    near = np.array([2 * np.cos(1), 2 * np.sin(1), 0], np.float32)
    assert np.allclose(interpolate(first, near, 0.3), [2 * np.cos(0.3), 2 * np.sin(0.3), 0])
    assert np.allclose(interpolate(first, first * 2, 0.5), first * 1.5)
    assert np.allclose(interpolate(first * 0, last, 0.25), last * 0.25)


def test_a_grid_is_one_picture(translate: Translate) -> None:
    assert translate("in.png", "--samples", "5", "--grid", "-o", "grid.png") == 0
    assert translate("in.png", "other.png", "--samples", "5", "--grid", "-o", "grids") == 0
    assert sorted(path.name for path in Path("grids").iterdir()) == ["in.png", "other.png"]
    with Image.open("grid.png") as grid, Image.open("grids/in.png") as again:
        assert grid.tobytes() == again.tobytes()
    assert translate("in.png", "--samples", "5", "-o", "alone") == 0
    row = [pixels_of("in.png"), *(pixels_of(f"alone/in.{number}.png") for number in range(1, 6))]
    titles = ["labels", *(f"photos {number}" for number in range(1, 6))]
    assert np.array_equal(pixels_of("grid.png"), comparison([row], titles=titles, cell=128))


def test_a_picture_that_fails_does_not_change_the_next(translate: Translate) -> None:
    Path("bad.png").write_bytes(b"no picture")
    assert translate("bad.png", "in.png", "--samples", "2", "-o", "out") == 1
    assert translate("in.png", "--samples", "2", "-o", "alone") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["in.1.png", "in.2.png"]
    for number in (1, 2):
        one, two = (Path(f"{folder}/in.{number}.png") for folder in ("out", "alone"))
        assert one.read_bytes() == two.read_bytes()


def test_a_sample_that_is_missing_is_made_as_it_was(translate: Translate) -> None:
    samples = ("in.png", "--samples", "3", "-o", "out")
    assert translate(*samples) == 0
    before = {path: path.read_bytes() for path in sorted(Path("out").iterdir())}
    Path("out/in.2.png").unlink()
    assert translate(*samples, "--skip-existing") == 0
    assert {path: path.read_bytes() for path in sorted(Path("out").iterdir())} == before


def test_lines_of_json_name_sample_and_seed(
    translate: Translate, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*options: str) -> list[tuple[str, object, object]]:
        assert translate("in.png", *options, "--json", "--overwrite") == 0
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        return [(line["output"], line["sample"], line["seed"]) for line in lines]

    drawn = told("--samples", "2", "--seed", "7")
    assert drawn == [("in.photos.1.png", 1, 7), ("in.photos.2.png", 2, 8)]
    assert told() == [("in.photos.png", 1, 0)]
    assert told("--style", "red.png") == [("in.photos.png", 1, None)]
    assert told("--samples", "2", "--seed", "7", "--grid") == [("in.photos.png", None, 7)]


def test_all_that_would_be_in_the_way_is_found_before_anything_is_written(
    translate: Translate, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sub").mkdir()
    Path("sub/in.png").write_bytes(Path("in.png").read_bytes())
    assert translate("in.png", "sub/in.png", "--samples", "2", "-o", "out") == 2
    assert "both would be written to" in capsys.readouterr().err
    assert not Path("out").exists()
    Path("in.photos.2.png").touch()
    assert translate("in.png", "--samples", "2") == 2
    assert "in.photos.2.png: already exists" in capsys.readouterr().err
    assert not Path("in.photos.1.png").exists()


class Payload:
    """What would make a file, were it unpickled."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--samples", "2", "-o", "one.png"), "-o one.png: one file, 2 samples"),
        (("--z", "1,2"), "--z: 2 numbers, but the code has 8"),
        (("--z", ""), "--z: 0 numbers, but the code has 8"),
        (("--z", "-1"), "--z: 1 number, but the code has 8"),
        (("--z", "1,2,3,4,5,6,7,nan"), "--z: contains numbers that are not finite"),
        (("--z", "1,2,3,4,5,6,7,1e39"), "--z: contains numbers that are not finite"),
        (("--z", "one"), "--z one: not numbers"),
        (("--z-file", "missing.txt"), "--z-file missing.txt: cannot be read: No such file"),
        (("--z-file", "missing.npy"), "--z-file missing.npy: cannot be read: No such file"),
        (("--z-file", "in.png"), "--z-file in.png: cannot be read: not text"),
        (("--z-file", "empty.txt"), "--z-file empty.txt: contains no code"),
        (("--z-file", "short.txt"), "--z-file, code 2: 7 numbers, but the code has 8"),
        (("--z-file", "words.txt"), "--z-file words.txt: line 2: not numbers"),
        (("--z-file", "pickle.npy"), "--z-file pickle.npy: cannot be read: not an array"),
        (("--z-file", "complex.npy"), "--z-file complex.npy: cannot be read: not an array"),
        (("--z-file", "giant.npy"), "--z-file giant.npy: cannot be read: not an array"),
        (("--z-file", "empty.npy"), "--z-file empty.npy: cannot be read: not an array"),
        (("--style", "missing.png"), "--style missing.png: cannot be read"),
        (("--interpolate", "red.png", "empty.txt"), "--interpolate empty.txt: the file is empty"),
        (("--style", "red.png", "--samples", "2"), "--style, --samples: both"),
        (("--interpolate", "red.png", "blue.png", "--sync"), "--interpolate, --sync: both"),
        (("--z", "0,0,0,0,0,0,0,0", "--seed", "1"), "--z, --seed: both"),
        (("--z", "0", "--z-file", "short.txt"), "--z, --z-file: both"),
        (("--frames", "3"), "--frames"),
        (("--interpolate", "red.png", "blue.png", "--frames", "1"), "--frames"),
        (("--samples", "0"), "--samples"),
        (("--samples", "1000000000"), "--samples"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    options: tuple[str, ...], said: str, translate: Translate, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty.txt").touch()
    Path("empty.npy").touch()
    Path("short.txt").write_text("0 0 0 0 0 0 0 0\n0 0 0 0 0 0 0")
    Path("words.txt").write_text("0 0 0 0 0 0 0 0\none")
    np.save("pickle.npy", np.array([Payload()] * 8, object), allow_pickle=True)
    np.save("complex.npy", np.zeros((1, 8), complex))
    np.save("giant.npy", np.zeros((1, 8)))
    Path("giant.npy").write_bytes(Path("giant.npy").read_bytes().replace(b"(1, 8)", b"(9**9)"))
    before = sorted(Path().iterdir())
    assert translate("in.png", *options) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(errors) == 1
    assert said in errors[0]
    assert sorted(Path().iterdir()) == before


def test_an_array_that_claims_a_giant_allocates_nothing(
    translate: Translate, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("z.npy", np.zeros((1, 8)))
    whole = Path("z.npy").read_bytes()
    Path("z.npy").write_bytes(whole.replace(b"(1, 8), }       ", b"(99999999999,8)}"))
    assert Path("z.npy").read_bytes() != whole
    assert translate("in.png", "--z-file", "z.npy") == 2
    assert "--z-file z.npy: cannot be read" in capsys.readouterr().err


def test_wrong_use_from_python_is_one_line(translator: Translator, pictures: Path) -> None:
    image = Image.new("RGB", (32, 32))
    plain = imgtranslate.load(save_model(pictures / "plain.safetensors", PLAIN), device="cpu")
    pixels = np.zeros((32, 32, 3), np.uint8)
    for call, said in [
        (lambda: translator(image, z=[1.0] * 7), "z: 7 numbers, but the code has 8"),
        (lambda: translator(image, z=np.zeros((2, 8), np.float32)), "z: 16 numbers"),
        (lambda: translator(image, z=[]), "z: 0 numbers"),
        (lambda: translator(image, z=[0.0] * 8, seed=0), "seed, z: both choose"),
        (lambda: translator(image, seed=-1), "seed -1: negative"),
        (lambda: translator.translate_pixels(pixels, z=np.zeros(3, np.float32)), "z: 3 numbers"),
        (lambda: translator.translate_values(np.zeros((3, 32, 32), np.float32)), "z: 0 numbers"),
        (lambda: plain(image, seed=0), "seed: this model has no latent code"),
        (lambda: plain(image, z=[0.0]), "z: this model has no latent code"),
        (lambda: plain(image, style=image), "style: this model has no latent code"),
        (lambda: plain.translate_pixels(pixels, z=np.zeros(8, np.float32)), "z: this model has"),
        (lambda: plain.encode(image), "style: this model has no encoder"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


def test_an_array_is_a_code_too(translator: Translator) -> None:
    image = Image.new("RGB", (32, 32), "red")
    code = [0.5, -1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0]
    wanted = translator(image, z=code).tobytes()
    for array in (np.array(code, np.float32), np.array(code)[None]):
        assert translator(image, z=array).tobytes() == wanted


@pytest.mark.parametrize(
    "options",
    [
        ["--samples", "1"],
        ["--samples", "2"],
        ["--samples", "2", "-o", "one.png"],  # first what no other output would mend
        ["--seed", "0"],
        ["--sync"],
        ["--style", "red.png"],
        ["--z", "0"],
        ["--z-file", "z.txt"],
        ["--interpolate", "red.png", "blue.png", "--frames", "3"],
        ["--grid"],
    ],
)
def test_a_model_without_a_code_has_one_look(
    options: list[str], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("z.txt").write_text("0")
    save_model(pictures / "plain.safetensors", PLAIN)
    before = sorted(Path().iterdir())
    assert cli.run(["translate", "in.png", "--model", "plain.safetensors", *options]) == 2
    wanted = (
        f"error: {options[0]}: the model has no latent code, so a picture has one translation. "
    )
    assert capsys.readouterr().err == f"{wanted}Leave it out\n"
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    "options", [["--style", "red.png"], ["--interpolate", "red.png", "in.png"]]
)
def test_a_model_without_an_encoder_reads_no_style(
    options: list[str], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(pictures / "clr.safetensors", replace(CODED, encoder=None))
    run = ["translate", "in.png", "--model", "clr.safetensors", "--device", "cpu"]
    assert cli.run([*run, *options]) == 2
    assert f"{options[0]}: the model has no encoder" in capsys.readouterr().err
    assert cli.run([*run, "--samples", "2"]) == 0


def test_a_run_of_one_way_says_so(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "run").mkdir()
    save_model(pictures / "run" / "ab.safetensors", PLAIN)
    with pytest.raises(CheckpointError, match="learnt from A to B only"):
        find_model("run", direction="ba")
    assert cli.run(["cycle-check", "in.png", "--run", "run"]) == 2
    assert "run: has no way back, so the kept content is checked" in capsys.readouterr().err


@pytest.fixture(scope="module", params=["input", "all", "middle", "plane"])
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its code at each place."""
    folder = tmp_path_factory.mktemp(request.param)
    return save_model(folder / "ab.safetensors", with_code_at(request.param))


def test_any_size_with_the_code_anywhere(placed: Path) -> None:
    translator = imgtranslate.load(placed, device="cpu")

    @settings(max_examples=12, deadline=None)
    @example(height=1, width=1)
    @example(height=70, width=33)
    @given(height=st.integers(1, 70), width=st.integers(1, 70))
    def any_size(height: int, width: int) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        one, other = (translator.translate_pixels(pixels, z=translator.draw(s)) for s in (0, 1))
        assert one.shape == pixels.shape
        assert min(height, width) < 8 or not np.array_equal(one, other)
        assert np.array_equal(one, translator.translate_pixels(pixels, z=translator.draw(0)))

    any_size()


def test_grey_in_and_colours_out(tmp_path: Path) -> None:
    header = replace(CODED, in_channels=1)
    translator = imgtranslate.load(save_model(tmp_path / "ab.safetensors", header), device="cpu")
    image = Image.new("L", (20, 12), 99)
    styled = translator(image, style=Image.new("RGB", (9, 9), "red"))
    assert (styled.mode, styled.size) == ("RGB", (20, 12))
    assert styled.tobytes() != translator(image, style=Image.new("RGB", (9, 9), "blue")).tobytes()


def test_an_export_takes_the_code_as_its_second_input(placed: Path) -> None:
    result = export_model(placed, placed.with_name("ab.onnx"))
    assert result.proof.largest <= 1
    compared = result.proof.comparisons
    assert len({(one.height, one.width) for one in compared if one.picture == "noise"}) == 3


def test_the_printed_lines_run_an_export_with_a_code(
    model: Path, pictures: Path, translator: Translator
) -> None:
    Image.fromarray(pixels_of("in.png")).save("in.jpg")
    lines = export_model(model, pictures / "ab.onnx").lines
    names: dict[str, Any] = {}
    exec(compile(lines, "lines", "exec"), names)
    with Image.open("in.jpg") as image:
        wanted = np.asarray(translator(image, z=names["z"])).astype(int)
    assert abs(pixels_of("out.png") - wanted).max() <= 1
    assert wanted.std() > 5
