"""Tables of the pages, computed from the real settings, networks and losses."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from docs.diagrams.networks import discriminator_of, generator_of
from docs.diagrams.tracing import (
    count_parameters,
    gradients,
    layer_sizes,
    networks_of,
    picture,
    receptive_fields,
    settings_of,
    small_method,
)
from docs.diagrams.words import NETWORKS
from imgtranslate.builders import build_discriminator, build_encoder
from imgtranslate.losses import GanMode, adversarial_loss, fake_loss, real_loss
from imgtranslate.settings.config import PatchGanConfig, latent_dim

_CELLS = {"learns": "learns", "passes": "passes through"}


def gradient_table(method: str) -> str:
    """Tabulate which networks the gradient of each term of a method reaches."""
    names = list(networks_of(small_method(method)))
    rows = [
        (f"`{term}`", *(_CELLS.get(reached.get(name, ""), "–") for name in names))
        for term, reached in gradients(small_method(method)).items()
    ]
    return _table(("term", *(NETWORKS[name][0] for name in names)), rows)


def networks_table() -> str:
    """Tabulate the default networks for pictures of 3 channels."""
    rows = [(name, f"{count_parameters(network):,}", use) for name, network, use in _networks()]
    return _table(("network", "parameters", "used by"), rows)


def patches_table() -> str:
    """Tabulate the patches of PatchGANs with 1 to 5 layers."""
    rows = []
    for layers in range(1, 6):
        config = PatchGanConfig(num_layers=layers)
        with torch.device("meta"):
            network = build_discriminator(config, in_channels=3)
        side = receptive_fields(network)[-1].side
        cells = layer_sizes(network, picture(3, 256))["head"].after[1]
        rows.append((str(layers), f"{side} px", f"{cells} × {cells}"))
    return _table(("`discriminator.num_layers`", "patch", "map of 256 px"), rows)


def draw_table() -> str:
    """Tabulate the losses of a draw, where the discriminator cannot tell real from fake."""
    draws: tuple[tuple[GanMode, float], ...] = (("lsgan", 0.5), ("vanilla", 0.0))
    rows = []
    for mode, answer in draws:
        x = torch.full((1, 1), answer)
        judged = 0.5 * (real_loss(x, gan_mode=mode) + fake_loss(x, gan_mode=mode))
        made = adversarial_loss(x, gan_mode=mode)
        rows.append((f"`{mode}`", f"{answer:g}", _short(made), _short(judged)))
    return _table(("GAN mode", "output of D", "generator's term", "discriminator's term"), rows)


def _networks() -> Iterator[tuple[str, nn.Module, str]]:
    pairs = settings_of("pix2pix").discriminator
    small = {"data": {"crop_size": 128}}
    settings = settings_of("bicyclegan")
    if settings.encoder is None:
        raise TypeError("bicyclegan: no encoder")
    with torch.device("meta"):
        of_pairs = build_discriminator(pairs, in_channels=6)
        encoder = build_encoder(
            settings.encoder, in_channels=3, latent_dim=latent_dim(settings.generator)
        )
    yield "ResNet generator, 9 blocks", generator_of("cyclegan"), "CycleGAN, twice"
    yield "ResNet generator, 6 blocks", generator_of("cyclegan", small), "CycleGAN up to 128 px"
    yield "PatchGAN, 70 px", discriminator_of("cyclegan"), "CycleGAN, twice"
    yield "UNet generator, depth 8", generator_of("pix2pix"), "pix2pix"
    yield "PatchGAN of pairs, 70 px", of_pairs, "pix2pix"
    yield "UNet generator with a code", generator_of("bicyclegan"), "BicycleGAN"
    yield "PatchGAN at 2 scales", discriminator_of("bicyclegan"), "BicycleGAN, twice"
    yield "Encoder, 4 blocks", encoder, "BicycleGAN"


def _short(value: Tensor) -> str:
    return f"{value.item():.3g}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
