import contextlib
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from imgtranslate import checkpoint
from imgtranslate.builders import build_generator
from imgtranslate.checkpoint import (
    METADATA_KEY,
    ModelHeader,
    StateHeader,
    header_json,
    load_tensors,
    read_model_header,
    read_state_header,
)
from imgtranslate.config import ResidualEncoderConfig, ResnetConfig, UnetConfig
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.errors import CheckpointError, ImgTranslateError

HEADER = ModelHeader(
    generator=ResnetConfig(base_channels=2, num_blocks=1),
    in_channels=3,
    out_channels=3,
    direction="ab",
    source="horses",
    target="zebras",
    load_size=73,
    crop_size=64,
    method="cyclegan",
    step=1,
)
STATE = StateHeader(step=3, positions=3, parameters=10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = build_generator(HEADER.generator, in_channels=3, out_channels=3)
    path = tmp_path / "ab.safetensors"
    checkpoint.save(path, network.state_dict(), HEADER)
    return path


def refusal(path: Path) -> str:
    """What loading the model says; one line, the file first."""
    with pytest.raises(CheckpointError) as caught:
        TorchEngine.load(path, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def write_header(path: Path, text: str) -> Path:
    network = build_generator(HEADER.generator, in_channels=3, out_channels=3)
    save_file(network.state_dict(), path, metadata={METADATA_KEY: text})
    return path


def with_fields(path: Path, **changes: object) -> Path:
    return write_header(path, json.dumps({**json.loads(header_json(HEADER)), **changes}))


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {
        "float": torch.randn(3, 4),
        "double": torch.randn(2, dtype=torch.float64),
        "integer": torch.tensor(7),
        "empty": torch.zeros(0, 5),
        "transposed": torch.randn(3, 4).T,
    }
    encoder = ResidualEncoderConfig(num_blocks=3)
    header = replace(HEADER, generator=UnetConfig(latent_dim=8, z_at="all"), encoder=encoder)
    checkpoint.save(path, tensors, header)
    found = load_tensors(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert read_model_header(path) == header
    checkpoint.save(path, tensors, STATE)
    assert read_state_header(path) == STATE


def test_the_library_alone_can_read_it(model: Path) -> None:
    with safe_open(model, framework="numpy") as file:
        assert json.loads(file.metadata()[METADATA_KEY])["source"] == "horses"
        assert file.get_tensor("head.weight").shape == (3, 2, 7, 7)


def test_equal_contents_are_equal_bytes(model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, load_tensors(model), read_model_header(model))
    assert again.read_bytes() == model.read_bytes()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(share: float, model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: int(share * len(content))])
    refusal(cut)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 1500), byte=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_harmless(
    place: int, byte: int, model: Path, tmp_path: Path
) -> None:
    content = bytearray(model.read_bytes())
    content[place] = byte
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    with contextlib.suppress(ImgTranslateError):  # anything else is a bug
        TorchEngine.load(damaged, device="cpu")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path, format="JPEG")
    assert "not a safetensors file" in refusal(path)
    path.write_bytes(b"")
    refusal(path)
    torch.save({"a": torch.zeros(3)}, path)
    assert "not a safetensors file" in refusal(path)
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    refusal(path)
    save_file({"a": torch.zeros(3)}, path)
    assert "no header of ours" in refusal(path)
    assert "no such file" in refusal(tmp_path / "missing.safetensors")
    assert "a folder" in refusal(tmp_path)


class Payload:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "pickle.safetensors", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Payload(trace)))
    refusal(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # it would have
    assert trace.exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format_version": 2}, "newer imgtranslate"),
        ({"unknown": 1}, "unknown"),
        ({"in_channels": "3"}, "in_channels"),
        ({"in_channels": -1}, "in_channels"),
        ({"direction": "up"}, "direction"),
        ({"generator": {"kind": "resnet", "base_channels": 10**9}}, "base_channels"),
        ({"generator": {"kind": "transformer"}}, "generator"),
        ({"value_range": [0.0, 1.0]}, "made for values in"),
        ({"encoder": {"kind": "residual"}}, "encoder"),
        ({"kind": "state"}, "a training state"),
        ({"generator": {"kind": "resnet", "base_channels": 1000, "num_blocks": 64}}, "do not fit"),
        ({"out_channels": 1}, "do not fit"),
    ],
)
def test_a_header_that_lies_is_refused(
    changes: dict[str, object], named: str, tmp_path: Path
) -> None:
    assert named in refusal(with_fields(tmp_path / "model.safetensors", **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", "[" * 100_000])
def test_a_header_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    assert "its header is damaged" in refusal(write_header(tmp_path / "model.safetensors", text))


def test_a_model_is_no_state(model: Path) -> None:
    with pytest.raises(CheckpointError, match="a model, not a training state"):
        read_state_header(model)


def test_names_in_a_header_cannot_leave_their_line(tmp_path: Path) -> None:
    path = with_fields(tmp_path / "model.safetensors", **{"a\nb\x1b[2J": 1})
    message = refusal(path)
    assert "\x1b" not in message


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    failing: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(ImgTranslateError, match=r"ab\.safetensors"):
        checkpoint.save(model, {}, HEADER)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]
