"""The torch engine. For translation, only this module and `strips` import torch."""

import os
from pathlib import Path
from typing import final

import torch
from torch import nn

from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.device import choose_device
from imgtranslate.engines.engine import Parts, ReadPixels, explained_shortage
from imgtranslate.engines.strips.generators import run_generator
from imgtranslate.engines.strips.layer_runner import LayerRunner
from imgtranslate.engines.strips.maps import picture
from imgtranslate.engines.strips.scratch import Scratch
from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.images import Codes, Values
from imgtranslate.memory import available_memory
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    Layout,
    ModelHeader,
)
from imgtranslate.model_files.weights import read_runnable_header, read_weights
from imgtranslate.networks import ResnetGenerator, UnetGenerator
from imgtranslate.settings.config import latent_dim


@final
class TorchEngine:
    """A generator in evaluation mode, with its encoder if it has one."""

    runtime = "torch"

    def __init__(
        self,
        network: ResnetGenerator | UnetGenerator,
        *,
        header: ModelHeader,
        device: torch.device,
        encoder: nn.Module | None = None,
        half: bool = False,
    ) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        if half:
            self._network.to(
                memory_format=torch.channels_last
            )  # memory layout for which 16-bit units are fastest
        self._encoder = encoder and encoder.to(device).eval().requires_grad_(False)
        self.header = header
        self.device = str(device)
        self._device = device
        self._half = half

    @property
    def generator(self) -> ResnetGenerator | UnetGenerator:
        """The generator, for images of accepted sizes."""
        return self._network

    @property
    def encoder(self) -> nn.Module | None:
        """The encoder, for images of accepted sizes."""
        return self._encoder

    @classmethod
    def load(cls, path: Path, *, device: str = "auto", half: bool = False) -> "TorchEngine":
        """Load a model file. ``half``: whole pictures use float16 convolutions.

        Memory is allocated only after the name, shape and dtype of every tensor have been compared
        with the header. Raises ``CheckpointError``, or ``UsageError`` for the device.
        """
        header = read_runnable_header(path)
        chosen = choose_device(device)
        if half and chosen.type == "cpu":
            raise UsageError("`precision` fp16: is slow on a CPU. Use a GPU, or leave it out")
        network, encoder = _build(header)
        expected = _layout_of_network(network)
        if encoder is not None:
            expected |= {f"{ENCODER_PREFIX}{n}": e for n, e in _layout_of_network(encoder).items()}
        weights = read_weights(path, expected=expected)
        tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
        if encoder is not None:
            names = [name for name in tensors if name.startswith(ENCODER_PREFIX)]
            parts = {name.removeprefix(ENCODER_PREFIX): tensors.pop(name) for name in names}
            encoder.load_state_dict(parts, assign=True)
        network.load_state_dict(tensors, assign=True)
        return cls(network, header=header, device=chosen, encoder=encoder, half=half)

    @torch.inference_mode()
    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] with sides that fit the network to (n, out, h, w).

        ``z``: (n, latent_dim), if the generator takes a code.
        """
        _leave_threads_of_parent()
        inputs = [torch.tensor(v, device=self._device) for v in (values, z) if v is not None]
        half = torch.autocast(self._device.type, torch.float16, enabled=self._half)
        with half, explained_shortage(values.shape[-2:]):
            output: Values = self._network(*inputs).cpu().numpy()
        return output

    @torch.inference_mode()
    def run_strips(
        self,
        read: ReadPixels,
        z: Codes | None = None,
        *,
        size: tuple[int, int],
        strip_bytes: int,
        kept_bytes: int,
    ) -> Parts:
        """Yield the first row of each strip, and the strip (out, n, width).

        Together the strips equal ``run`` on the whole picture. ``size``: height and width of the
        padded picture. ``z``: (1, latent_dim). A strip of the largest map takes about
        ``strip_bytes``. Maps between stages take up to ``kept_bytes`` of memory, then the disk.
        Raises ``ImageError`` if the disk is full.
        """
        _leave_threads_of_parent()
        heaviest = self.header.generator.base_channels * size[0] * size[1] // 2
        scratch = Scratch(memory=kept_bytes, device=self._device)
        runner = LayerRunner(scratch, strip_bytes=strip_bytes, heaviest=heaviest)
        channels = self.header.in_channels
        with explained_shortage(size):
            image = picture(read, channels=channels, size=size, device=self._device)
            code = None if z is None else torch.tensor(z, device=self._device)
            output = run_generator(self._network, image, code, runner=runner)
            for start, rows in runner.strips(output):
                yield start, rows[0].cpu().numpy()

    def free_memory(self) -> int:
        """Return the free bytes on the device."""
        if self._device.type != "cuda":
            return available_memory()
        reserved = torch.cuda.memory_reserved(self._device)
        unused = reserved - torch.cuda.memory_allocated(self._device)
        return torch.cuda.mem_get_info(self._device)[0] + unused

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return self.encode_distribution(values)[0]

    @torch.inference_mode()
    def encode_distribution(self, values: Values) -> tuple[Codes, Codes]:
        """Read mean and log variance of the codes, (n, latent_dim) each.

        Raises ``CheckpointError`` if the model has no encoder.
        """
        if self._encoder is None:
            raise CheckpointError("style: the model has no encoder to read a style. Use a seed")
        _leave_threads_of_parent()
        with explained_shortage(values.shape[-2:]):
            mean, log_variance = self._encoder(torch.tensor(values, device=self._device))
        return mean.cpu().numpy(), log_variance.cpu().numpy()


def _leave_threads_of_parent() -> None:
    """Use one thread in a forked process: those of OpenMP are lost, and torch would wait."""
    if os.getpid() != _PROCESS:
        torch.set_num_threads(1)


def _build(
    header: ModelHeader,
) -> tuple[ResnetGenerator | UnetGenerator, nn.Module | None]:
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


def _layout_of_network(network: nn.Module) -> Layout:
    return {
        name: (_DTYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


_PROCESS = os.getpid()  # that loaded torch
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}  # safetensors' names
