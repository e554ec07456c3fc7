import errno
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.models import RESNET, model_header
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from imgtranslate.builders import build_generator
from imgtranslate.engines import torch_engine
from imgtranslate.errors import CheckpointError, ImgTranslateError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.model_files.checkpoint import (
    FORMAT_VERSION,
    METADATA_KEY,
    StateHeader,
    header_json,
    load_tensors,
    read_model_header,
    read_state_header,
    save,
)
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import UnetConfig
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.run_state import restore_run
from imgtranslate.translation.translator import load

Reader = Callable[[Path], object]

MODEL = model_header(
    out_channels=1,
    direction="ba",
    source="Äpfel",
    target="pears",
    step=7,
    versions={"imgtranslate": "0.1", "torch": "2.15"},
)
STATE = StateHeader(step=7, positions=14, parameters=1234)
SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}


def load_on_cpu(path: Path) -> object:
    return load(path, device="cpu")


READERS: tuple[Reader, ...] = (read_model_header, read_state_header, load_tensors, load_on_cpu)
HEADER_READERS: tuple[Reader, ...] = (read_model_header, load_on_cpu)


def refused(read: Reader, path: Path) -> str:
    """The message, without the path that it must begin with."""
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def with_header(path: Path, header: str) -> Path:
    """A sound file of the safetensors library that carries ``header`` as ours."""
    save_file(SMALL, path, metadata={METADATA_KEY: header})
    return path


def raw(path: Path, header: Any, data: bytes = b"") -> Path:
    """A file laid out as safetensors are: the length of the header, the header, the data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


# There and back


def test_tensors_of_every_kind_come_back_bit_for_bit(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(3, 4, generator=random)
    dtypes = (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
    tensors = {str(dtype): (numbers * 9).to(dtype) for dtype in dtypes}
    tensors |= {"turned": numbers.t(), "part": numbers[:, 1], "scalar": torch.tensor(3)}
    tensors |= {"empty": torch.zeros(0, 3), "strange": torch.tensor([-0.0, torch.inf, torch.nan])}
    save(tmp_path / "m.safetensors", tensors, MODEL)
    found = load_tensors(tmp_path / "m.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert found[name].device.type == "cpu"
        assert bytes_of(found[name]) == bytes_of(tensor), name


def bytes_of(tensor: Tensor) -> bytes:
    flat = tensor.contiguous().flatten()
    return bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""


def test_headers_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for generator in (RESNET, UnetConfig(base_channels=2, depth=6, norm="batch")):
        header = replace(MODEL, generator=generator)
        save(path, SMALL, header)
        assert read_model_header(path) == header
    save(path, {}, STATE)
    assert read_state_header(path) == STATE
    assert load_tensors(path) == {}


def test_the_safetensors_library_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(path, SMALL, MODEL)
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(SMALL)
        assert file.get_tensor("weight").tolist() == SMALL["weight"].tolist()
        metadata = file.metadata()
    assert set(metadata) == {METADATA_KEY}
    header = json.loads(metadata[METADATA_KEY])
    assert header["kind"] == "generator"
    assert header["format_version"] == FORMAT_VERSION == 1
    assert header["generator"]["base_channels"] == 4
    assert {name: t.tolist() for name, t in load_file(path).items()} == {
        name: t.tolist() for name, t in SMALL.items()
    }


def test_the_file_begins_with_the_length_of_its_json(tmp_path: Path) -> None:
    save(tmp_path / "m.safetensors", SMALL, MODEL)
    content = (tmp_path / "m.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    layout = json.loads(content[8 : 8 + length])
    assert set(layout) == {"__metadata__", *SMALL}
    assert len(content) == 8 + length + max(layout[name]["data_offsets"][1] for name in SMALL)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    turned = {name: SMALL[name] for name in reversed(SMALL)}
    versions = dict(reversed(MODEL.versions.items()))
    save(tmp_path / "a.safetensors", SMALL, MODEL)
    save(tmp_path / "b.safetensors", turned, replace(MODEL, versions=versions))
    a, b = (tmp_path / f"{name}.safetensors" for name in "ab")
    assert header_json(read_model_header(a)) == header_json(read_model_header(b))
    assert a.read_bytes() == b.read_bytes()


# Files that are none of ours


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    picture = Image.new("RGB", (9, 7), "red")
    picture.save(tmp_path / "photo.jpg")
    picture.save(tmp_path / "photo.png")
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "zeros.safetensors").write_bytes(bytes(4096))
    (tmp_path / "text.safetensors").write_text("no tensors here\n" * 9, encoding="utf-8")
    torch.save(SMALL, tmp_path / "model.pth")
    torch.save(SMALL, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        for read in READERS:
            assert refused(read, path).startswith("not a safetensors file, or damaged: ")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "ran",))

    plain, zipped = tmp_path / "plain.safetensors", tmp_path / "zipped.safetensors"
    plain.write_bytes(pickle.dumps(Payload()))
    torch.save({"weight": Payload()}, zipped)
    for path in (plain, zipped):
        for read in READERS:
            assert "not a safetensors file" in refused(read, path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(plain.read_bytes())
    assert (tmp_path / "ran").exists()  # so it was armed


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}, {METADATA_KEY.upper(): header_json(MODEL)}):
        save_file(SMALL, tmp_path / "m.safetensors", metadata=metadata)
        for read in (read_model_header, read_state_header, load_on_cpu):
            said = refused(read, tmp_path / "m.safetensors")
            assert said.startswith("not a file of imgtranslate")


def test_folders_and_what_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for read in (read_model_header, read_state_header, load_tensors):
        assert refused(read, tmp_path).startswith("a folder, not a file. ")
        assert refused(read, tmp_path / "none").startswith("no such file. ")
        assert refused(read, tmp_path / "file" / "below").startswith("no such file. ")


# Damage


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "whole", SMALL, MODEL)
    content, cut = (tmp_path / "whole").read_bytes(), tmp_path / "cut"
    for length in [*range(0, len(content), 7), *range(len(content) - 9, len(content))]:
        cut.write_bytes(content[:length])
        for read in (read_model_header, load_tensors):
            assert "not a safetensors file" in refused(read, cut), length
    cut.write_bytes(content + b"\0")
    assert "not a safetensors file" in refused(read_model_header, cut)


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A place for damaged copies, and the bytes of a whole model."""
    path = tmp_path_factory.mktemp("damaged") / "m.safetensors"
    save(path, build_generator(RESNET, in_channels=3, out_channels=1).state_dict(), MODEL)
    load_on_cpu(path)
    return path, path.read_bytes()


@given(data=st.data())
@examples(max_examples=250, deadline=None)
def test_flipped_bytes_of_the_header_give_one_line_or_a_header(
    model_bytes: tuple[Path, bytes], data: st.DataObject
) -> None:
    path, content = model_bytes
    damaged = bytearray(content)
    places = st.integers(0, 8 + struct.unpack("<Q", content[:8])[0] - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    for read in (read_model_header, load_tensors, load_on_cpu):
        try:
            read(path)
        except CheckpointError:
            refused(read, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "Upgrade with pip install -U imgtranslate"),
        ({"format_version": 10**400}, "of a newer imgtranslate"),
        ({"format_version": 0}, "format_version"),
        ({"format_version": "1"}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"colour": "red"}, "colour"),
        ({"two\nlines": "red"}, "lines"),
        ({"versions": {"two\nlines": 3}}, "lines"),
        ({"generator": {"kind": "resnet", "two\nlines": 3}}, "lines"),
        ({"source": "\ud800"}, "damaged"),
        ({"generator": 3}, "generator"),
        ({"generator": {"kind": "resnet", "colour": 3}}, "colour"),
        ({"generator": {"kind": "transformer"}}, "generator"),
        ({"generator": {"kind": "resnet", "base_channels": 10**9}}, "base_channels"),
        ({"generator": {"kind": "resnet", "num_blocks": 10**9}}, "num_blocks"),
        ({"generator": {"kind": "unet", "depth": 10**9}}, "depth"),
        ({"generator": {"kind": "resnet", "base_channels": "64"}}, "base_channels"),
        ({"generator": {"kind": "resnet", "dropout": 0}}, "dropout"),
        ({"generator": {"kind": "unet", "latent_dim": 8}}, "latent_dim and z_at contradict"),
        ({"generator": {"kind": "unet", "z_at": "all"}}, "latent_dim and z_at contradict"),
        ({"in_channels": 65}, "in_channels"),
        ({"out_channels": "3"}, "out_channels"),
        ({"direction": "up"}, "direction"),
        ({"kind": "poem"}, "kind"),
        ({"source": 3}, "source"),
        ({"step": -1}, "step"),
        ({"step": 1.5}, "step"),
        ({"step": True}, "step"),
        ({"crop_size": 0}, "crop_size"),
        ({"load_size": float("nan")}, "load_size"),
        ({"value_range": [float("nan"), 1.0]}, "value_range"),
        ({"value_range": [-1.0, float("inf")]}, "value_range"),
        ({"value_range": [-1.0]}, "value_range"),
        ({"versions": {"torch": 2}}, "versions"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_header_that_cannot_be_ours_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    plain = json.loads(header_json(MODEL))
    path = with_header(tmp_path / "m.safetensors", json.dumps(plain | change))
    for read in HEADER_READERS:
        assert said in refused(read, path)


@pytest.mark.parametrize("name", ["generator", "in_channels", "direction", "source", "step"])
def test_a_header_without_what_is_needed_is_refused(tmp_path: Path, name: str) -> None:
    plain = json.loads(header_json(MODEL))
    del plain[name]
    path = with_header(tmp_path / "m.safetensors", json.dumps(plain))
    assert f"{name}: Field required" in refused(read_model_header, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "of a newer imgtranslate"),
        ({"step": -1}, "step"),
        ({"positions": 1.5}, "positions"),
        ({"parameters": 0}, "parameters"),
        ({"parameters": "9"}, "parameters"),
        ({"colour": "red"}, "colour"),
        ({"kind": "poem"}, "kind"),
    ],
)
def test_the_header_of_a_state_is_checked_as_well(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    plain = json.loads(header_json(STATE))
    path = with_header(tmp_path / "s.safetensors", json.dumps(plain | change))
    assert said in refused(read_state_header, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "NaN",
        "null",
        '"text"',
        '{"step": 1' + "0" * 5000 + "}",
        '{"step": ' * 100_000,
        '{"step": ' * 300 + "1" + "}" * 300,
    ],
    ids=lambda text: text[:9],
)
def test_a_header_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = with_header(tmp_path / "m.safetensors", text)
    for read in (read_model_header, read_state_header):
        assert refused(read, path).startswith("its header is damaged: ")


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xff",
        b"[]",
        b'{"w": ' * 100_000,
        {"w": F32 | {"dtype": "F31"}},
        {"w": F32 | {"dtype": "two\nlines"}},
        {"w": F32 | {"shape": [-1]}},
        {"w": F32 | {"shape": [2**40]}},
        {"w": F32 | {"shape": [2**63, 2**63]}},
        {"w": F32 | {"data_offsets": [0, 2**40]}},
        {"w": F32 | {"data_offsets": [4, 0]}},
        {"two\nlines": F32, "x\ny": F32},
        {"w": F32, "__metadata__": {METADATA_KEY: 3}},
        {"w": F32, "__metadata__": {METADATA_KEY: {"kind": "generator"}}},
    ],
    ids=lambda header: repr(header)[:60],
)
def test_a_broken_layout_is_refused(tmp_path: Path, header: Any) -> None:
    path = raw(tmp_path / "m.safetensors", header, b"\0" * 4)
    for read in READERS:
        assert "not a safetensors file" in refused(read, path)


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 99_999_999])
def test_a_huge_length_of_header_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    for read in READERS:
        assert "not a safetensors file" in refused(read, path)


def test_a_claim_out_of_range_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(torch_engine, "build_generator", never)
    for claim in ({"base_channels": 10**9}, {"num_blocks": 10**9}):
        giant = json.loads(header_json(MODEL)) | {"generator": {"kind": "resnet", **claim}}
        path = with_header(tmp_path / "m.safetensors", json.dumps(giant))
        assert min(claim) in refused(load_on_cpu, path)


# One in the place of the other


def test_a_state_is_no_model_and_a_model_no_state(tmp_path: Path) -> None:
    save(tmp_path / "ab.safetensors", SMALL, MODEL)
    save(tmp_path / "state.safetensors", SMALL, STATE)
    for read in HEADER_READERS:
        said = refused(read, tmp_path / "state.safetensors")
        assert said == "a training state, not a model. Use ab.safetensors of the same run"
    said = refused(read_state_header, tmp_path / "ab.safetensors")
    assert said == "a model, not a training state. Use it as `model`"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_channels": 5}, "expected F32"),
        ({"num_blocks": 2}, "is absent, expected F32"),
        ({"num_blocks": 0}, "expected absent"),
        ({"norm": "batch"}, "expected"),
        ({"upsample": "resize"}, "expected"),
    ],
    ids=str,
)
def test_weights_of_another_network_than_the_header_says_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path, claimed = tmp_path / "m.safetensors", replace(RESNET, **change)
    weights = build_generator(RESNET, in_channels=3, out_channels=1).state_dict()
    save(path, weights, replace(MODEL, generator=claimed))
    refusal = refused(load_on_cpu, path)
    assert refusal.startswith("its tensors do not fit its header: ")
    assert said in refusal


def test_a_state_that_does_not_fit_its_run_is_refused(tmp_path: Path) -> None:
    small = {
        "data": {"a": "a", "b": "b", "crop_size": 24},
        "generator": {"base_channels": 2, "num_blocks": 1},
        "discriminator": {"base_channels": 2, "num_layers": 1},
    }
    learner, run = Learner(build_settings(layers=[small]), torch.device("cpu")), Run(tmp_path)
    header = StateHeader(step=0, positions=0, parameters=parameter_count(learner))
    whole = learner.state_tensors()
    save(run.state, whole, header)
    restore_run(learner, run, header)
    name = "generator_ab/stem.conv.weight"
    for changed in (
        {key: tensor for key, tensor in whole.items() if key != name},
        {key: tensor for key, tensor in whole.items() if key != "validations"},
        {**whole, "generator_ab/colour": torch.zeros(1)},
        {**whole, name: torch.zeros(3, 3, 7, 7)},
    ):
        save(run.state, changed, header)
        said = refused(lambda _: restore_run(learner, run, header), run.state)
        assert said.startswith("does not fit the settings in config.toml: ")


# Writing


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def not_allowed(*_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def half_written(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    full_disk()


@pytest.mark.parametrize(
    ("where", "name", "failure", "said"),
    [
        (os, "fsync", full_disk, "the disk is full"),
        (os, "replace", not_allowed, "permission denied"),
        (Path, "write_bytes", half_written, "the disk is full"),
    ],
    ids=["sync", "rename", "half"],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    failure: Callable[..., None],
    said: str,
) -> None:
    old = tmp_path / "old.safetensors"
    save(old, SMALL, MODEL)
    before = old.read_bytes()
    monkeypatch.setattr(where, name, failure)
    for path in (old, tmp_path / "new.safetensors"):
        with pytest.raises(ImgTranslateError) as caught:
            save(path, {"other": torch.zeros(9)}, MODEL)
        assert str(caught.value).startswith(f"{path}: cannot be written: {said}")
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == before


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    save(path, SMALL, MODEL)
    before = path.read_bytes()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"other": torch.zeros(9)}, MODEL)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_file_is_whole_and_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    save(path, SMALL, STATE)
    before, seen = path.read_bytes(), io.BytesIO()
    sync = os.fsync

    def look(number: int) -> None:
        assert path.read_bytes() == before
        (temporary,) = set(tmp_path.iterdir()) - {path}  # on the same file system
        assert os.fstat(number).st_ino == temporary.stat().st_ino
        seen.write(temporary.read_bytes())
        sync(number)

    monkeypatch.setattr(os, "fsync", look)
    save(path, SMALL, MODEL)
    assert path.read_bytes() == seen.getvalue() != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none" / "m.safetensors"
    with pytest.raises(ImgTranslateError, match="cannot be written: No such file") as caught:
        save(path, SMALL, MODEL)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
