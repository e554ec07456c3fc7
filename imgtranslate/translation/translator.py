"""The translator, which converts a picture to a translated picture of the same size."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtranslate.device import is_cpu
from imgtranslate.engines.any_size import AnySize
from imgtranslate.engines.engine import Engine
from imgtranslate.errors import (
    CheckpointError,
    ImageError,
    UsageError,
    checks_arguments,
    counted,
)
from imgtranslate.images import (
    Alpha,
    Codes,
    Picture,
    Pixels,
    Values,
    eight_bits,
    mirror_indices,
    pad_to,
    picture_from_pil,
    to_network,
    to_pil,
    to_pixels,
)
from imgtranslate.images.picture import WHITES, AnyPixels, fitting_side
from imgtranslate.memory import Tile
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import is_export, is_onnx, is_openvino, is_pt2
from imgtranslate.settings.config import (
    Direction,
    latent_dim,
    size_multiple,
    smallest_side,
    smallest_style,
)

if TYPE_CHECKING:
    from imgtranslate.engines.graph_engine import GraphEngine
    from imgtranslate.engines.torch_engine import TorchEngine

EngineName = Literal["auto", "torch", "onnx", "openvino"]
Precision = Literal["fp32", "fp16"]
AnyImage = TypeVar("AnyImage", Image.Image, Pixels)
TOO_LARGE = 3  # multiple of the training size


@runtime_checkable
class SupportsArray(Protocol):
    """An array, or an object that converts to one, such as a tensor of torch."""

    def __array__(self) -> NDArray[Any]:
        """Convert to an array."""
        ...


@final
class Translator:
    """A trained generator, ready to use; the same picture always gives the same bytes.

    A picture of any size is padded by reflection to a size that the network takes, and the result
    is cropped; it is never resampled. With ``sizes``, a picture that is too large for the memory
    runs in strips of rows. A translator that ``load`` made can be sent to other processes, which
    read the model file again: ``load_again`` does that.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        sizes: AnySize | None = None,
        load_again: Callable[[], "Translator"] | None = None,
    ) -> None:
        if isinstance(engine, str | Path):
            raise UsageError(f"`engine` {engine}: a path. Use imgtranslate.load to read a model")
        config = engine.header.generator
        self._engine = engine
        self._sizes = sizes
        self._load_again = load_again
        self._multiple, self._least = size_multiple(config), smallest_side(config)
        self._latent_dim = latent_dim(config)

    def __reduce__(self) -> tuple[Callable[[], "Translator"], tuple[()]]:
        """Pickle the arguments of ``load``, not the weights."""
        if self._load_again is None:
            raise UsageError(
                "`engine`: this translator cannot be sent to another process. Make it with "
                "imgtranslate.load"
            )
        return self._load_again, ()

    @property
    def header(self) -> ModelHeader:
        """The header of the model file: domains, channels, architecture, step."""
        return self._engine.header

    @property
    def device(self) -> str:
        """The device of the model, such as ``cpu`` or ``cuda:0``."""
        return self._engine.device

    @property
    def runtime(self) -> str:
        """The library that runs the model: torch, ONNX Runtime or OpenVINO."""
        return self._engine.runtime

    @property
    def latent_dim(self) -> int:
        """The length of the code z; 0 if a picture has a single translation."""
        return self._latent_dim

    @checks_arguments
    def __call__(
        self,
        image: AnyImage,
        *,
        seed: int | None = None,
        z: Sequence[float] | SupportsArray | None = None,
        style: Image.Image | Pixels | None = None,
        alpha: Alpha = "keep",
    ) -> AnyImage:
        """Translate one image; the result is upright, in sRGB, and of the displayed size.

        ``image``: a PIL image, or an array uint8 (h, w, in_channels) in sRGB, which gives an array
        (h, w, out_channels). ``alpha`` of a PIL image: copy the transparency (``keep``), remove it
        (``drop``), or composite the image over white first (``matte``).

        A model with a latent code z has many translations of an image. At most one argument chooses
        the code: ``seed`` draws it and is 0 by default; ``z`` is the code itself; ``style`` is an
        image of the target domain from which the encoder reads it.

        Raises ``ImageError`` if an image is damaged or too large for the memory, ``UsageError`` if
        the model has no code or a code of another length.
        """
        if isinstance(image, np.ndarray):
            _check_array("image", image, channels=self.header.in_channels, dtypes=("uint8",))
            code = self._chosen(image, seed=seed, z=z, style=style)
            return self.translate_pixels(image, z=code)
        picture = picture_from_pil(image, channels=self.header.in_channels, alpha=alpha)
        code = self._chosen(picture.pixels, seed=seed, z=z, style=style)
        return to_pil(self.translate_picture(picture, z=code))

    @checks_arguments
    def batch(self, images: Iterable[AnyImage]) -> list[AnyImage]:
        """Translate images of any sizes, each with the same result as alone."""
        return [self(image) for image in images]

    def translate_picture(self, picture: Picture, *, z: Codes | None = None) -> Picture:
        """Translate the pixels in their depth; alpha, profile, EXIF and XMP are kept."""
        pixels = self.translate_pixels(picture.pixels, z=z, white=picture.white)
        return replace(picture, pixels=pixels)

    @checks_arguments
    def translate_pixels(
        self, pixels: AnyPixels, *, z: Codes | None = None, white: float = 255.0
    ) -> AnyPixels:
        """Translate (h, w, in_channels) of any depth to (h, w, out_channels) of the same depth.

        ``z``: (latent_dim,); by default the code of seed 0 if the model has a code.
        """
        _check_array("pixels", pixels, channels=self.header.in_channels, dtypes=tuple(WHITES))
        if z is None and self.latent_dim:
            z = self.draw(0, pixels)
        height, width, _ = pixels.shape
        output = np.empty((height, width, self.header.out_channels), pixels.dtype)
        values_at = lambda rows, columns: to_network(pixels[rows, columns], white=white)  # noqa: E731
        for start, values in self._run(values_at, z, height=height, width=width):
            part = to_pixels(values, white=white, dtype=pixels.dtype)
            output[start : start + len(part)] = part
        return output

    @checks_arguments
    def translate_values(self, values: Values, *, z: Codes | None = None) -> Values:
        """Translate float32 (in_channels, h, w) in [-1, 1] to (out_channels, h, w).

        ``z``: (latent_dim,), given if and only if the model has a code. Raises ``UsageError`` if it
        does not fit, ``ImageError`` if the output of the network contains NaN.
        """
        channels = self.header.in_channels
        if values.ndim != 3 or values.shape[0] != channels or 0 in values.shape:
            raise UsageError(f"`values`: its shape is {values.shape}. Give ({channels}, h, w)")
        height, width = values.shape[-2:]
        output = np.empty((self.header.out_channels, height, width), np.float32)
        values_at = lambda rows, columns: values[:, rows, columns]  # noqa: E731
        for start, part in self._run(values_at, z, height=height, width=width):
            output[:, start : start + part.shape[1]] = part
        return output

    def translate_batch(
        self, pictures: Sequence[Picture], *, codes: Sequence[Codes | None]
    ) -> list[Picture]:
        """Translate 8-bit pictures of one size as one batch, which is faster on a GPU.

        ``codes``: one for each picture, or None for a model without a code. The last bit may differ
        from a picture translated alone. Raises ``ImageError`` if one of the pictures fails.
        """
        height, width, _ = pictures[0].pixels.shape
        values = np.stack([to_network(picture.pixels) for picture in pictures])
        beside = [np.concatenate(z) for z in zip(*map(self._code_inputs, codes), strict=True)]
        padded = pad_to(values, multiple=self._multiple, least=self._least)
        outputs = _numbers(self._engine.run(padded, *beside)[:, :, :height, :width])
        return [
            replace(picture, pixels=to_pixels(output))
            for picture, output in zip(pictures, outputs, strict=True)
        ]

    @checks_arguments
    def draw(self, seed: int, pixels: AnyPixels | None = None) -> Codes:
        """Draw a code (latent_dim,) from normal(0, 1), as a function of seed and pixels.

        Without ``pixels`` all pictures get the same code. Raises ``UsageError`` if the seed is
        negative.
        """
        if seed < 0:
            raise UsageError(f"seed {seed}: negative. Give 0 or more")
        content = b"" if pixels is None else str(pixels.shape).encode() + pixels.tobytes()
        digest = int.from_bytes(hashlib.sha256(content).digest())
        rng = np.random.default_rng([seed, *([digest] if content else [])])
        return rng.standard_normal(self.latent_dim).astype(np.float32)

    @checks_arguments
    def encode(self, image: Image.Image | Pixels) -> Codes:
        """Read the code (latent_dim,) of an image of the target domain, PIL or uint8 (h, w, c).

        Raises ``UsageError`` if the model has no encoder, ``ImageError`` if the image is damaged.
        """
        if isinstance(image, np.ndarray):
            _check_array("image", image, channels=self.header.out_channels, dtypes=("uint8",))
            return self.encode_pixels(image)
        picture = eight_bits(picture_from_pil(image, channels=self.header.out_channels))
        return self.encode_pixels(picture.pixels)

    @checks_arguments
    def encode_pixels(self, pixels: Pixels) -> Codes:
        """Read the code (latent_dim,) of uint8 (h, w, out_channels)."""
        _check_array("pixels", pixels, channels=self.header.out_channels, dtypes=("uint8",))
        encoder = self.header.encoder
        if encoder is None:
            raise UsageError("style: this model has no encoder to read a style. Use a seed")
        side = smallest_style(encoder)
        values = pad_to(to_network(pixels), multiple=side, least=side)
        code: Codes = self._engine.encode(values[None])[0]
        return code

    def _chosen(
        self,
        pixels: AnyPixels,
        *,
        seed: int | None,
        z: Sequence[float] | SupportsArray | None,
        style: Image.Image | Pixels | None,
    ) -> Codes | None:
        ways = {"seed": seed, "z": z, "style": style}
        given = [name for name, value in ways.items() if value is not None]
        if not given:
            return None
        if len(given) > 1:
            raise UsageError(f"{given[0]}, {given[1]}: both choose the code z. Give one of them")
        if not self.latent_dim:
            raise _without_code(given[0])
        if isinstance(style, np.ndarray):
            _check_array("style", style, channels=self.header.out_channels, dtypes=("uint8",))
        if style is not None:
            return self.encode(style)
        return self.draw(seed, pixels) if seed is not None else to_code(z, self.latent_dim)

    def _run(
        self, values_at: Callable[[Any, Any], Values], z: Codes | None, *, height: int, width: int
    ) -> Iterator[tuple[int, Values]]:
        """Yield the first row and the values of each strip of the translation, without padding.

        ``values_at`` returns the values (c, n, m) at rows and columns, given as slices or indices.
        After a shortage of memory the strips begin at the top again.
        """
        size = (
            fitting_side(height, multiple=self._multiple, least=self._least),
            fitting_side(width, multiple=self._multiple, least=self._least),
        )
        at_rows, at_columns = map(mirror_indices, (height, width), size)

        def read(rows: slice, columns: slice) -> Values:
            if size == (height, width):
                return values_at(rows, columns)
            return values_at(at_rows[rows][:, None], at_columns[columns])

        code = self._code_inputs(z)
        parts: Iterable[tuple[int, Values]]
        if self._sizes is not None:
            parts = self._sizes.run(read, *code, size=size)
        else:
            padded = read(slice(0, size[0]), slice(0, size[1]))
            parts = [(0, self._engine.run(padded[None], *code)[0])]
        for start, values in parts:
            if start < height:
                yield start, _numbers(values[:, : height - start, :width])

    def _code_inputs(self, z: Codes | None) -> tuple[Codes, ...]:
        """Return the further arguments of the network: none, or the codes (1, latent_dim)."""
        if not self.latent_dim:
            if z is not None:
                raise _without_code("z")
            return ()
        return (to_code(z, self.latent_dim)[None],)


def _check_array(name: str, array: AnyPixels, *, channels: int, dtypes: tuple[str, ...]) -> None:
    """Raise ``UsageError`` for an argument ``name`` that is not (h, w, channels) of a dtype."""
    if array.dtype.name not in dtypes or array.ndim != 3 or array.shape[2] != channels:
        raise UsageError(
            f"`{name}`: an array of {array.dtype} {array.shape}. Give {' or '.join(dtypes)} "
            f"(h, w, {channels})"
        )
    if not array.size:
        raise UsageError(f"`{name}`: an array without pixels. Give (h, w, {channels})")


def _numbers(values: Values) -> Values:
    """Return the values; ``ImageError`` if some are NaN."""
    if np.isnan(values).any():
        raise ImageError(
            "the output of the network contains NaN. Use an earlier checkpoint of the run"
        )
    return values


def to_code(
    numbers: Sequence[float] | SupportsArray | None, count: int, *, where: str = "z"
) -> Codes:
    """Convert ``count`` finite numbers to a code; ``UsageError`` about ``where`` for others."""
    try:
        with np.errstate(over="ignore"):  # numbers beyond float32 become infinite
            code = np.asarray(() if numbers is None else numbers, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: not a list of numbers. Give {count} numbers") from error
    if code.shape != (count,):
        found = counted(code.size, "number")
        raise UsageError(f"{where}: {found}, but the code has {count}. Give {count} numbers")
    if not np.isfinite(code).all():
        raise UsageError(f"{where}: contains numbers that are not finite. Give {count} others")
    return code


def _without_code(name: str) -> UsageError:
    return UsageError(
        f"{name}: this model has no latent code, so a picture has one translation. Leave it out"
    )


def size_notice(source: object, pixels: AnyPixels, header: ModelHeader) -> str:
    """Write a notice on a picture much larger than those of the training; empty for others."""
    if min(pixels.shape[:2]) <= TOO_LARGE * header.crop_size:
        return ""
    return (
        f"{source}: its shorter side is more than {TOO_LARGE} times the {header.crop_size} px of "
        "the training, so the effect may be weak"
    )


@checks_arguments
def load(
    model: str | Path,
    *,
    device: str = "auto",
    direction: Direction = "ab",
    tile: Tile = "auto",
    memory: int | None = None,
    encoder: str | Path | None = None,
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    notice: Callable[[str], None] | None = None,
) -> Translator:
    """Load a model file, or the model of a run in a ``direction``: the best, else the last.

    ``engine="auto"`` runs a ``.safetensors`` in ONNX Runtime (``onnx``) on a CPU and in torch on a
    GPU, an ``.onnx`` in ONNX Runtime, and an OpenVINO folder in OpenVINO. ``torch`` runs a
    ``.safetensors`` on any device, ``openvino`` runs an ``.onnx`` too.

    torch runs a picture that needs more than ``memory`` bytes, by default half of the free memory,
    in strips of rows with the same result. ``tile`` is ``auto``, ``off`` for always whole, or the
    number of rows of a strip. ``notice`` receives a line when a shortage of memory changes this or
    the result; a copy in another process reports none. ``encoder``: the .onnx file that reads
    styles for an .onnx generator. ``precision``: ``fp16`` computes the convolutions of whole
    pictures on a GPU in float16.

    Raises ``CheckpointError`` if the file is missing, damaged or foreign, ``UsageError`` if the
    device is missing or an argument does not apply to the file.
    """
    path = find_model(model, direction=direction)
    load_again = partial(
        load, path.absolute(), device=device, tile=tile, memory=memory,
        encoder=None if encoder is None else Path(encoder).absolute(),
        engine=engine, precision=precision,
    )  # fmt: skip
    if is_pt2(path):
        raise CheckpointError(
            f"{path}: only torch.export.load can read it, which may run code in the file. "
            "Use the .safetensors model or an .onnx export"
        )
    fitting = {
        "auto": True,
        "torch": not is_export(path),
        "onnx": not is_openvino(path),
        "openvino": is_onnx(path) or is_openvino(path),
    }
    if not fitting[engine]:
        kind = (
            "the .safetensors model" if engine == "torch" else f"an export with `format` {engine}"
        )
        raise UsageError(f"`engine` {engine}: does not run {path}. Use {kind}")

    if is_export(path):
        from imgtranslate.engines.export_engine import ExportEngine

        if isinstance(tile, int) or memory is not None:
            raise UsageError(f"{path}: an export cannot run in strips. Use the .safetensors model")
        if precision != "fp32":
            raise UsageError(f"`precision` {precision}: {path} has a fixed precision. Leave it out")
        return Translator(
            ExportEngine.load_generator(
                path,
                device=device,
                openvino=engine == "openvino",
                encoder=None if encoder is None else Path(encoder),
            ),
            load_again=load_again,
        )

    if encoder is not None:
        raise UsageError(f"`encoder` {encoder}: works with an .onnx model only. Leave it out")
    if engine == "auto":
        in_torch = isinstance(tile, int) or precision != "fp32" or not is_cpu(device)
        engine = "torch" if in_torch else "onnx"
    loaded = _load_engine(path, engine, device=device, tile=tile, precision=precision)
    sizes = AnySize(loaded, tile=tile, memory=memory, notice=notice)
    return Translator(loaded, sizes=sizes, load_again=load_again)


def _load_engine(
    path: Path, engine: EngineName, *, device: str, tile: Tile, precision: Precision
) -> "TorchEngine | GraphEngine":
    """Load a ``.safetensors`` in torch or ONNX Runtime."""
    if engine == "torch":
        from imgtranslate.engines.torch_engine import TorchEngine

        return TorchEngine.load(path, device=device, half=precision == "fp16")
    from imgtranslate.engines.graph_engine import GraphEngine

    fitting = {
        "tile": not isinstance(tile, int),
        "precision": precision == "fp32",
        "device": device in ("auto", "cpu"),
    }
    if not all(fitting.values()):
        name = next(name for name, fits in fitting.items() if not fits)
        raise UsageError(
            f"`{name}`: `engine` onnx runs a .safetensors model on the CPU, in fp32 and whole. Use "
            "`engine` torch"
        )
    return GraphEngine.load(path)


def find_model(model: str | Path, *, direction: Direction = "ab") -> Path:
    """Find the model file in the folder of a run; any other path is returned unchanged."""
    path = Path(model)
    if not path.is_dir() or is_openvino(path):
        return path
    name = f"{direction}.safetensors"
    for candidate in (path / "best" / name, path / name):
        if candidate.is_file():
            return candidate
    if direction == "ba" and (path / "ab.safetensors").is_file():
        raise CheckpointError(
            f"{path}: no {name}: this run learnt from A to B only. Use its ab.safetensors"
        )
    raise CheckpointError(
        f"{path}: no {name} in this folder. Name the folder of a run or a .safetensors file"
    )
