"""Diagrams of the networks, with sizes from networks that really ran."""

from collections.abc import Mapping

import torch
from torch import nn

from docs.diagrams.canvas import Canvas, Role
from docs.diagrams.tracing import (
    Size,
    count_parameters,
    layer_sizes,
    picture,
    receptive_fields,
    settings_of,
)
from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.networks import ResnetGenerator, UnetGenerator
from imgtranslate.networks.layers import build_norm

WIDTH = 880
_TIMES = " × "


def generator_of(
    method: str, layer: Mapping[str, object] | None = None
) -> ResnetGenerator | UnetGenerator:
    """Build a method's generator without memory for its weights, the default without ``layer``."""
    with torch.device("meta"):
        return build_generator(settings_of(method, layer).generator, in_channels=3, out_channels=3)


def discriminator_of(method: str) -> nn.Module:
    """Build a method's default discriminator of one picture of 3 channels."""
    with torch.device("meta"):
        return build_discriminator(settings_of(method).discriminator, in_channels=3)


# ResNet


def draw_resnet() -> Canvas:
    """Draw CycleGAN's generator."""
    network, crop = generator_of("cyclegan"), settings_of("cyclegan").data.crop_size
    if not isinstance(network, ResnetGenerator):
        raise TypeError(type(network).__name__)
    sizes, layers = layer_sizes(network, picture(3, crop)), dict(network.named_modules())
    count = len(network.blocks)
    canvas = Canvas(
        WIDTH,
        516,
        title=f"The ResNet generator with {count} blocks",
        description=f"A 7x7 convolution, two that halve the sides, {count} residual blocks at a "
        "quarter of the sides, two layers that double the sides, a 7x7 convolution and tanh.",
    )
    canvas.card(16, 16, WIDTH - 32, 332)
    canvas.text(32, 44, f"ResNet generator, {count} blocks", size=16, bold=True)
    canvas.text(848, 44, _parameters(network), size=14, anchor="end", role="caption")
    stages = (
        ("input", "", sizes["stem"].before),
        (_conv(network.stem.conv), "norm, ReLU", sizes["stem"].after),
        (_conv(layers["down.0.conv"]), "stride 2", sizes["down.0"].after),
        (_conv(layers["down.1.conv"]), "stride 2", sizes["down.1"].after),
        (f"{count} blocks", "see below", sizes[f"blocks.{count - 1}"].after),
        (_conv(layers["up.0.upsample"]), "doubles", sizes["up.0"].after),
        (_conv(layers["up.1.upsample"]), "doubles", sizes["up.1"].after),
        (_conv(network.head), "tanh", sizes["head"].after),
    )
    step = (WIDTH - 56) / (len(stages) + 1)
    x = 28.0
    for index, (name, detail, (channels, side, _)) in enumerate(stages):
        repeat = count if name == f"{count} blocks" else 1
        room = 2 * step if repeat > 1 else step
        middle = x + room / 2
        _stack(canvas, middle, 152, channels, side, repeat)
        canvas.text(middle, 272, name, size=13, bold=True, anchor="middle")
        said = [line for line in (f"{channels} channels", f"{side} × {side} px", detail) if line]
        canvas.lines(middle, 291, said, size=12, anchor="middle")
        x += room
        if index < len(stages) - 1:
            canvas.line((x - 8, 152), (x + 8, 152), role="generator")
    _draw_block(canvas, 364)
    return canvas


def _stack(canvas: Canvas, middle: float, y: float, channels: int, side: int, repeat: int) -> None:
    """Draw features: as tall as their sides, as wide as their channels, not to scale."""
    height, width = 10.5 * side**0.5, 4 + 2.2 * channels**0.5
    if repeat > 1:
        width = 12.0
    left = middle - (repeat * (width + 4) - 4) / 2
    role: Role = "plain" if channels == 3 else "generator"
    for index in range(repeat):
        x = left + index * (width + 4)
        canvas.box(x, y - height / 2, width, height, role=role, radius=3)


def _draw_block(canvas: Canvas, y: float) -> None:
    canvas.card(16, y, WIDTH - 32, 136)
    canvas.text(32, y + 28, "One residual block", size=16, bold=True)
    row = y + 94
    canvas.text(52, row + 5, "x", size=16, mono=True, anchor="middle")
    parts = ("Conv 3×3", "norm", "ReLU", "Conv 3×3", "norm")
    x = 104.0
    canvas.line((68, row), (x - 4, row), role="generator")
    for part in parts:
        canvas.box(x, row - 20, 104, 40, [part], role="generator", size=14)
        canvas.line((x + 108, row), (x + 128, row), role="generator")
        x += 132
    canvas.dot(x + 12, row, 14, role="generator", hollow=True)
    canvas.text(x + 12, row + 6, "+", size=18, anchor="middle", bold=True)
    canvas.line((x + 30, row), (x + 66, row), role="generator")
    canvas.line((84, row), (84, row - 42), (x + 12, row - 42), (x + 12, row - 18), role="generator")
    said = "The picture passes unchanged; the block adds its change."
    canvas.text(448, row - 50, said, size=13, anchor="middle", role="caption")


def _conv(layer: nn.Module) -> str:
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        raise TypeError(type(layer).__name__)
    name = "Conv" if isinstance(layer, nn.Conv2d) else "ConvT"
    return f"{name} {layer.kernel_size[0]}×{layer.kernel_size[1]}"


def _parameters(network: nn.Module) -> str:
    return f"{count_parameters(network):,} parameters"


# UNet


def draw_unet() -> Canvas:
    """Draw pix2pix's generator."""
    network, crop = generator_of("pix2pix"), settings_of("pix2pix").data.crop_size
    if not isinstance(network, UnetGenerator):
        raise TypeError(type(network).__name__)
    sizes, depth = layer_sizes(network, picture(3, crop)), len(network.down)
    canvas = Canvas(
        WIDTH,
        144 + 44 * (depth + 1),
        title=f"The UNet generator of depth {depth}",
        description=f"{depth} convolutions halve the sides down to one pixel, {depth} layers "
        "double them again. Each layer on the way up also receives the features of the same size "
        "on the way down.",
    )
    canvas.card(16, 16, WIDTH - 32, canvas.height - 32)
    canvas.text(32, 44, f"UNet generator, depth {depth}", size=16, bold=True)
    canvas.text(848, 44, _parameters(network), size=14, anchor="end", role="caption")
    down = [sizes["down.0"].before, *(sizes[f"down.{level}"].after for level in range(depth))]
    joined = [sizes[f"up.{index}"].before for index in range(1, depth - 1)]
    up = [sizes["head"].after, sizes["head"].before, *reversed(joined)]
    for level, size in enumerate(down[:-1]):
        y, x = 66 + 44 * level, 32 + 24 * level
        _features(canvas, x, y, size)
        if level > 0:
            canvas.line((x + 46, y - 13), (x + 46, y - 2), role="generator")
    for level, size in enumerate(up):
        y, x = 66 + 44 * level, WIDTH - 172 - 24 * level
        _features(canvas, x, y, size)
        if level < len(up) - 1:
            canvas.line((x + 94, y + 43), (x + 94, y + 32), role="generator")
        if level > 0:
            left = 32 + 24 * level + 144
            canvas.line((left, y + 15), (x - 4, y + 15), role="loss", dashed=True)
            skip = f"skip: {down[level][0]} of the {size[0]} channels"
            canvas.text((left + x) / 2, y + 9, skip, size=12, anchor="middle", role="caption")
    bottom = 66 + 44 * depth
    inner = 32 + 24 * (depth - 1)
    _features(canvas, WIDTH / 2 - 70, bottom, down[-1])
    left, right, row = inner + 70, WIDTH - inner - 70, bottom + 15
    canvas.line((left, bottom - 12), (left, row), (WIDTH / 2 - 74, row), role="generator")
    canvas.line((WIDTH / 2 + 74, row), (right, row), (right, bottom - 11), role="generator")
    foot = canvas.height - 34
    canvas.text(32, foot - 24, "Sizes: channels × height × width", size=13, role="caption")
    canvas.text(32, foot, "Down: LeakyReLU, Conv 4×4, stride 2, norm", size=13, role="caption")
    said = "Up: ReLU, ConvT 4×4, stride 2, norm, join the skip"
    canvas.text(848, foot, said, size=13, anchor="end", role="caption")
    return canvas


def _features(canvas: Canvas, x: float, y: float, size: Size) -> None:
    role: Role = "plain" if size[0] == 3 else "generator"
    canvas.box(x, y, 140, 30, [_TIMES.join(map(str, size))], role=role, size=13)


# PatchGAN


def draw_patchgan() -> Canvas:
    """Draw the discriminator and how its receptive field grows."""
    network, crop = discriminator_of("cyclegan"), settings_of("cyclegan").data.crop_size
    fields, sizes = receptive_fields(network), layer_sizes(network, picture(3, crop))
    last, cells = fields[-1], sizes["head"].after[1]
    canvas = Canvas(
        WIDTH,
        436,
        title=f"PatchGAN: each answer judges {last.side} by {last.side} px",
        description=f"The discriminator turns a picture of {crop} px into a map of {cells} by "
        f"{cells} answers. Its convolutions see squares of "
        f"{', '.join(str(field.side) for field in fields)} px, one layer after the other.",
    )
    canvas.card(16, 16, 404, 404)
    canvas.text(32, 44, f"{cells} × {cells} answers for one picture", size=16, bold=True)
    scale, left, top = 200 / crop, 36.0, 92.0
    canvas.box(left, top, 200, 200, role="plain", radius=2)
    cell = cells // 2
    start = (last.start + cell * last.jump) * scale
    side = last.side * scale
    canvas.box(left + start, top + start, side, side, role="discriminator", radius=1)
    canvas.text(
        left + 100, top - 12, f"input, {crop} × {crop} px", size=13, anchor="middle", role="caption"
    )
    unit, right, above = 120 / cells, 280.0, 132.0
    canvas.box(right, above, 120, 120, role="plain", radius=2)
    canvas.bar(right + cell * unit, above + cell * unit, unit, unit, role="discriminator")
    canvas.text(
        right + 60, above - 12, f"map, {cells} × {cells}", size=13, anchor="middle", role="caption"
    )
    for edge in (0, 1):
        canvas.line(
            (left + start + side, top + start + edge * side),
            (right + cell * unit, above + (cell + edge) * unit),
            role="discriminator",
            arrow=False,
            width=1,
        )
    canvas.lines(
        36,
        324,
        [
            f"One number of the map sees {last.side} × {last.side} px.",
            f"Its neighbour sees a square {last.jump} px further, so the squares",
            "overlap. The loss is the mean over the map.",
            _parameters(network),
        ],
    )
    canvas.card(436, 16, 428, 404)
    canvas.text(452, 44, "How one number comes to see so much", size=16, bold=True)
    columns = ((452, "layer"), (544, "stride"), (604, "output"), (740, "sees"))
    for x, label in columns:
        canvas.text(x, 76, label, size=13, role="caption")
    y, jump, seen = 100.0, 1, 1
    for field in fields:
        size = sizes[field.name].after
        canvas.text(452, y + 5, f"Conv {field.kernel}×{field.kernel}", size=14)
        canvas.text(552, y + 5, str(field.stride), size=14)
        canvas.text(604, y + 5, _TIMES.join(map(str, size)), size=14)
        canvas.text(740, y + 5, f"{field.side} px", size=14, bold=True, role="discriminator")
        canvas.bar(740, y + 12, 1.5 * field.side, 5, role="discriminator")
        sum_ = f"{seen} + {field.kernel - 1} × {jump} = {field.side}"
        canvas.text(452, y + 25, sum_, size=12, mono=True, role="caption")
        jump, seen, y = field.jump, field.side, y + 52
    canvas.lines(
        452,
        y + 16,
        [
            "A kernel of k reaches k − 1 neighbours further. Each",
            "stride of 2 doubles the distance between neighbours.",
        ],
    )
    return canvas


# Norms


def draw_norms() -> Canvas:
    """Draw which values share a mean and a deviation, found by changing one value."""
    canvas = Canvas(
        WIDTH,
        306,
        title="Which values share one mean and one deviation",
        description="Batch norm: one channel of all pictures. Layer norm: all channels of one "
        "picture. Group norm: some channels of one picture. Instance norm: one channel of one "
        "picture.",
    )
    default = settings_of("cyclegan").generator.norm
    kinds: tuple[tuple[str, str, nn.Module, str, str], ...] = (
        ("batch", "Batch norm", build_norm("batch", 4), "one channel", "of all pictures"),
        ("layer", "Layer norm", nn.GroupNorm(1, 4), "all channels", "of one picture"),
        ("group", "Group norm", nn.GroupNorm(2, 4), "some channels", "of one picture"),
        ("instance", "Instance norm", build_norm("instance", 4), "one channel", "of one picture"),
    )
    for index, (kind, name, norm, *said) in enumerate(kinds):
        x = 16 + index * 216
        canvas.card(x, 16, 200, 274)
        canvas.text(x + 100, 44, name, size=16, bold=True, anchor="middle")
        canvas.text(x + 128, 70, "channels", size=12, anchor="middle", role="caption")
        for row, shared in enumerate(shared_statistics(norm)):
            y = 80 + row * 40
            canvas.text(x + 62, y + 22, f"picture {row + 1}", size=12, anchor="end", role="caption")
            for column, same in enumerate(shared):
                left = x + 70 + column * 30
                if same:
                    canvas.bar(left, y, 26, 34, role="loss")
                else:
                    canvas.box(left, y, 26, 34, role="pale", radius=1)
        canvas.lines(x + 100, 226, said, size=14, anchor="middle")
        if kind == default:
            canvas.text(
                x + 100, 274, "default here", size=13, bold=True, anchor="middle", role="loss"
            )
    return canvas


def shared_statistics(norm: nn.Module) -> list[list[bool]]:
    """Return for 3 pictures of 4 channels which change with one value of picture 1, channel 1."""
    x = torch.linspace(-1, 1, 3 * 4 * 5 * 5).sin().view(3, 4, 5, 5)
    changed = x.clone()
    changed[1, 1, 2, 2] += 1
    difference = (norm(changed) - norm(x)).abs().amax(dim=(2, 3))
    return [[bool(value > 1e-6) for value in row] for row in difference]
