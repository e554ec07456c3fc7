"""Export: a model as one ONNX file that takes pictures of any size, proven before it is kept."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from imgtranslate._version import __version__
from imgtranslate.atomic import explained, replacing
from imgtranslate.builders import build_generator
from imgtranslate.checkpoint import (
    ENCODER_PREFIX,
    METADATA_KEY,
    ModelHeader,
    header_json,
    load_tensors,
)
from imgtranslate.config import latent_dim, size_multiple, smallest_side
from imgtranslate.engines.onnx_engine import CODE, OnnxEngine
from imgtranslate.engines.onnx_engine import IMAGE as INPUT
from imgtranslate.engines.onnx_engine import TRANSLATED as OUTPUT
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.images import Pixels, to_network, to_pixels
from imgtranslate.onnx_metadata import is_onnx
from imgtranslate.translator import Translator, find_model, load

TOLERANCE = 1  # of 255 levels
OPSET = 18
LARGEST_COMPARED = 512  # px; a header may claim any crop
LARGEST_FILE = 2**31 - 1  # bytes, protobuf's limit
_DIMENSIONS = ("batch", "", "height", "width")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far the exported file was from the model at one size."""

    batch: int
    height: int  # px
    width: int  # px
    largest: int  # difference of any 8-bit value, in levels of 255


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported file and the proof that it does what the model does."""

    path: Path
    size: int  # bytes
    header: ModelHeader
    comparisons: tuple[Comparison, ...]


def export_onnx(model: Path | str, output: Path | str, *, overwrite: bool = False) -> ExportResult:
    """Write a model file, or a run's A to B, as ONNX; run both and compare before it is kept.

    Input ``image`` and output ``translated`` are float32 (n, c, h, w) in [-1, 1] with n, h and w
    free: the mirroring to what the network takes and the cut are inside. A model with a code takes
    it as a second input, ``z`` (n, latent_dim). The model's header
    travels in the metadata. Raises ``UsageError`` if ``output`` cannot be taken, and
    ``ImgTranslateError``, leaving no file, if any 8-bit value differs by more than ``TOLERANCE``.
    """
    path, source = Path(output), find_model(model)
    refuse_output(path, overwrite=overwrite)
    if is_onnx(source):
        raise UsageError(f"--model {source}: an export already. Name the .safetensors model")
    translator = load(source, device="cpu")
    _refuse_too_large(source)
    proto = _to_onnx(_build_network(translator.header, source), translator.header)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        onnx.save(proto, temporary)
        comparisons = tuple(_compare(temporary, translator))
        _refuse_different(path, comparisons)
    size = path.stat().st_size
    return ExportResult(path=path, size=size, header=translator.header, comparisons=comparisons)


def refuse_output(path: Path, *, overwrite: bool) -> None:
    """Raise ``UsageError`` if an export cannot go to ``path``."""
    if path.is_dir():
        raise UsageError(f"-o {path}: a folder. Name a file, as in -o {path / 'ab.onnx'}")
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"-o {path}: not an ONNX name. Use -o {path.with_suffix('.onnx')}")
    if path.exists() and not overwrite:
        raise UsageError(f"-o {path}: exists already. Use --overwrite, or choose another name")


def runner(result: ExportResult) -> str:
    """The lines of Python that run the file with onnxruntime, numpy and Pillow alone."""
    header = result.header
    read, write = _reading(header.in_channels), _writing(header.out_channels)
    numbers = latent_dim(header.generator)
    draw = f"z = np.random.default_rng(0).standard_normal((1, {numbers}), np.float32)\n"
    code, given = (draw, f", {CODE!r}: z") if numbers else ("", "")
    return f"""\
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession({str(result.path)!r}, providers=['CPUExecutionProvider'])
{read}
x = pixels.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
{code}y = session.run(None, {{{INPUT!r}: x{given}}})[0][0].transpose(1, 2, 0)
pixels = np.rint(np.clip((y + 1) * 127.5, 0, 255)).astype(np.uint8)
{write}"""


def _reading(channels: int) -> str:
    """The lines that read ``pixels``, uint8 (h, w, channels)."""
    if channels > 4:
        return "pixels = np.load('in.npy')"
    mode, axis = ("L", "LA", "RGB", "RGBA")[channels - 1], "[..., None]" if channels == 1 else ""
    opened = f"image = ImageOps.exif_transpose(Image.open('in.jpg')).convert({mode!r})"
    return f"{opened}\npixels = np.asarray(image){axis}"


def _writing(channels: int) -> str:
    if channels > 4:
        return "np.save('out.npy', pixels)"
    return f"Image.fromarray(pixels{'[..., 0]' if channels == 1 else ''}).save('out.png')"


class _AnySize(nn.Module):
    """A network with the mirroring and the cut that ``Translator`` does around it."""

    def __init__(self, network: nn.Module, *, multiple: int, least: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.least = least

    def forward(self, image: Tensor, z: Tensor | None = None) -> Tensor:
        height, width = image.shape[-2:]
        rows = _mirror_indices(height, self._fitting(height))
        columns = _mirror_indices(width, self._fitting(width))
        padded = image.index_select(2, rows).index_select(3, columns)
        code = () if z is None else (z,)
        translated: Tensor = self.network(padded, *code)  # (n, c, multiple of .., multiple of ..)
        return translated[:, :, :height, :width]

    def _fitting(self, side: int) -> int | torch.SymInt:
        up = side + self.multiple - 1  # not -(-side // m): ONNX divides towards zero
        return torch.sym_max(up // self.multiple * self.multiple, self.least)


def _mirror_indices(size: int, padded: int | torch.SymInt) -> Tensor:
    """The map of ``images.mirror_indices``, in operations that export with symbolic sizes.

    The last index is a tensor: torch.export takes symbolic sizes for 2 or more, and as plain
    arithmetic would drop what is there for a side of 1.
    """
    last = torch.arange(size).amax(0)
    period = (2 * last).clamp(min=1)
    return last - (torch.arange(padded) % period - last).abs()


def _build_network(header: ModelHeader, source: Path) -> nn.Module:
    network = build_generator(
        header.generator, in_channels=header.in_channels, out_channels=header.out_channels
    )
    tensors = load_tensors(source).items()
    network.load_state_dict({n: t for n, t in tensors if not n.startswith(ENCODER_PREFIX)})
    whole = _AnySize(
        network.requires_grad_(False),
        multiple=size_multiple(header.generator),
        least=smallest_side(header.generator),
    )
    return whole.eval()


def _to_onnx(network: nn.Module, header: ModelHeader) -> onnx.ModelProto:
    image = torch.zeros(2, header.in_channels, 37, 50)  # sizes without a meaning of their own
    free = [{i: torch.export.Dim.DYNAMIC for i, name in enumerate(_DIMENSIONS) if name}]
    numbers = latent_dim(header.generator)
    code = [torch.zeros(2, numbers)] if numbers else []
    free += [{0: torch.export.Dim.DYNAMIC} for _ in code]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        program = torch.onnx.export(
            network,
            (image, *code),
            dynamo=True,
            dynamic_shapes=tuple(free),
            input_names=[INPUT, CODE][: 1 + len(code)],
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:  # of the older exporter only
        raise TypeError("torch.onnx.export gave no program")
    return _titled(program.model_proto, header)


def _titled(proto: onnx.ModelProto, header: ModelHeader) -> onnx.ModelProto:
    """Name the free sides, add the header, drop what the exporter notes about this machine."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.ClearField("metadata_props")
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, _DIMENSIONS, strict=value.name != CODE):
            if name:
                dimension.dim_param = name
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    proto.graph.ClearField("metadata_props")
    proto.graph.ClearField("value_info")
    proto.graph.name = f"{header.source} to {header.target}"
    proto.producer_name, proto.producer_version = "imgtranslate", __version__
    onnx.helper.set_model_props(proto, {METADATA_KEY: header_json(header)})
    return proto


def _compare(exported: Path, translator: Translator) -> Iterator[Comparison]:
    """Run both on noise, at sizes below, beside and at what the network was trained on."""
    engine = OnnxEngine.load(exported, device="cpu")
    noise = np.random.default_rng(0)
    crop = min(translator.header.crop_size, LARGEST_COMPARED)
    channels = translator.header.in_channels
    for batch, height, width in ((2, 7, 5), (1, 37, 50), (1, crop, crop)):
        pictures = noise.integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
        values = np.stack([to_network(picture) for picture in pictures])
        codes = np.stack([translator.draw(0, picture) for picture in pictures])
        found = engine.run(values, codes if translator.latent_dim else None)
        expected = [translator.translate_pixels(picture) for picture in pictures]
        largest = max(_largest(to_pixels(f), e) for f, e in zip(found, expected, strict=True))
        yield Comparison(batch=batch, height=height, width=width, largest=largest)


def _largest(x: Pixels, y: Pixels) -> int:
    if x.shape != y.shape:
        return 255
    return int(np.abs(x.astype(int) - y.astype(int)).max())


def _refuse_too_large(source: Path) -> None:
    if source.stat().st_size > LARGEST_FILE:
        raise UsageError(
            f"{source}: more than 2 GB, which one ONNX file cannot hold. "
            "Train with a smaller --base-channels"
        )


def _refuse_different(path: Path, comparisons: tuple[Comparison, ...]) -> None:
    worst = max(comparisons, key=lambda comparison: comparison.largest)
    if worst.largest > TOLERANCE:
        raise ImgTranslateError(
            f"{path}: not written: its picture of {worst.width} x {worst.height} px differs from "
            f"the model's by {worst.largest}/255, more than {TOLERANCE}/255. Use the model "
            "itself, and report this with the versions of torch, onnx and onnxruntime"
        )
