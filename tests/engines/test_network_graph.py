"""The ONNX graphs of networks beside the networks of torch."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fixtures.models import CODED_UNET, RESNET, UNET, model_header, save_model
from fixtures.pictures import save_soft_pictures
from numpy.typing import NDArray

from imgtranslate.engines.network_graph import encoder_graph, generator_graph, normalised
from imgtranslate.engines.onnx_graph import Graph, Map
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.exporting.export import export_model
from imgtranslate.exporting.onnx import to_onnx
from imgtranslate.exporting.source_model import load_source_model
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    ModelHeader,
    load_arrays,
    load_tensors,
    read_layout,
    save,
)
from imgtranslate.model_files.export_header import ExportForm
from imgtranslate.model_files.onnx_file import OPERATORS
from imgtranslate.settings.config import (
    CodeAt,
    ConvBias,
    EncoderConfig,
    GeneratorConfig,
    Norm,
    Padding,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    SkipOrder,
    Upsample,
    latent_dim,
    size_multiple,
)

Array = NDArray[np.float32]
NORMS: tuple[Norm, ...] = ("instance", "batch", "none", "instance_affine")
UPSAMPLINGS: tuple[Upsample, ...] = ("transpose", "resize")
PADDINGS: tuple[Padding, ...] = ("reflect", "zero")
PLACES: tuple[CodeAt, ...] = ("input", "all", "middle", "plane")
ORDERS: tuple[SkipOrder, ...] = ("skip_first", "up_first")
BIASES: tuple[ConvBias, ...] = ("by_norm", "always")

QUICK: tuple[GeneratorConfig, ...] = (
    replace(RESNET, num_blocks=2, dropout=True),
    replace(RESNET, norm="batch", antialias=True, num_blocks=0),
    replace(RESNET, norm="instance_affine", upsample="resize", padding="zero"),
    replace(UNET, norm="batch", dropout=True, depth=6),
    replace(UNET, norm="none", upsample="resize", skip_order="up_first", conv_bias="always"),
    *(replace(CODED_UNET, z_at=place) for place in PLACES),
)
EVERY: tuple[GeneratorConfig, ...] = (
    *(
        replace(RESNET, norm=norm, upsample=upsample, padding=padding, antialias=antialias)
        for norm, upsample, padding, antialias in product(
            NORMS, UPSAMPLINGS, PADDINGS, (False, True)
        )
    ),
    *(
        replace(UNET, norm=norm, upsample=upsample, skip_order=order, conv_bias=bias, dropout=True)
        for norm, upsample, order, bias in product(NORMS, UPSAMPLINGS, ORDERS, BIASES)
    ),
    *(replace(CODED_UNET, norm=norm, z_at=place) for norm, place in product(NORMS, PLACES)),
)
ENCODERS: tuple[EncoderConfig, ...] = (
    *(ResidualEncoderConfig(base_channels=4, num_blocks=2, norm=norm) for norm in NORMS),
    ResidualEncoderConfig(base_channels=4, num_blocks=5),
    Resnet18EncoderConfig(),
)


def run(model: onnx.ModelProto, **inputs: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: list[Array] = session.run(None, inputs)
    return found


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def save_used(path: Path, header: ModelHeader, *, gain: float = 0.2) -> Path:
    """Write a model with statistics in its batch norms, as after a training."""
    tensors = load_tensors(save_model(path, header, gain=gain))
    draws = torch.Generator().manual_seed(1)
    for name, tensor in tensors.items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.5, generator=draws)
        elif name.endswith("running_var"):
            tensor.uniform_(0.1, 2, generator=draws)
    save(path, tensors, header)
    return path


def compare(generator: GeneratorConfig, tmp_path: Path, *, gain: float = 0.2) -> float:
    """Compare at two sizes, and return the deviation of the values."""
    header = model_header(generator, in_channels=2, out_channels=5)
    path = save_used(tmp_path / "m.safetensors", header, gain=gain)
    g, numbers = generator_graph(header), latent_dim(generator)
    assert g.layout == read_layout(path)
    model, engine = g.model(load_arrays(path)), TorchEngine.load(path, device="cpu")
    for height, width in ((2, 5), (6, 2)):
        sides = (side * size_multiple(generator) for side in (height, width))
        x, z = drawn(2, 2, *sides), drawn(2, numbers) if numbers else None
        (found,) = run(model, image=x, **({} if z is None else {"z": z}))
        expected = engine.run(x, z)
        assert found.shape == expected.shape
        assert abs(found - expected).max() < 1 / 255
    return float(expected.std())


@pytest.mark.parametrize("generator", QUICK, ids=range(len(QUICK)))
def test_a_generator_is_that_of_torch(generator: GeneratorConfig, tmp_path: Path) -> None:
    assert compare(generator, tmp_path) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.02, 0.2])
@pytest.mark.parametrize("generator", EVERY, ids=range(len(EVERY)))
def test_every_generator_is_that_of_torch(
    generator: GeneratorConfig, gain: float, tmp_path: Path
) -> None:
    compare(generator, tmp_path, gain=gain)


@pytest.mark.parametrize("encoder", ENCODERS, ids=range(len(ENCODERS)))
def test_an_encoder_is_that_of_torch(encoder: EncoderConfig, tmp_path: Path) -> None:
    header = model_header(CODED_UNET, encoder=encoder, out_channels=4)
    path = save_used(tmp_path / "m.safetensors", header)
    g = encoder_graph(header, encoder)
    layout = read_layout(path)
    assert g.layout == {n: found for n, found in layout.items() if n.startswith(ENCODER_PREFIX)}
    x = drawn(2, 4, 64, 128)
    expected = TorchEngine.load(path, device="cpu").encode_distribution(x)
    for found, code in zip(run(g.model(load_arrays(path)), image=x), expected, strict=True):
        np.testing.assert_allclose(found, code, rtol=1e-3, atol=1e-4)


def norm_of(channels: int) -> onnx.ModelProto:
    g = Graph()
    x = Map(name=g.input("x", ("n", channels, "h", "w")), channels=channels)
    g.output("y", normalised(g, x, "norm", "instance").name, ("n", channels, "h", "w"))
    return g.model({})


@pytest.mark.parametrize("value", [0.1, 10.3, -100.7])
def test_a_norm_keeps_a_flat_map_flat(value: float) -> None:
    (found,) = run(norm_of(1), x=np.full((1, 1, 97, 1000), value, np.float32))
    assert abs(found).max() < 1e-5


@pytest.mark.parametrize("mean", [0, 10])
def test_a_norm_keeps_its_digits_on_a_large_map(mean: float) -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 2048, 2048), np.float32) + np.float32(mean)
    (found,) = run(norm_of(1), x=x)
    expected = (x - x.mean(dtype=np.float64)) / np.sqrt(x.var(dtype=np.float64) + 1e-5)
    assert abs(found - expected).max() < 3e-5


def test_weights_that_are_not_given_are_external() -> None:
    model = generator_graph(model_header()).model()
    (weight,) = (t for t in model.graph.initializer if t.name == "stem.conv.weight")
    assert weight.data_location == onnx.TensorProto.EXTERNAL
    assert list(weight.dims) == [4, 3, 7, 7]
    assert model.ByteSize() < 20_000


def test_a_graph_is_of_a_version_that_old_runtimes_load() -> None:
    model = generator_graph(model_header()).model()
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)


def operators(graph: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in graph.graph.node}


def test_the_operators_that_are_loaded_are_those_of_all_exports(tmp_path: Path) -> None:
    found: set[str] = set()
    for generator in EVERY:
        found |= operators(generator_graph(model_header(generator)).model())
    for encoder in ENCODERS:
        header = model_header(CODED_UNET, encoder=encoder)
        found |= operators(encoder_graph(header, encoder).model())
    wide = model_header(replace(RESNET, base_channels=8))
    path = save_model(tmp_path / "m.safetensors", wide)
    faint = save_model(tmp_path / "faint.safetensors", wide, gain=1e-6)
    for source, form in product(
        (path, faint), (ExportForm(io="uint8"), ExportForm(format="onnx-fp16"))
    ):
        found |= operators(to_onnx(load_source_model(source, form)))
    save_soft_pictures(tmp_path / "pictures")
    int8 = export_model(
        path,
        tmp_path / "int8.onnx",
        form=ExportForm(format="onnx-int8"),
        calibrate=tmp_path / "pictures",
        min_psnr=10,
    )
    assert found | operators(onnx.load(int8.path)) == OPERATORS
