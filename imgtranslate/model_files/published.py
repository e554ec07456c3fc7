"""Published generators and encoders, recognised by the names and shapes of their tensors.

The reference repositories of CycleGAN and pix2pix, CUT and BicycleGAN save bare state dicts. Their
layers are in the order in which they run, and so are those here. Once the architecture is known,
the n-th published layer becomes the n-th layer here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.errors import CheckpointError, counted
from imgtranslate.settings.config import (
    GeneratorConfig,
    Norm,
    Padding,
    ResidualEncoderConfig,
    ResnetConfig,
    UnetConfig,
)
from imgtranslate.settings.config import latent_dim as latent_dim_of

Tensors = dict[str, Tensor]

_OUTER = 6  # convolutions of a ResNet outside of its blocks
_UNUSED = {"num_batches_tracked"}
_GIVE = "Give the latest_net_G….pth, or net_E, of a reference repository"


@dataclass(frozen=True, kw_only=True)
class PublishedGenerator:
    """A recognised generator, with its config and its renamed tensors."""

    config: GeneratorConfig
    in_channels: int
    out_channels: int
    method: str
    tensors: Tensors


@dataclass(frozen=True, kw_only=True)
class PublishedEncoder:
    """A recognised encoder of BicycleGAN."""

    config: ResidualEncoderConfig
    in_channels: int
    latent_dim: int
    tensors: Tensors


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The tensors of one convolution, linear layer or norm."""

    name: str
    tensors: Mapping[str, Tensor]  # weight, bias, running_mean, …

    @property
    def weight(self) -> Tensor:
        """The tensor of the weight."""
        return self.tensors["weight"]

    @property
    def is_norm(self) -> bool:
        """True for batch norm, whose weight is a vector."""
        return self.weight.dim() == 1


def recognise_generator(
    state: Mapping[str, Tensor], *, latent_dim: int | None = None, padding: Padding | None = None
) -> PublishedGenerator:
    """Find the architecture of a generator. Raises ``CheckpointError`` if it is not supported.

    ``latent_dim``: the length of the code z in the input of a UNet; by default 8 if the first layer
    has 11 inputs, else 0. ``padding`` of a ResNet: by default that of the published ones.
    """
    layers = list_layers(state)
    if not layers or not all("weight" in layer.tensors for layer in layers):
        raise CheckpointError("contains no weights of a generator. Give a latest_net_G….pth")
    convolutions = [layer.weight for layer in layers if not layer.is_norm]
    is_resnet = convolutions[0].shape[-1] == 7
    if layers[0].name == "model.0" and not is_resnet:
        raise CheckpointError(
            "a discriminator, which does not translate. Give the net_G of the same training"
        )
    config: GeneratorConfig
    if is_resnet:
        antialias = any(name.endswith("filt") for name in state)
        config = _resnet(layers, antialias=antialias, padding=padding)
        method = "cut" if config.antialias else "cyclegan"
        out_channels = convolutions[-1].shape[0]
    else:
        if padding is not None:
            raise CheckpointError("a UNet, which always pads with zeros. Leave `padding` out")
        config = _unet(layers, latent_dim=latent_dim)
        method = "bicyclegan" if config.skip_order == "up_first" else "pix2pix"
        out_channels = convolutions[-1].shape[1]  # transposed
    in_channels = convolutions[0].shape[1] - latent_dim_of(config)
    if in_channels < 1:
        raise CheckpointError(
            f"its first layer takes {counted(convolutions[0].shape[1], 'channel')}, not more than "
            "the latent code. Give `latent_dim`"
        )
    with torch.device("meta"):  # shapes of a foreign file are checked before memory is allocated
        network = build_generator(config, in_channels=in_channels, out_channels=out_channels)
    return PublishedGenerator(
        config=config,
        in_channels=in_channels,
        out_channels=out_channels,
        method=method,
        tensors=_renamed(layers, network),
    )


def recognise_encoder(state: Mapping[str, Tensor]) -> PublishedEncoder:
    """Find the architecture of a residual encoder of BicycleGAN. Raises ``CheckpointError``."""
    layers = list_layers(state)
    heads = [layer for layer in layers if layer.name.startswith("fc")]
    if len(heads) != 2 or not layers[0].name.startswith("conv"):
        raise CheckpointError(
            "not the residual encoder of BicycleGAN with its two heads. Give a latest_net_E.pth"
        )
    first = layers[0].weight
    shortcuts = [layer for layer in layers if ".shortcut." in layer.name]
    config = ResidualEncoderConfig(
        base_channels=first.shape[0], num_blocks=len(shortcuts), norm=_norm(layers)
    )
    latent_dim = heads[0].weight.shape[0]
    in_channels = first.shape[1]
    with torch.device("meta"):
        network = build_encoder(config, in_channels=in_channels, latent_dim=latent_dim)
    return PublishedEncoder(
        config=config,
        in_channels=in_channels,
        latent_dim=latent_dim,
        tensors=_renamed(layers, network),
    )


def with_picture_statistics(published: PublishedGenerator) -> PublishedGenerator:
    """Keep the learnt scale and shift of batch norm, but use the statistics of each picture.

    The test script of the reference does this, because it translates in training mode. Raises
    ``CheckpointError`` if there is no batch norm.
    """
    if published.config.norm != "batch":
        raise CheckpointError(
            "has no batch norm, so there are no statistics to choose. Leave `norm_statistics` out"
        )
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    tensors = {
        name: tensor for name, tensor in published.tensors.items() if not name.endswith(statistics)
    }
    config = replace(published.config, norm="instance_affine")
    return replace(published, config=config, tensors=tensors)


def list_layers(state: Mapping[str, Tensor]) -> list[Layer]:
    """Group tensors by layer, in the order in which the layers run.

    Removes ``module.`` prefixes, and tensors that are not weights: blur filters, and the statistics
    that old versions of torch saved for instance norm.
    """
    grouped: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        layer, _, part = name.removeprefix("module.").rpartition(".")
        if part != "filt":
            grouped.setdefault(layer, {})[part] = tensor
    names = sorted((name for name, parts in grouped.items() if "weight" in parts), key=_place)
    return [Layer(name=name, tensors=grouped[name]) for name in names]


def _place(name: str) -> list[int]:
    """Return the sort key of a layer: the numbers in its name, and words in running order."""
    words = ("model", "down", "submodule", "up", "conv_block", "conv", "shortcut", "fc", "fcVar")
    places = {word: place for place, word in enumerate(words)}
    return [int(p) if p.isdecimal() else places.get(p, len(places)) for p in name.split(".")]


def _resnet(layers: list[Layer], *, antialias: bool, padding: Padding | None) -> ResnetConfig:
    """Read the numbers of blocks and channels from the shapes, the rest from the places of layers.

    A place counts the layers of an ``nn.Sequential``: in the published networks, a layer that pads
    stands before the first convolution, and before each one in a block.
    """
    names = [layer.name for layer in layers if not layer.is_norm]
    blocks, odd = divmod(len(names) - _OUTER, 2)
    if blocks < 0 or odd:
        raise CheckpointError(f"a ResNet would not have {len(names)} convolutions. {_GIVE}")
    first, second, inner, next_inner = (_number(names[index]) for index in (0, 1, 3, 4))
    padded = first == 1
    if blocks and (inner == 1) != padded:
        raise CheckpointError(
            f"its blocks and its ends are padded in different ways, which is not supported. {_GIVE}"
        )
    if not padded and padding is None:
        raise CheckpointError(
            "its padding cannot be told from the weights. Give `padding` zero or reflect, "
            "provided that its last layer is tanh"
        )
    return ResnetConfig(
        base_channels=layers[0].weight.shape[0],
        num_blocks=blocks,
        # Between the first convolutions: norm, ReLU. In a block: norm, ReLU, dropout, padding.
        norm="none" if second - first == 2 else _norm(layers),
        dropout=blocks > 0 and next_inner - inner == (5 if padded else 4),
        antialias=antialias,
        padding=padding or "reflect",
    )


def _number(name: str) -> int:
    """Return the place of a layer in its sequence; 0 if its name has none."""
    last = name.rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def _unet(layers: list[Layer], *, latent_dim: int | None) -> UnetConfig:
    convolutions = [layer for layer in layers if not layer.is_norm]
    if len(convolutions) % 2 or convolutions[0].weight.shape[-1] != 4:
        raise CheckpointError(
            "neither the ResNet nor the UNet of the reference repositories: its first layer is "
            f"{list(convolutions[0].weight.shape)}. {_GIVE}"
        )
    depth, first = len(convolutions) // 2, convolutions[0].weight
    width = first.shape[0]
    appended = convolutions[1].weight.shape[1] - width  # z of `all`, at every layer
    in_input = (8 if first.shape[1] == 3 + 8 else 0) if latent_dim is None else latent_dim
    numbers = appended or in_input
    always_biased = "bias" in convolutions[1].tensors and any(layer.is_norm for layer in layers)
    bicyclegan = numbers > 0 or always_biased
    return UnetConfig(
        base_channels=width,
        depth=depth,
        norm=_norm(layers),
        skip_order="up_first" if bicyclegan else "skip_first",
        conv_bias="always" if bicyclegan else "by_norm",
        latent_dim=numbers,
        z_at="all" if appended else "input" if numbers else "none",
    )


def _norm(layers: list[Layer]) -> Norm:
    """Find the norm: batch norm has weights; convolutions before instance norm have a bias."""
    if any(layer.is_norm for layer in layers):
        return "batch"
    return "instance" if "bias" in layers[1].tensors else "none"


def _renamed(layers: list[Layer], network: nn.Module) -> Tensors:
    """Rename the n-th layer to the n-th layer of ``network``; their shapes must be equal."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)
    own = [(name, each) for name, each in network.named_modules() if isinstance(each, kinds)]
    if len(own) != len(layers):
        raise CheckpointError(
            f"looks like a {type(network).__name__}, which has {len(own)} layers with weights, "
            f"but contains {len(layers)}. {_GIVE}"
        )
    tensors: Tensors = {}
    for layer, (name, module) in zip(layers, own, strict=True):  # in the order in which they run
        unknown = layer.tensors.keys() - module.state_dict().keys() - _UNUSED
        if unknown:
            raise CheckpointError(
                f"looks like a {type(network).__name__}, but {layer.name[:100]} has a "
                f"{min(unknown)[:100]}. {_GIVE}"
            )
        for part, expected in module.state_dict().items():
            found = layer.tensors.get(part)
            if found is None and part == "num_batches_tracked":
                found = torch.tensor(0)  # absent before torch 0.4.1
            if found is None or not _fits(found, expected):
                shape = "absent" if found is None else f"{found.dtype} {list(found.shape)}"
                raise CheckpointError(
                    f"looks like a {type(network).__name__}, but {layer.name[:100]}.{part} is "
                    f"{shape}, not {list(expected.shape)}. {_GIVE}"
                )
            tensors[f"{name}.{part}"] = found.to(expected.dtype).contiguous()
    return tensors


def _fits(found: Tensor, expected: Tensor) -> bool:
    """Return whether a tensor has plain numbers of the expected kind and shape in the file."""
    plain = found.layout == torch.strided and not found.is_quantized and found.device.type == "cpu"
    plain = plain and found.numel() * found.element_size() <= found.untyped_storage().nbytes()
    alike = found.is_floating_point() == expected.is_floating_point()
    return plain and alike and found.shape == expected.shape
