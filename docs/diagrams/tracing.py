"""Facts that the diagrams and pages state, measured on the real networks and training steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.methods.bicyclegan import BicycleGan
from imgtranslate.methods.cyclegan import CycleGan
from imgtranslate.methods.learner import build_method
from imgtranslate.methods.pix2pix import Pix2Pix
from imgtranslate.methods.process_group import SINGLE_PROCESS
from imgtranslate.methods.step import Losses, MicroBatch, Networks, frozen
from imgtranslate.settings.config import Settings
from imgtranslate.settings.parsing import build_settings

Size = tuple[int, int, int]  # channels, height, width

SMALL = {  # a step on these takes a moment; its order and gradients are those of the defaults
    "data": {"a": "a", "b": "b", "crop_size": 32},
    "generator": {"base_channels": 4},
    "discriminator": {"base_channels": 4, "num_layers": 1},
}


def settings_of(method: str, layer: Mapping[str, object] | None = None) -> Settings:
    """Build the settings of a method, the defaults unless a layer changes them."""
    data = {"data": {"a": "a", "b": "b"}}
    return build_settings(method=method, layers=[data, layer or {}])


def count_parameters(network: nn.Module) -> int:
    """Count the weights and biases of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


# Shapes


@dataclass(frozen=True)
class Sizes:
    """The sizes of a layer's input and output, without the batch."""

    before: Size
    after: Size


def layer_sizes(network: nn.Module, *inputs: Tensor) -> dict[str, Sizes]:
    """Run a network that lies on the meta device; return the sizes at each layer by its name."""
    found: dict[str, Sizes] = {}

    def record(name: str) -> None:
        def hook(_: nn.Module, given: tuple[Tensor, ...], made: object) -> None:
            if isinstance(made, Tensor) and made.ndim == 4:
                found[name] = Sizes(_size(given[0]), _size(made))

        layers[name].register_forward_hook(hook)

    layers = dict(network.named_modules())
    for name in layers:
        record(name)
    network(*inputs)
    return found


def picture(channels: int, side: int) -> Tensor:
    """Return a picture without values."""
    return torch.empty(1, channels, side, side, device="meta")


def _size(tensor: Tensor) -> Size:
    channels, height, width = tensor.shape[1:]
    return channels, height, width


# Receptive field


@dataclass(frozen=True)
class Field:
    """A convolution, and the square of the input that one value of its output depends on."""

    name: str
    kernel: int  # px
    stride: int  # px
    side: int  # px of the input
    jump: int  # px of the input between two neighbours of the output
    start: int  # px: the left edge of the first value's square; negative in the padding


def receptive_fields(network: nn.Module) -> list[Field]:
    """Follow the field through the convolutions of a network that has no branches.

    A kernel of k reaches k - 1 neighbours further, each ``jump`` px away.
    """
    found, side, jump, start = [], 1, 1, 0
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
            side += (kernel - 1) * jump
            start -= int(padding) * jump
            jump *= stride
            found.append(Field(name, kernel, stride, side, jump, start))
    return found


# Training step


@dataclass(frozen=True)
class Update:
    """One update of a training step: what was run for it, and what learnt."""

    optimizer: str
    learns: tuple[str, ...]
    frozen: tuple[str, ...]  # run for this update, but not changed by it


def trace_step(method: CycleGan | Pix2Pix | BicycleGan) -> list[Update]:
    """Run one real training step; return its updates in their order."""
    networks = networks_of(method)
    run: dict[str, bool] = {}  # since the last update: did its weights want a gradient?
    updates: list[Update] = []

    def watch(name: str, network: nn.Module) -> None:
        def hook(_: nn.Module, __: object) -> None:
            wants = any(weight.requires_grad for weight in network.parameters())
            run[name] = run.get(name, False) or wants

        network.register_forward_pre_hook(hook)

    def update(name: str) -> None:
        learns = tuple(n for n, network in networks.items() if _has_gradient(network))
        held = tuple(n for n in networks if n in run and n not in learns and not run[n])
        updates.append(Update(name, learns, held))
        run.clear()

    optimizers: dict[str, torch.optim.Optimizer] = {}
    for name, network in networks.items():
        watch(name, network)
    for name, part in method.optimized().items():
        weights = [weight for network in part.values() for weight in network.parameters()]
        optimizers[name] = torch.optim.SGD(weights, lr=1e-4)
        optimizers[name].register_step_pre_hook(lambda *_, name=name: update(name))
    method.step([_batch()], optimizers, group=SINGLE_PROCESS)
    return updates


def terms_of(method: CycleGan | Pix2Pix | BicycleGan) -> tuple[Losses, Losses]:
    """Return the generators' and the discriminators' terms of one batch."""
    batch = _batch()
    discriminators = method.discriminators().values()
    match method:
        case Pix2Pix():
            fake_b = method.translate(batch)
            with frozen(*discriminators):
                losses = method.generator_losses(batch, fake_b)
            return losses, method.discriminator_losses(batch, fake_b.detach())
        case CycleGan():
            with frozen(*discriminators):
                losses, fakes = method.generator_losses(batch)
            return losses, method.discriminator_losses(batch, fakes)
        case BicycleGan():
            with frozen(*discriminators):
                losses, by_path = method.generator_losses(batch)
            return losses, method.discriminator_losses(batch, by_path)


def gradients(method: CycleGan | Pix2Pix | BicycleGan) -> dict[str, dict[str, str]]:
    """Return for each term, by network: ``learns``, ``passes`` (frozen) or nothing.

    Differentiates each term by itself, by the weights of each network and by what it made.
    """
    networks = networks_of(method)
    made: dict[str, list[Tensor]] = {name: [] for name in networks}
    for name, network in networks.items():
        network.register_forward_hook(lambda *call, name=name: made[name].extend(_flat(call[-1])))
    found: dict[str, dict[str, str]] = {}
    for terms in terms_of(method):
        for term, loss in terms.items():
            found[term] = {}
            for name, network in networks.items():
                if _reaches(loss, list(network.parameters())):
                    found[term][name] = "learns"
                elif _reaches(loss, made[name]):
                    found[term][name] = "passes"
    return found


def small_method(method: str) -> CycleGan | Pix2Pix | BicycleGan:
    """Build a method with its default losses on small networks, with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = build_method(settings_of(method, SMALL))
    if not isinstance(built, CycleGan | Pix2Pix | BicycleGan):
        raise TypeError(f"{method}: no single method")
    return built


def networks_of(method: CycleGan | Pix2Pix | BicycleGan) -> Networks:
    """Return all networks of a method by name."""
    return {name: network for part in method.optimized().values() for name, network in part.items()}


def _batch() -> MicroBatch:
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.uniform(-1, 1, (2, 3, 32, 32))).float() for _ in range(2))
    return MicroBatch(real_a=a, real_b=b, rng=rng)


def _has_gradient(network: nn.Module) -> bool:
    return any(weight.grad is not None for weight in network.parameters())


def _flat(made: Tensor | list[Tensor] | tuple[Tensor, ...]) -> Iterator[Tensor]:
    yield from [made] if isinstance(made, Tensor) else made


def _reaches(loss: Tensor, tensors: list[Tensor]) -> bool:
    """Check that the gradient of ``loss`` by some of ``tensors`` is not 0 everywhere."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    if not wanted:
        return False
    slopes = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
    return any(slope is not None and bool(slope.any()) for slope in slopes)
