"""Weights as the reference repositories save them: modules written here from their description."""

import os
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import imgtranslate
from imgtranslate import cli
from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.model_files.checkpoint import ENCODER_PREFIX, read_model_header
from imgtranslate.model_files.import_weights import import_weights
from imgtranslate.settings.config import ResnetConfig, UnetConfig

Norm = Any


def instance(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def counting(channels: int) -> nn.Module:
    """As of torch 0.3: instance norm that keeps statistics which nobody uses."""
    return nn.InstanceNorm2d(channels, track_running_stats=True)


class Blur(nn.Module):
    def __init__(self, channels: int, *, up: bool) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        filt = row[:, None] * row / row.sum() ** 2 * (4 if up else 1)
        self.up = up
        self.register_buffer("filt", filt[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(F.pad(x, (1,) * 4, "reflect"), self.filt, stride=2, groups=x.shape[1])
        x = F.pad(x, (1,) * 4, "replicate")
        return F.conv_transpose2d(x, self.filt, stride=2, padding=2, groups=x.shape[1])[
            :, :, 1:-1, 1:-1
        ]


class Block(nn.Module):
    def __init__(self, c: int, norm: Norm, *, bias: bool, dropout: bool) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm(c)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm(c)]
        self.conv_block = nn.Sequential(
            *half, nn.ReLU(), *([nn.Dropout(0.5)] if dropout else []), *other
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Resnet(nn.Module):
    def __init__(
        self, norm: Norm, *, blocks: int, bias: bool, dropout: bool = False, blur: bool = False
    ) -> None:
        super().__init__()
        c = 4
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, c, 7, bias=bias), norm(c), nn.ReLU()]
        for w in (c, 2 * c):
            layers += [nn.Conv2d(w, 2 * w, 3, stride=1 if blur else 2, padding=1, bias=bias)]
            layers += [norm(2 * w), nn.ReLU(), *([Blur(2 * w, up=False)] if blur else [])]
        layers += [Block(4 * c, norm, bias=bias, dropout=dropout) for _ in range(blocks)]
        for w in (4 * c, 2 * c):
            if blur:
                layers += [Blur(w, up=True), nn.Conv2d(w, w // 2, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(w, w // 2, 3, 2, 1, 1, bias=bias)]
            layers += [norm(w // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(c, 2, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Minimal(nn.Module):
    """A tutorial's: layers that pad themselves, and blocks with names of their own."""

    def __init__(self, *, padding: str, blocks: int = 0) -> None:
        super().__init__()
        c, ends = 4, {"padding": 3, "padding_mode": "reflect" if padding == "reflect" else "zeros"}
        layers = [nn.Conv2d(3, c, 7, **ends), instance(c), nn.ReLU()]
        for w in (c, 2 * c):
            layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), instance(2 * w), nn.ReLU()]
        layers += [MinimalBlock(4 * c, ends["padding_mode"]) for _ in range(blocks)]
        for w in (4 * c, 2 * c):
            layers += [nn.ConvTranspose2d(w, w // 2, 3, 2, 1, 1), instance(w // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Conv2d(c, 2, 7, **ends), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class MinimalBlock(nn.Module):
    def __init__(self, c: int, mode: str) -> None:
        super().__init__()
        conv = partial(nn.Conv2d, c, c, 3, padding=1, padding_mode=mode)
        self.layers = nn.Sequential(conv(), instance(c), nn.ReLU(), conv(), instance(c))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PlainUnetBlock(nn.Module):
    """pix2pix's, and BicycleGAN's with the code beside the image."""

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, norm: Norm, *, bias: bool,
        inputs: int = 0, up_first: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.outermost, self.up_first = bool(inputs), up_first
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        width = 2 * inner if inside else inner
        up = nn.ConvTranspose2d(width, outer, 4, 2, 1, bias=bias or self.outermost)
        if self.outermost:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, norm(inner), inside, nn.ReLU(), up, norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        if self.outermost:
            return y
        return torch.cat([y, x] if self.up_first else [x, y], 1)


class PlainUnet(nn.Module):
    def __init__(
        self, norm: Norm, *, depth: int, bias: bool, numbers: int = 0, channels: int = 3
    ) -> None:
        super().__init__()
        c, options = 2, {"bias": bias, "up_first": numbers > 0}
        block = None
        for level in range(depth - 1, 0, -1):
            outer, inner = c * min(2 ** (level - 1), 8), c * min(2**level, 8)
            block = PlainUnetBlock(outer, inner, block, norm, **options)
        self.model = PlainUnetBlock(3, c, block, norm, inputs=channels + numbers, **options)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        if z is not None:
            x = torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        return self.model(x)


class CodedUnetBlock(nn.Module):
    """BicycleGAN's with the code at every layer."""

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, norm: Norm, *, inputs: int = 0
    ) -> None:
        super().__init__()
        self.outermost, self.innermost = bool(inputs), inside is None
        down = [nn.Conv2d((inputs or outer) + 8, inner, 4, 2, 1)]
        up = [nn.ReLU(), nn.ConvTranspose2d(2 * inner if inside else inner, outer, 4, 2, 1)]
        if not self.outermost:
            down, up = [nn.LeakyReLU(0.2), *down], [*up, norm(outer)]
            down += [] if self.innermost else [norm(inner)]
        self.down = nn.Sequential(*down)
        self.submodule = inside
        self.up = nn.Sequential(*up, *([nn.Tanh()] if self.outermost else []))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        y = self.down(torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1))
        y = self.up(y if self.innermost else self.submodule(y, z))
        return y if self.outermost else torch.cat([y, x], 1)


class CodedUnet(nn.Module):
    def __init__(self, norm: Norm, *, depth: int) -> None:
        super().__init__()
        c, block = 2, None
        for level in range(depth - 1, 0, -1):
            block = CodedUnetBlock(c * min(2 ** (level - 1), 8), c * min(2**level, 8), block, norm)
        self.model = CodedUnetBlock(3, c, block, norm, inputs=3)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.model(x, z)


class EncoderBlock(nn.Module):
    def __init__(self, inner: int, outer: int, norm: Norm) -> None:
        super().__init__()
        mean_pool = nn.Sequential(nn.Conv2d(inner, outer, 3, padding=1), nn.AvgPool2d(2))
        first = [norm(inner), nn.LeakyReLU(0.2), nn.Conv2d(inner, inner, 3, padding=1)]
        self.conv = nn.Sequential(*first, norm(inner), nn.LeakyReLU(0.2), mean_pool)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inner, outer, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)


class Encoder(nn.Module):
    def __init__(self, norm: Norm) -> None:
        super().__init__()
        blocks = [EncoderBlock(2 * min(4, n), 2 * min(4, n + 1), norm) for n in range(1, 5)]
        self.fc = nn.Sequential(nn.Linear(8, 8))
        self.fcVar = nn.Sequential(nn.Linear(8, 8))
        self.conv = nn.Sequential(
            nn.Conv2d(3, 2, 4, 2, 1), *blocks, nn.LeakyReLU(0.2), nn.AvgPool2d(8)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.conv(x).flatten(1)
        return self.fc(flat), self.fcVar(flat)


BATCH = nn.BatchNorm2d
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "resnet 9": (lambda: Resnet(instance, blocks=9, bias=True), {"num_blocks": 9}),
    "resnet 6, batch": (
        lambda: Resnet(BATCH, blocks=6, bias=False),
        {"num_blocks": 6, "norm": "batch"},
    ),
    "resnet, dropout": (
        lambda: Resnet(instance, blocks=2, bias=True, dropout=True),
        {"dropout": True},
    ),
    "resnet, no norm": (
        lambda: Resnet(lambda _: nn.Identity(), blocks=1, bias=False),
        {"norm": "none"},
    ),
    "resnet, old": (lambda: Resnet(counting, blocks=2, bias=True), {"norm": "instance"}),
    "no blocks": (lambda: Resnet(instance, blocks=0, bias=True), {"num_blocks": 0}),
    "cut": (lambda: Resnet(instance, blocks=3, bias=True, blur=True), {"antialias": True}),
    "unet 7": (
        lambda: PlainUnet(BATCH, depth=7, bias=False),
        {"depth": 7, "norm": "batch", "skip_order": "skip_first"},
    ),
    "unet 8, grey": (
        lambda: PlainUnet(instance, depth=8, bias=True, channels=1),
        {"depth": 8, "norm": "instance"},
    ),
    "z beside": (
        lambda: PlainUnet(instance, depth=7, bias=True, numbers=8),
        {"z_at": "input", "latent_dim": 8, "skip_order": "up_first"},
    ),
    "z at all": (
        lambda: CodedUnet(instance, depth=8),
        {"z_at": "all", "latent_dim": 8, "depth": 8},
    ),
    "z at all, batch": (
        lambda: CodedUnet(BATCH, depth=7),
        {"z_at": "all", "norm": "batch", "conv_bias": "always"},
    ),
}


def published(kind: str) -> nn.Module:
    return trained(KINDS[kind][0]())


def trained(network: nn.Module) -> nn.Module:
    """With random weights and statistics, as if trained."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("filt"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
            if name.endswith("running_var"):
                tensor.copy_(tensor.abs() + 0.5)
    return network


def ours(path: Path) -> nn.Module:
    header = read_model_header(path)
    network = build_generator(
        header.generator, in_channels=header.in_channels, out_channels=header.out_channels
    )
    tensors = {n: t for n, t in load_file(path).items() if not n.startswith(ENCODER_PREFIX)}
    network.load_state_dict(tensors)
    return network.eval()


def inputs_of(path: Path) -> list[Tensor]:
    header, generator = read_model_header(path), torch.Generator().manual_seed(1)
    x = torch.rand(2, header.in_channels, 256, 256, generator=generator) * 2 - 1
    numbers = header.generator.latent_dim if isinstance(header.generator, UnetConfig) else 0
    return [x, *([torch.randn(2, numbers, generator=generator)] if numbers else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_weights_give_the_same_pictures(kind: str, tmp_path: Path) -> None:
    network = published(kind)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "latest_net_G.pth")
    import_weights(tmp_path / "latest_net_G.pth", tmp_path / "ab.safetensors")
    config = vars(read_model_header(tmp_path / "ab.safetensors").generator)
    assert {name: config[name] for name in KINDS[kind][1]} == KINDS[kind][1]
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.train()  # statistics of the picture, whatever old files kept
    inputs = inputs_of(tmp_path / "ab.safetensors")
    inputs = [tensor.double() for tensor in inputs]
    with torch.no_grad():
        found = ours(tmp_path / "ab.safetensors").double()(*inputs)
        difference = (found - network.double()(*inputs)).abs().max()
    assert difference < 1e-6


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("blocks", [0, 2])
def test_padding_that_the_weights_do_not_tell_is_asked_for(
    tmp_path: Path, padding: Any, blocks: int
) -> None:
    path, out = tmp_path / "netG_B2A.pth", tmp_path / "ba.safetensors"
    network = trained(Minimal(padding=padding, blocks=blocks))
    torch.save(network.state_dict(), path)
    with pytest.raises(
        ImgTranslateError, match=r"cannot be told .* Give `padding` zero or reflect"
    ):
        import_weights(path, out)
    assert import_weights(path, out, padding=padding).direction == "ba"
    config = read_model_header(out).generator
    assert isinstance(config, ResnetConfig)
    assert (config.padding, config.num_blocks, config.dropout) == (padding, blocks, False)
    x = inputs_of(out)[0]
    with torch.no_grad():
        assert (ours(out)(x) - network(x)).abs().max() < 1e-5


def test_networks_that_differ_from_ours_in_layers_are_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "G.pth", tmp_path / "ab.safetensors"
    minimal = trained(Minimal(padding="zero", blocks=2)).state_dict()
    without_norm = {}
    for index, name in enumerate([0, 2, 4, 6, 8, 10]):  # conv, ReLU
        for part in ("weight", "bias"):
            at = [0, 3, 6, 11, 14, 17][index]
            without_norm[f"model.{name}.{part}"] = minimal[f"model.{at}.{part}"]
    mixed = {
        name.replace("layers.3", "layers.5").replace("layers.0", "layers.1"): tensor
        for name, tensor in minimal.items()
    }
    more = {**minimal, "model.0.scale": torch.ones(4)}
    odd = {n: t for n, t in minimal.items() if not n.startswith("model.9.layers.0")}
    for state, said in (
        (without_norm, "has a bias"),
        (mixed, "padded in different ways"),
        (more, "model.0 has a scale"),
        (odd, "would not have 9 convolutions"),
    ):
        torch.save(state, path)
        with pytest.raises(ImgTranslateError, match=said):
            import_weights(path, out, padding="zero")
    torch.save(published("unet 7").state_dict(), path)
    with pytest.raises(ImgTranslateError, match=r"a UNet, which .* Leave `padding` out"):
        import_weights(path, out, padding="zero")


def wrapped(state: dict[str, Tensor]) -> dict[str, Any]:
    """The same network in dictionaries as training scripts save them."""
    other = {f"{name}.2": tensor for name, tensor in state.items()}
    optimizer = {"state": {0: {"step": torch.tensor(1), "exp_avg": torch.zeros(3)}}}
    return {
        "state_dict": {"state_dict": state, "epoch": 3, "optimizer": optimizer},
        "deeper": {"epoch": 3, "model": {"net": {f"module.{n}": t for n, t in state.items()}}},
        "params_ema": {"params": other, "params_ema": state},
        "prefix": {f"G_A2B.{name}": tensor for name, tensor in state.items()},
        "prefix and module": {f"G_A2B.module.{name}": tensor for name, tensor in state.items()},
    }


@pytest.mark.parametrize("kind", wrapped({}))
def test_weights_in_dictionaries_are_one_network(tmp_path: Path, kind: str) -> None:
    state = dict(published("resnet, dropout").state_dict())
    torch.save(state, tmp_path / "plain.pth")
    torch.save(wrapped(state)[kind], tmp_path / "wrapped.pth")
    for name in ("plain", "wrapped"):
        import_weights(tmp_path / f"{name}.pth", tmp_path / f"{name}.safetensors")
    plain, found = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("plain", "wrapped"))
    assert plain == found


@pytest.mark.parametrize("nested", [True, False])
def test_one_of_several_networks_is_chosen(tmp_path: Path, nested: bool) -> None:
    path, out = tmp_path / "all.pth", tmp_path / "ba.safetensors"
    networks = {
        "G_A2B": published("no blocks").state_dict(),
        "G_B2A": published("resnet, dropout").state_dict(),
    }
    flat = {f"{name}.{n}": t for name, state in networks.items() for n, t in state.items()}
    torch.save(networks if nested else flat, path)
    with pytest.raises(ImgTranslateError, match=r"several networks: G_A2B, G_B2A\. Give `network`"):
        import_weights(path, out)
    with pytest.raises(ImgTranslateError, match=r"^`network` D: not in .*from G_A2B, G_B2A$"):
        import_weights(path, out, network="D")
    header = import_weights(path, out, network="G_B2A")
    assert isinstance(header.generator, ResnetConfig)
    assert (header.generator.num_blocks, header.direction) == (2, "ba")


def test_a_file_that_states_more_than_it_has_takes_no_memory(tmp_path: Path) -> None:
    path, out = tmp_path / "x.pth", tmp_path / "ab.safetensors"
    state = published("resnet 9").state_dict()
    stretched = {n: t.new_zeros(()).expand(t.shape) for n, t in state.items()}
    one = torch.zeros(4 * 4 * 16 * 9 * 4)
    shared = {n: one[: t.numel()].view(t.shape) for n, t in state.items()}
    for content in (stretched, shared):
        torch.save(content, path)
        with pytest.raises(ImgTranslateError, match="states more numbers than it has"):
            import_weights(path, out)
    torch.save(state, path)
    packed = tmp_path / "packed.pth"
    with ZipFile(path) as plain, ZipFile(packed, "w", ZIP_DEFLATED) as deflated:
        for name in plain.namelist():
            deflated.writestr(name, plain.read(name))
    with pytest.raises(ImgTranslateError, match="not a file of plain weights"):
        import_weights(packed, out)
    loop: dict[str, Any] = {"a": 1}
    for _ in range(60):  # 2^60 ways to walk it
        loop = {"a": loop, "b": loop}
    torch.save(loop, path)
    with pytest.raises(ImgTranslateError, match="no weights of a generator"):
        import_weights(path, out)


@pytest.mark.parametrize("kind", ["resnet 6, batch", "unet 7"])
def test_statistics_of_the_picture_are_the_references_training_mode(
    kind: str, tmp_path: Path
) -> None:
    network = published(kind)
    torch.save(network.state_dict(), tmp_path / "G.pth")
    import_weights(tmp_path / "G.pth", tmp_path / "x.safetensors", statistics="picture")
    x = inputs_of(tmp_path / "x.safetensors")[0]
    with torch.no_grad():
        wanted = torch.cat([network.train()(one[None]) for one in x])  # one picture at a time
        found = ours(tmp_path / "x.safetensors")(x)
    assert (found - wanted).abs().max() < 1e-5


def test_an_encoder_goes_into_the_same_file(tmp_path: Path) -> None:
    encoder = Encoder(instance)
    torch.save(published("z at all").state_dict(), tmp_path / "G.pth")
    torch.save(encoder.state_dict(), tmp_path / "E.pth")
    out = tmp_path / "ab.safetensors"
    import_weights(tmp_path / "G.pth", out, encoder=tmp_path / "E.pth")
    header = read_model_header(out)
    assert header.encoder is not None
    own = build_encoder(header.encoder, in_channels=3, latent_dim=8)
    tensors = load_file(out).items()
    own.load_state_dict(
        {n.removeprefix(ENCODER_PREFIX): t for n, t in tensors if n.startswith(ENCODER_PREFIX)}
    )
    x = torch.rand(2, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        for found, wanted in zip(own(x), encoder(x), strict=True):
            assert (found - wanted).abs().max() < 1e-5
    translator = imgtranslate.load(out, device="cpu")
    assert translator.encode(Image.new("RGB", (40, 40))).shape == (8,)


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    torch.save(PlainUnet(instance, depth=7, bias=True, numbers=5).state_dict(), tmp_path / "G.pth")
    import_weights(tmp_path / "G.pth", tmp_path / "a.safetensors", latent_dim=5)
    header = read_model_header(tmp_path / "a.safetensors")
    assert isinstance(header.generator, UnetConfig)
    assert (header.in_channels, header.generator.latent_dim) == (3, 5)
    torch.save(published("z beside").state_dict(), tmp_path / "G.pth")
    import_weights(tmp_path / "G.pth", tmp_path / "b.safetensors", latent_dim=0)
    assert read_model_header(tmp_path / "b.safetensors").in_channels == 11
    with pytest.raises(ImgTranslateError, match="`latent_dim`"):
        import_weights(tmp_path / "G.pth", tmp_path / "c.safetensors", latent_dim=11)


def test_the_name_says_the_direction(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G_B.pth"
    torch.save(published("no blocks").state_dict(), path)
    import_weights(path, tmp_path / "ba.safetensors")
    assert read_model_header(tmp_path / "ba.safetensors").direction == "ba"


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_other_files_are_one_line(tmp_path: Path) -> None:
    path, out = tmp_path / "x.pth", tmp_path / "ab.safetensors"
    patchgan = nn.ModuleDict({"model": nn.Sequential(nn.Conv2d(3, 4, 4), nn.Conv2d(4, 1, 4))})
    broken = published("resnet 9").state_dict()
    broken.popitem()
    for content, said in (
        (patchgan.state_dict(), "a discriminator"),
        ({"model": patchgan.state_dict()}, "a discriminator"),
        ({"a.weight": torch.zeros(3, 3, 3, 3)}, "neither the ResNet nor the UNet"),
        ({}, "no weights of a generator"),
        (broken, "looks like a ResnetGenerator"),
        ([1, 2], "no weights of a generator"),
        ({"x": Payload(tmp_path / "trace")}, "not a file of plain weights"),
    ):
        torch.save(content, path)
        with pytest.raises(ImgTranslateError) as caught:
            import_weights(path, out)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))
    assert not (tmp_path / "trace").exists()
    for raw in (b"", b"garbage", torch.arange(9).numpy().tobytes()):
        path.write_bytes(raw)
        with pytest.raises(ImgTranslateError, match="not a file of plain weights"):
            import_weights(path, out)
    with pytest.raises(ImgTranslateError, match="no such file"):
        import_weights(tmp_path / "missing.pth", out)
    assert not out.exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(published("cut").state_dict(), tmp_path / "latest_net_G.pth")
    out = tmp_path / "ab.safetensors"
    arguments = ["import", str(tmp_path / "latest_net_G.pth"), "-o", str(out)]
    assert cli.run([*arguments, "--source", "horses", "--target", "zebras"]) == 0
    printed = capsys.readouterr()
    assert "ResNet, 3 blocks, antialiased, 4 channels wide, instance norm" in printed.err
    assert printed.out.strip() == str(out)
    assert cli.run(arguments) == 2
    assert "already exists" in capsys.readouterr().err
    assert cli.run([*arguments[:-1], str(tmp_path / "x.pth")]) == 2
    header = read_model_header(out)
    assert isinstance(header.generator, ResnetConfig)
    assert (header.source, header.target) == ("horses", "zebras")
    with pytest.raises(UsageError):
        import_weights(tmp_path / "latest_net_G.pth", out)
