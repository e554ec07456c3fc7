import copy
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.models import CODED_UNET, HEADER, RESNET, UNET, Identity, model_header, save_model
from fixtures.pictures import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from imgtranslate.builders import build_generator
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.errors import CheckpointError, ImageError, UsageError
from imgtranslate.images import Values, picture_from_pil, read_image, to_network, to_pil
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.settings.config import (
    GeneratorConfig,
    ResidualEncoderConfig,
    ResnetConfig,
    UnetConfig,
)
from imgtranslate.translation.translator import Translator, find_model, load

# Sizes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Translator]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "resnet": load(save_model(folder / "resnet.safetensors"), device="cpu"),
        "unet": load(save_model(folder / "unet.safetensors", model_header(UNET)), device="cpu"),
    }


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (31, 257), (64, 180), (35, 3), (64, 64)])
@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_any_size_in_the_same_size_out(
    models: dict[str, Translator], name: str, size: tuple[int, int]
):
    image = noise(*size)
    translated = models[name](image)
    assert (translated.size, translated.mode) == (size, "RGB")
    assert translated.tobytes() != image.tobytes()


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_a_fitting_size_passes_bit_for_bit_as_through_the_bare_network(tmp_path: Path, name: str):
    config = {"resnet": RESNET, "unet": UNET}[name]
    path = save_model(tmp_path / "m.safetensors", model_header(config))
    network = build_generator(config, in_channels=3, out_channels=3).eval()
    network.load_state_dict(checkpoint.load_tensors(path))
    values = to_network(np.asarray(noise(96, 64)))
    with torch.inference_mode():
        expected = network(torch.tensor(values)[None])[0].numpy()
    model = load(path, device="cpu", engine="torch")
    assert np.array_equal(model.translate_values(values), expected)


@pytest.mark.parametrize(("config", "shape"), [(RESNET, (8, 12)), (UNET, (32, 32))])
def test_only_sides_that_do_not_fit_are_padded(config: GeneratorConfig, shape: tuple[int, int]):
    engine = Identity(model_header(config))
    Translator(engine)(noise(9, 7))
    Translator(engine)(noise(96, 64))
    assert engine.shapes == [(1, 3, *shape), (1, 3, 64, 96)]


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 70), height=st.integers(1, 70), mode=st.sampled_from(["RGB", "RGBA"]))
def test_an_identity_gives_back_every_byte(width: int, height: int, mode: str):
    image = noise(width, height, mode)
    for config in (RESNET, UNET):
        translated = Translator(Identity(model_header(config)))(image)
        assert translated.mode == mode
        assert translated.tobytes() == image.tobytes()


# Modes and channels


def test_alpha_is_kept_and_does_not_reach_the_network(models: dict[str, Translator]):
    image = noise(20, 12, "RGBA")
    translated = models["resnet"](image)
    assert translated.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    plain = models["resnet"](image.convert("RGB"))
    assert translated.convert("RGB").tobytes() == plain.tobytes()


def test_grey_in_for_a_model_of_colours(models: dict[str, Translator]):
    grey = noise(20, 12, "L")
    assert models["resnet"](grey).tobytes() == models["resnet"](grey.convert("RGB")).tobytes()


def test_channels_follow_the_header(tmp_path: Path):
    to_grey = load(
        save_model(tmp_path / "g.safetensors", model_header(out_channels=1)), device="cpu"
    )
    from_grey = load(
        save_model(tmp_path / "c.safetensors", model_header(in_channels=1)), device="cpu"
    )
    assert to_grey(noise(9, 9)).mode == "L"
    assert to_grey(noise(9, 9, "RGBA")).mode == "LA"
    assert from_grey(noise(9, 9)).mode == "RGB"


def test_orientation_is_applied(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(20, 12).save(tmp_path / "in.png", exif=exif)
    with Image.open(tmp_path / "in.png") as image:
        assert Translator(Identity())(image).size == (12, 20)


# The same again


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_alone_in_a_batch_twice_and_in_another_order_the_bytes_are_equal(
    models: dict[str, Translator], name: str
):
    images = [noise(40, 30, seed=seed) for seed in range(4)]
    alone = [models[name](image).tobytes() for image in images]
    again = [image.tobytes() for image in models[name].batch(images)]
    backwards = [image.tobytes() for image in models[name].batch(images[::-1])]
    assert alone == again == backwards[::-1]


def test_dropout_is_off(tmp_path: Path):
    config = dataclasses.replace(RESNET, dropout=True)
    model = load(save_model(tmp_path / "m.safetensors", model_header(config)), device="cpu")
    assert model(noise(16, 16)).tobytes() == model(noise(16, 16)).tobytes()


def test_pil_and_picture_give_the_same_pixels(models: dict[str, Translator], tmp_path: Path):
    noise(21, 13).save(tmp_path / "in.png")
    picture = read_image(tmp_path / "in.png", channels=3)
    with Image.open(tmp_path / "in.png") as image:
        translated = models["resnet"](image)
    assert to_pil(models["resnet"].translate_picture(picture)).tobytes() == translated.tobytes()
    assert picture_from_pil(translated, channels=3).pixels.shape == (13, 21, 3)


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_an_array_gives_an_array_with_the_pixels_of_the_image(
    models: dict[str, Translator], name: str
):
    image = noise(35, 21)
    found, one = models[name](np.asarray(image)), models[name].batch([np.asarray(image)])
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (np.uint8, (21, 35, 3))
    assert found.tobytes() == one[0].tobytes() == models[name](image).tobytes()


def test_an_array_draws_and_reads_the_codes_of_the_image(tmp_path: Path):
    header = model_header(CODED_UNET, encoder=ResidualEncoderConfig(base_channels=4, num_blocks=1))
    model = load(save_model(tmp_path / "m.safetensors", header), device="cpu")
    image, style = noise(35, 21), noise(20, 30)
    for asked in ({"seed": 3}, {"style": style}, {"z": torch.zeros(8)}):
        arrays = {k: np.asarray(v) if k == "style" else v for k, v in asked.items()}
        assert model(np.asarray(image), **arrays).tobytes() == model(image, **asked).tobytes()
    assert model.encode(np.asarray(style)).tolist() == model.encode(style).tolist()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 8, 8), np.float32), "`image`: an array of float32 (3, 8, 8). Give uint8"),
        (np.zeros((8, 8), np.uint8), "`image`: an array of uint8 (8, 8). Give uint8 (h, w, 3)"),
        (np.zeros((8, 8, 4), np.uint8), "`image`: an array of uint8 (8, 8, 4). Give uint8"),
        (np.zeros((0, 8, 3), np.uint8), "`image`: an array without pixels"),
        (
            torch.zeros(3, 8, 8),
            "`image`: cannot be of type torch.Tensor. Give PIL.Image or numpy.ndarray",
        ),
        ("in.png", "`image`: cannot be 'in.png'. Give PIL.Image or numpy.ndarray"),
    ],
)
def test_what_is_no_image_is_named(models: dict[str, Translator], array: Any, said: str):
    with pytest.raises(UsageError) as caught:
        models["resnet"](array)
    assert str(caught.value).startswith(said)


def test_pixels_and_values_of_another_shape_are_named(models: dict[str, Translator]):
    for wrong in (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.int64), np.zeros((8, 8))):
        with pytest.raises(UsageError, match=r"^`pixels`: .*Give .*\(h, w, 3\)$"):
            models["unet"].translate_pixels(wrong)
    with pytest.raises(UsageError, match=r"^`values`: .*Give \(3, h, w\)$"):
        models["unet"].translate_values(np.zeros((8, 8, 3), np.float32))


def test_an_answer_that_is_no_number_is_told():
    class Broken(Identity):
        def run(self, values: Values) -> Values:
            return values * np.float32("nan")

    with pytest.raises(ImageError, match="contains NaN"):
        Translator(Broken())(noise(8, 8))


# Finding and loading


def test_a_run_gives_its_best_else_its_last(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no ab\.safetensors in this folder"):
        find_model(tmp_path)
    save_model(tmp_path / "ab.safetensors")
    save_model(tmp_path / "ba.safetensors", model_header(direction="ba", target="horses"))
    assert find_model(tmp_path) == tmp_path / "ab.safetensors"
    assert load(tmp_path, device="cpu", direction="ba").header.target == "horses"
    (tmp_path / "best").mkdir()
    save_model(tmp_path / "best" / "ab.safetensors", model_header(step=7))
    assert load(tmp_path, device="cpu").header.step == 7


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path, device="cpu")
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_files_that_are_no_models_give_one_line(tmp_path: Path):
    noise(8, 8).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.safetensors")
    (tmp_path / "empty.safetensors").touch()
    torch.save({"weight": torch.zeros(2)}, tmp_path / "pickle.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    whole = save_model(tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    for name in ("photo", "empty", "pickle", "half"):
        assert "not a safetensors file" in refused(tmp_path / f"{name}.safetensors")
    assert "not a file of imgtranslate" in refused(tmp_path / "foreign.safetensors")
    assert "no such file" in refused(tmp_path / "none.safetensors")


def test_a_pickle_is_not_run(tmp_path: Path):
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Payload(), tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "config",
    [ResnetConfig(base_channels=1024, num_blocks=64), UnetConfig(base_channels=1024, depth=12)],
)
def test_a_header_that_claims_a_giant_allocates_nothing(tmp_path: Path, config: GeneratorConfig):
    path = tmp_path / "m.safetensors"
    save_file(
        {"w": torch.zeros(2)}, path, metadata={METADATA_KEY: header_json(model_header(config))}
    )
    start = time.perf_counter()
    assert "its tensors do not fit its header" in refused(path)
    assert time.perf_counter() - start < 3


def test_tensors_of_another_shape_dtype_or_name_are_refused(tmp_path: Path):
    tensors = checkpoint.load_tensors(save_model(tmp_path / "m.safetensors"))
    name = min(tensors)
    for changed, said in [
        ({**tensors, name: tensors[name].half()}, "F16"),
        ({**tensors, name: tensors[name][..., None]}, "1], expected F32"),
        ({**tensors, "\x1b[2J": torch.zeros(1)}, "expected absent"),
        ({k: v for k, v in tensors.items() if k != name}, "is absent"),
    ]:
        checkpoint.save(tmp_path / "m.safetensors", changed, HEADER)
        message = refused(tmp_path / "m.safetensors")
        assert said in message
        assert "\x1b" not in message


def test_a_header_of_another_value_range_is_refused(tmp_path: Path):
    message = refused(save_model(tmp_path / "m.safetensors", model_header(value_range=(0.0, 1.0))))
    assert "values in [0.0, 1.0]" in message


def test_a_hostile_header_gives_one_line(tmp_path: Path):
    plain = json.loads(header_json(HEADER))
    path = tmp_path / "m.safetensors"
    for change in ({"generator": {"kind": "resnet", "num_blocks": 10**9}}, {"step": "x\ny"}):
        metadata = {METADATA_KEY: json.dumps(plain | change)}
        save_file({"w": torch.zeros(2)}, path, metadata=metadata)
        assert "its header is damaged" in refused(path)


def test_a_device_that_is_not_there_is_named(tmp_path: Path):
    path = save_model(tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match="`device`"):
        load(path, device="tpu")


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_half_precision_is_near(tmp_path: Path, name: str):
    path = save_model(
        tmp_path / "m.safetensors", model_header({"resnet": RESNET, "unet": UNET}[name])
    )
    plain = TorchEngine.load(path, device="cpu")
    half = TorchEngine(
        copy.deepcopy(plain._network), header=plain.header, device=torch.device("cpu"), half=True
    )
    values = to_network(np.asarray(noise(32, 32)))[None]
    levels = np.abs(half.run(values) - plain.run(values)) * 127.5
    assert 0 < levels.mean() < 0.3
    assert levels.max() < 4


def test_half_precision_is_for_models_on_a_gpu(tmp_path: Path):
    path = save_model(tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match="`precision` fp16: is slow on a CPU"):
        load(path, device="cpu", precision="fp16")


def test_translating_imports_torch_late_and_torchvision_never(tmp_path: Path):
    path = save_model(tmp_path / "m.safetensors")
    code = f"""
import sys
import imgtranslate.images, imgtranslate.translation.translator, imgtranslate.translation.translate
assert "torch" not in sys.modules
from PIL import Image
load, image = imgtranslate.translation.translator.load, Image.new("RGB", (9, 9))
load({str(path)!r}, device="cpu")(image)
assert "torch" not in sys.modules
load({str(path)!r}, device="cpu", engine="torch")(image)
assert "torch" in sys.modules and "torchvision" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
