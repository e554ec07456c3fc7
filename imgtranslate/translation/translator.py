"""What a Python user holds: a picture in, the translated picture out."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

import numpy as np
from PIL import Image

from imgtranslate.engines import Engine
from imgtranslate.errors import CheckpointError, ImageError, UsageError
from imgtranslate.images import (
    Alpha,
    AnyPixels,
    Codes,
    Picture,
    Pixels,
    Values,
    eight_bits,
    fitting_side,
    mirror_indices,
    pad_to,
    picture_from_pil,
    to_network,
    to_pil,
    to_pixels,
)
from imgtranslate.memory import Tile
from imgtranslate.model_files.checkpoint import Direction, ModelHeader
from imgtranslate.model_files.export_files import is_onnx, is_openvino, is_pt2
from imgtranslate.settings.config import latent_dim, size_multiple, smallest_side, smallest_style

if TYPE_CHECKING:
    from imgtranslate.engines.any_size import AnySize
    from imgtranslate.model_files.export_header import ExportForm

EngineName = Literal["auto", "torch", "onnx", "openvino"]
Precision = Literal["fp32", "fp16"]


@final
class Translator:
    """A trained generator, ready to use; the same picture always gives the same bytes.

    Pictures of any size are mirrored up to what the network takes, run one at a time and cut
    back, never resampled. With ``sizes`` those too big for the memory are run in strips.
    """

    def __init__(self, engine: Engine, *, sizes: "AnySize | None" = None) -> None:
        self._engine = engine
        self._sizes = sizes

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself: domains, channels, architecture, step."""
        return self._engine.header

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return self._engine.device

    def __call__(
        self,
        image: Image.Image,
        *,
        seed: int | None = None,
        z: Sequence[float] | Codes | None = None,
        style: Image.Image | None = None,
        alpha: Alpha = "keep",
    ) -> Image.Image:
        """Translate one image: upright, in sRGB, of the size displayed.

        ``alpha``: transparency is kept as it is (``keep``), left out (``drop``), or the image is
        laid over white first (``matte``).

        A model with a code z has many looks. At most one of these chooses one, else it is
        ``seed=0``: ``seed``, a number; ``z``, the code; ``style``, a picture of the target to take
        it from. Raises ``ImageError`` if an image is damaged or too big for the memory,
        ``UsageError`` if the model has no code or one of another length.
        """
        picture = picture_from_pil(image, channels=self.header.in_channels, alpha=alpha)
        code = self._chosen(picture.pixels, seed=seed, z=z, style=style)
        return to_pil(self.translate_picture(picture, z=code))

    def batch(self, images: Iterable[Image.Image]) -> list[Image.Image]:
        """Translate images of any sizes; each comes out as it would alone."""
        return [self(image) for image in images]

    def translate_picture(self, picture: Picture, *, z: Codes | None = None) -> Picture:
        """Translate the pixels, in their depth; alpha, profile, EXIF and XMP are carried over."""
        pixels = self.translate_pixels(picture.pixels, z=z, white=picture.white)
        return replace(picture, pixels=pixels)

    def translate_pixels(
        self, pixels: AnyPixels, *, z: Codes | None = None, white: float = 255.0
    ) -> AnyPixels:
        """Translate (h, w, in_channels) of any depth into (h, w, out_channels) of the same.

        ``z``: (latent_dim,), else that of seed 0 where there is a code.
        """
        if z is None and self.latent_dim:
            z = self.draw(0, pixels)
        if self._sizes is None:
            values = self.translate_values(to_network(pixels, white=white), z=z)
            translated: AnyPixels = to_pixels(values, white=white, dtype=pixels.dtype)
            return translated
        height, width = pixels.shape[:2]
        output = np.empty((height, width, self.header.out_channels), pixels.dtype)
        for start, values in self._parts(pixels, z=z, white=white, sizes=self._sizes):
            if start >= height:
                break
            values = _numbers(values[:, : height - start, :width])
            part = to_pixels(values, white=white, dtype=pixels.dtype)
            output[start : start + len(part)] = part
        return output

    def translate_together(
        self, pictures: Sequence[Picture], *, codes: Sequence[Codes | None]
    ) -> list[Picture]:
        """Translate 8-bit pictures of one size in one run of the network, as suits a GPU.

        ``codes``: one for each picture, or None where there is no code. The last bit may differ
        from what a picture gives alone. Raises ``ImageError`` if one of them fails.
        """
        config = self.header.generator
        height, width = pictures[0].pixels.shape[:2]
        values = np.stack([to_network(picture.pixels) for picture in pictures])
        beside = [np.concatenate(z) for z in zip(*map(self._beside, codes), strict=True)]
        padded = pad_to(values, multiple=size_multiple(config), least=smallest_side(config))
        outputs = _numbers(self._engine.run(padded, *beside)[:, :, :height, :width])
        return [
            replace(picture, pixels=to_pixels(output))
            for picture, output in zip(pictures, outputs, strict=True)
        ]

    def _parts(
        self, pixels: AnyPixels, *, z: Codes | None, white: float, sizes: "AnySize"
    ) -> Iterator[tuple[int, Values]]:
        """What comes out, in rows from a first one on: all at once, or in strips."""
        config = self.header.generator
        multiple, least = size_multiple(config), smallest_side(config)
        at_rows, at_columns = (
            mirror_indices(side, fitting_side(side, multiple=multiple, least=least))
            for side in pixels.shape[:2]
        )

        def read(rows: slice, columns: slice) -> Values:
            return to_network(pixels[at_rows[rows][:, None], at_columns[columns]], white=white)

        return sizes.run(
            read,
            *self._beside(z),
            size=(len(at_rows), len(at_columns)),
            whole=lambda: self.translate_values(to_network(pixels, white=white), z=z),
        )

    @property
    def latent_dim(self) -> int:
        """How many numbers the code z has; 0 where a picture has one translation only."""
        return latent_dim(self.header.generator)

    def draw(self, seed: int, pixels: AnyPixels | None = None) -> Codes:
        """Draw a code of normal(0, 1), (latent_dim,): a function of the seed and the picture.

        By what is in the picture, not by its name or place, so that neither matters. Without
        ``pixels`` the same for every picture. Raises ``UsageError`` if the seed is negative.
        """
        if seed < 0:
            raise UsageError(f"seed {seed}: negative. Give 0 or more")
        content = b"" if pixels is None else str(pixels.shape).encode() + pixels.tobytes()
        digest = int.from_bytes(hashlib.sha256(content).digest())
        rng = np.random.default_rng([seed, *([digest] if content else [])])
        return rng.standard_normal(self.latent_dim).astype(np.float32)

    def encode(self, image: Image.Image) -> Codes:
        """Read the code (latent_dim,) of an image of the target domain, of any size.

        Raises ``UsageError`` if the model has no encoder, ``ImageError`` if the image is damaged.
        """
        picture = eight_bits(picture_from_pil(image, channels=self.header.out_channels))
        return self.encode_pixels(picture.pixels)

    def encode_pixels(self, pixels: Pixels) -> Codes:
        """Read the code (latent_dim,) of uint8 (h, w, out_channels), mirrored up if need be."""
        encoder = self.header.encoder
        if encoder is None:
            raise UsageError("style: this model has no encoder to read a look with. Use a seed")
        side = smallest_style(encoder)
        values = pad_to(to_network(pixels), multiple=side, least=side)
        code: Codes = self._engine.encode(values[None])[0]
        return code

    def _chosen(
        self,
        pixels: AnyPixels,
        *,
        seed: int | None,
        z: Sequence[float] | Codes | None,
        style: Image.Image | None,
    ) -> Codes | None:
        ways = {"seed": seed, "z": z, "style": style}
        given = [name for name, value in ways.items() if value is not None]
        if not given:
            return None
        if len(given) > 1:
            raise UsageError(f"{given[0]}, {given[1]}: both choose the look. Give one of them")
        if not self.latent_dim:
            raise _without_code(given[0])
        if style is not None:
            return self.encode(style)
        return self.draw(seed, pixels) if seed is not None else to_code(z, self.latent_dim)

    def translate_values(self, values: Values, *, z: Codes | None = None) -> Values:
        """Translate float32 (in_channels, h, w) in [-1, 1] into (out_channels, h, w).

        ``z``: (latent_dim,), for a model with a code and for no other. Raises ``UsageError`` if it
        does not fit, ``ImageError`` if the network's answer is not a number somewhere.
        """
        config = self.header.generator
        height, width = values.shape[-2:]
        code = self._beside(z)
        padded = pad_to(values, multiple=size_multiple(config), least=smallest_side(config))
        return _numbers(self._engine.run(padded[None], *code)[0, :, :height, :width])

    def _beside(self, z: Codes | None) -> tuple[Codes, ...]:
        """What the network is given beside the picture: nothing, or the codes (1, latent_dim)."""
        if not self.latent_dim:
            if z is not None:
                raise _without_code("z")
            return ()
        return (to_code(z, self.latent_dim)[None],)


def _numbers(values: Values) -> Values:
    """The values; ``ImageError`` if some are not numbers."""
    if np.isnan(values).any():
        raise ImageError(
            "the network answers with values that are not numbers. "
            "Use an earlier checkpoint of the run"
        )
    return values


def to_code(numbers: Sequence[float] | Codes | None, count: int, *, where: str = "z") -> Codes:
    """Turn numbers into a code; ``UsageError`` about ``where`` unless ``count`` finite ones."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        code = np.asarray(() if numbers is None else numbers, dtype=np.float32).reshape(-1)
    if code.shape != (count,) or not np.isfinite(code).all():
        raise UsageError(
            f"{where}: {code.size} numbers. The code has {count}, all finite: give those"
        )
    return code


def _without_code(name: str) -> UsageError:
    return UsageError(f"{name}: this model has no code z, it has one look. Leave it out")


def load(
    model: str | Path,
    *,
    device: str = "auto",
    direction: Direction = "ab",
    tile: Tile = "auto",
    memory: int | None = None,
    encoder: Path | None = None,
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    notice: Callable[[str], None] | None = None,
) -> Translator:
    """Load a model file, or the ``direction`` of a run's folder: ``best/`` if there, else the last.

    The file decides what runs it: torch a ``.safetensors``, ONNX Runtime an ``.onnx``, OpenVINO
    its folder; ``engine="openvino"`` runs an ``.onnx`` there too.

    Pictures that need more than ``memory`` bytes, half of what is free unless given, are run in
    strips of rows in torch, with the same result. ``tile``: ``auto``; ``off``, never; or the rows
    of a strip. ``notice`` gets a line where that had to be changed or the result suffers.
    ``encoder``: what reads the looks of an export. ``precision``: with ``fp16`` the convolutions of
    pictures that are run whole, on a GPU, are in float16.

    Raises ``CheckpointError`` if it is missing, damaged or foreign, ``UsageError`` if the device
    is not there, or an export is to run in strips.
    """
    path = find_model(model, direction=direction)
    if is_pt2(path):
        raise CheckpointError(
            f"{path}: only torch.export.load reads it, which may run code that a file carries. "
            "Use the .safetensors model or an .onnx export"
        )
    _refuse_engine(engine, path)
    if is_onnx(path) or is_openvino(path):
        if isinstance(tile, int) or memory is not None:
            raise UsageError(
                f"{path}: an export runs pictures whole, not in strips. Use the .safetensors model"
            )
        if precision != "fp32":
            raise UsageError(f"--precision {precision}: {path} has its own. Leave it out")
        return Translator(_load_export(path, encoder, device=device, engine=engine))
    if encoder is not None:
        raise UsageError(f"--encoder {encoder}: goes with an .onnx model. Leave it out")
    from imgtranslate.engines.any_size import AnySize
    from imgtranslate.engines.torch_engine import TorchEngine

    loaded = TorchEngine.load(path, device=device, half=precision == "fp16")
    return Translator(loaded, sizes=AnySize(loaded, tile=tile, memory=memory, notice=notice))


def _refuse_engine(engine: EngineName, path: Path) -> None:
    """Raise ``UsageError`` if the file is not one that the engine runs."""
    fitting = {
        "auto": True,
        "torch": not (is_onnx(path) or is_openvino(path)),
        "onnx": is_onnx(path),
        "openvino": is_onnx(path) or is_openvino(path),
    }
    if not fitting[engine]:
        kind = "the .safetensors model" if engine == "torch" else f"an export: --format {engine}"
        raise UsageError(f"--engine {engine}: does not run {path}. Use {kind}")


def _load_export(path: Path, encoder: Path | None, *, device: str, engine: EngineName) -> Engine:
    loaded: Engine
    if engine == "openvino" or is_openvino(path):
        from imgtranslate.engines.openvino_engine import OpenvinoEngine

        if encoder is not None:
            raise UsageError(
                f"--encoder {encoder}: goes with ONNX Runtime. Use an .onnx model and --engine onnx"
            )
        loaded = OpenvinoEngine.load(path, device=device)
        return _generator(loaded, loaded.form, path)
    if encoder is not None:
        from imgtranslate.engines.with_encoder import WithEncoder

        return WithEncoder.load(path, encoder, device=device)
    from imgtranslate.engines.onnx_engine import OnnxEngine

    loaded = OnnxEngine.load(path, device=device)
    return _generator(loaded, loaded.form, path)


def _generator(engine: Engine, form: "ExportForm", path: Path) -> Engine:
    """The engine; ``CheckpointError`` if it only reads looks."""
    if form.what == "encoder":
        raise CheckpointError(
            f"{path}: an encoder: it reads looks, and translates nothing. Name a generator's export"
        )
    return engine


def find_model(model: str | Path, *, direction: Direction = "ab") -> Path:
    """The file that ``load`` takes for a file or a run's folder."""
    path = Path(model)
    if not path.is_dir() or is_openvino(path):
        return path
    name = f"{direction}.safetensors"
    for candidate in (path / "best" / name, path / name):
        if candidate.is_file():
            return candidate
    if direction == "ba" and (path / "ab.safetensors").is_file():
        raise CheckpointError(
            f"{path}: no {name}: this run learnt one way only, from A to B. Use its ab.safetensors"
        )
    raise CheckpointError(
        f"{path}: no {name} in this folder. Name a run's folder or a .safetensors file"
    )
