"""The generator in torch: the only module on the way of `translate` that imports it."""

from pathlib import Path
from typing import final

import torch
from torch import nn

from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.checkpoint import (
    ENCODER_PREFIX,
    ModelHeader,
    load_tensors,
    read_model_header,
)
from imgtranslate.config import latent_dim
from imgtranslate.device import choose_device
from imgtranslate.errors import CheckpointError, ImageError
from imgtranslate.images import Codes, Values

Layout = dict[str, tuple[str, tuple[int, ...]]]  # name to dtype and shape


@final
class TorchEngine:
    """A generator, and the encoder of its codes if it has one, in evaluation mode."""

    def __init__(
        self,
        network: nn.Module,
        *,
        header: ModelHeader,
        device: torch.device,
        encoder: nn.Module | None = None,
    ) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._encoder = encoder and encoder.to(device).eval().requires_grad_(False)
        self._header = header
        self._device = device

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> "TorchEngine":
        """Load a model file.

        Nothing is allocated for what the header claims before every tensor of the file is known
        to have the name, shape and dtype that follow from it. Raises ``CheckpointError``,
        ``UsageError`` for the device.
        """
        header = read_model_header(path)
        _check_range(header, path)
        chosen = choose_device(device)
        network, encoder = _build(header)
        expected = _layout_of_network(network)
        if encoder is not None:
            expected |= {f"{ENCODER_PREFIX}{n}": e for n, e in _layout_of_network(encoder).items()}
        _check_layout(path, expected=expected, found=_layout_of_file(path))

        tensors = load_tensors(path)
        if encoder is not None:
            names = [name for name in tensors if name.startswith(ENCODER_PREFIX)]
            parts = {name.removeprefix(ENCODER_PREFIX): tensors.pop(name) for name in names}
            encoder.load_state_dict(parts, assign=True)
        network.load_state_dict(tensors, assign=True)
        return cls(network, header=header, device=chosen, encoder=encoder)

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        return self._header

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return str(self._device)

    @torch.inference_mode()
    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1], sides fitting the network, to (n, out, h, w).

        ``z``: (n, latent_dim), for a generator that takes a code.
        """
        inputs = [torch.tensor(v, device=self._device) for v in (values, z) if v is not None]
        try:
            output: Values = self._network(*inputs).cpu().numpy()
        except RuntimeError as error:
            raise _explained(error, values) from error
        return output

    @torch.inference_mode()
    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise.

        Raises ``CheckpointError`` if the model has no encoder.
        """
        if self._encoder is None:
            raise CheckpointError("the model has no encoder, which a style needs. Use --samples")
        try:
            mean, _ = self._encoder(torch.tensor(values, device=self._device))
        except RuntimeError as error:
            raise _explained(error, values) from error
        codes: Codes = mean.cpu().numpy()
        return codes


def _explained(error: RuntimeError, values: Values) -> Exception:
    """Torch says by the text alone that the memory did not do; anything else is a bug."""
    if "out of memory" not in str(error) and "allocate memory" not in str(error):
        return error
    height, width = values.shape[-2:]
    return ImageError(f"{width} x {height} px do not fit into the memory. Shrink or cut it first")


def _build(header: ModelHeader) -> tuple[nn.Module, nn.Module | None]:
    """Build generator and encoder without memory for their weights."""
    with torch.device("meta"):
        network = build_generator(
            header.generator, in_channels=header.in_channels, out_channels=header.out_channels
        )
        if header.encoder is None:
            return network, None
        numbers = latent_dim(header.generator)
        return network, build_encoder(
            header.encoder, in_channels=header.out_channels, latent_dim=numbers
        )


def _check_range(header: ModelHeader, path: Path) -> None:
    if header.value_range != (-1.0, 1.0):
        raise CheckpointError(
            f"{path}: made for values in {list(header.value_range)}, not [-1, 1]. "
            "Use a model that `imgtranslate train` made"
        )


def _layout_of_network(network: nn.Module) -> Layout:
    return {
        name: (_DTYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def _layout_of_file(path: Path) -> Layout:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}


def _check_layout(path: Path, *, expected: Layout, found: Layout) -> None:
    if expected == found:
        return
    name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
    raise CheckpointError(
        f"{path}: its tensors do not fit its header: {name[:200]!r} is "
        f"{_describe(found.get(name))}, expected {_describe(expected.get(name))}. "
        "Use another copy of the file"
    )


def _describe(entry: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if entry is None else f"{entry[0]} {list(entry[1])}"


_DTYPES = {torch.float32: "F32", torch.int64: "I64"}  # safetensors' names
