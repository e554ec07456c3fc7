"""Models with a code z: many looks of one picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import imgtranslate
from imgtranslate import checkpoint, cli
from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.checkpoint import ENCODER_PREFIX, ModelHeader
from imgtranslate.config import ResidualEncoderConfig, ResnetConfig, UnetConfig
from imgtranslate.errors import UsageError
from imgtranslate.networks import initialise
from imgtranslate.workflows.export import export_onnx
from imgtranslate.workflows.looks import interpolate

ENCODER = ResidualEncoderConfig(base_channels=4, num_blocks=2)


def save_model(path: Path, **changes: Any) -> Path:
    unet = UnetConfig(base_channels=4, depth=5, **{"latent_dim": 8, "z_at": "all", **changes})
    header = ModelHeader(
        generator=unet,
        encoder=ENCODER,
        in_channels=3,
        out_channels=3,
        direction="ab",
        source="labels",
        target="photos",
        load_size=36,
        crop_size=32,
        method="bicyclegan",
        step=1,
    )
    networks = {
        "": build_generator(unet, in_channels=3, out_channels=3),
        ENCODER_PREFIX: build_encoder(ENCODER, in_channels=3, latent_dim=8),
    }
    tensors = {}
    for seed, (prefix, network) in enumerate(networks.items()):
        generator = torch.Generator().manual_seed(seed)
        initialise(network, init="normal", gain=0.2, generator=generator)
        tensors |= {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    checkpoint.save(path, tensors, header)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "ab.safetensors")


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


def test_sync_gives_all_pictures_the_same_codes(model: Path) -> None:
    translator = imgtranslate.load(model, device="cpu")
    a, b = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32, 3), np.uint8)
    assert not np.array_equal(translator.draw(0, a), translator.draw(0, b))
    assert not np.array_equal(translator.draw(0), translator.draw(1))
    assert np.array_equal(translator.draw(0), translator.draw(0))


def test_sync_on_the_command_line(translate: Translate, model: Path) -> None:
    assert translate("in.png", "other.png", "--seed", "2", "--sync", "-o", "out") == 0
    translator = imgtranslate.load(model, device="cpu")
    for name in ("in", "other"):
        wanted = translator.translate_pixels(pixels_of(f"{name}.png"), z=translator.draw(2))
        assert np.array_equal(pixels_of(f"out/{name}.png"), wanted)


def test_python_gives_the_pixels_of_the_command(translate: Translate, model: Path) -> None:
    translator = imgtranslate.load(model, device="cpu")
    with Image.open("in.png") as image, Image.open("red.png") as red:
        assert translate("in.png", "--samples", "2", "-o", "drawn") == 0
        for seed in (0, 1):
            found = pixels_of(f"drawn/in.{seed + 1}.png")
            assert np.array_equal(found, np.asarray(translator(image, seed=seed)))
        assert np.array_equal(np.asarray(translator(image)), np.asarray(translator(image, seed=0)))
        assert translate("in.png", "--style", "red.png", "-o", "styled.png") == 0
        assert np.array_equal(pixels_of("styled.png"), np.asarray(translator(image, style=red)))
        code = [-0.5, 0.25, 1, 2, -1, 0, 0, 3]
        assert translate("in.png", "--z", "-0.5,0.25,1,2,-1,0,0,3", "-o", "code.png") == 0
        assert np.array_equal(pixels_of("code.png"), np.asarray(translator(image, z=code)))


def test_a_style_is_the_mean_that_the_encoder_reads(model: Path) -> None:
    translator = imgtranslate.load(model, device="cpu")
    for size in ((1, 1), (7, 5), (40, 33), (64, 64)):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        code = translator.encode(pixels)
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
    assert np.allclose(interpolate(first, first * 2, 0.5), first * 1.5)
    assert np.allclose(interpolate(first * 0, last, 0.25), last * 0.25)


def test_a_grid_is_one_picture(translate: Translate) -> None:
    assert translate("in.png", "--samples", "5", "--grid", "-o", "grid.png") == 0
    assert translate("in.png", "other.png", "--samples", "5", "--grid", "-o", "grids") == 0
    assert sorted(path.name for path in Path("grids").iterdir()) == ["in.png", "other.png"]
    with Image.open("grid.png") as grid, Image.open("grids/in.png") as again:
        assert grid.width > 6 * 33
        assert grid.tobytes() == again.tobytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--samples", "2", "-o", "one.png"), "-o one.png: one file, 2 looks"),
        (("--z", "1,2"), "z: 2 numbers. The code has 8"),
        (("--z", "1,2,3,4,5,6,7,nan"), "z: 8 numbers. The code has 8, all finite"),
        (("--z", "one"), "--z one: not numbers"),
        (("--z-file", "missing.txt"), "--z-file missing.txt: cannot be read"),
        (("--style", "missing.png"), "missing.png"),
        (("--style", "red.png", "--samples", "2"), "--style, --samples: both"),
        (("--z", "0,0,0,0,0,0,0,0", "--seed", "1"), "--z, --seed: both"),
        (("--frames", "3"), "--frames"),
        (("--samples", "0"), "samples"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    options: tuple[str, ...], said: str, translate: Translate, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    assert translate("in.png", *options) != 0
    errors = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(errors) == 1
    assert said in errors[0]
    assert sorted(Path().iterdir()) == before


def test_a_model_without_a_code_has_one_look(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = ResnetConfig(base_channels=4, num_blocks=1)
    network = build_generator(generator, in_channels=3, out_channels=3)
    header = ModelHeader(
        generator=generator,
        in_channels=3,
        out_channels=3,
        direction="ab",
        source="a",
        target="b",
        load_size=36,
        crop_size=32,
        method="pix2pix",
        step=1,
    )
    (pictures / "run").mkdir()
    plain = pictures / "run" / "ab.safetensors"
    checkpoint.save(plain, network.state_dict(), header)
    for options in (["--samples", "2"], ["--seed", "1"], ["--sync"], ["--style", "red.png"]):
        assert cli.run(["translate", "in.png", "--model", str(plain), *options]) == 2
        assert "has one look" in capsys.readouterr().err
    translator = imgtranslate.load(plain, device="cpu")
    with Image.open("in.png") as image, pytest.raises(UsageError, match="seed: this model has no"):
        translator(image, seed=0)
    assert cli.run(["cycle-check", "in.png", "--run", "run"]) == 2
    assert "one way only" in capsys.readouterr().err


@pytest.mark.parametrize("z_at", ["input", "all", "middle", "plane"])
def test_any_size_with_the_code_anywhere(z_at: str, tmp_path: Path) -> None:
    translator = imgtranslate.load(save_model(tmp_path / "ab.safetensors", z_at=z_at), device="cpu")
    for size in ((1, 1), (70, 33), (32, 64)):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        one, other = (translator.translate_pixels(pixels, z=translator.draw(s)) for s in (0, 1))
        assert one.shape == pixels.shape
        assert size == (1, 1) or not np.array_equal(one, other)


@pytest.mark.parametrize("z_at", ["all", "plane"])
def test_an_export_takes_the_code_as_its_second_input(z_at: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "ab.safetensors", z_at=z_at)
    result = export_onnx(model, tmp_path / "ab.onnx")
    assert max(comparison.largest for comparison in result.comparisons) <= 1
