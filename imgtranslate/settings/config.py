"""Settings with the papers' defaults. Every default value stands here and nowhere else.

A setting is named ``section.name`` in TOML files, in Python and in errors. ``presets.py`` holds
the values that methods and presets change; ``parsing.py`` turns layers of settings into these
dataclasses.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval, MaxLen

if TYPE_CHECKING:
    from pydantic import ConfigDict

Tree = dict[str, Any]

Norm = Literal["instance", "batch", "none", "instance_affine"]
Upsample = Literal["transpose", "resize"]
Padding = Literal["reflect", "zero"]
ConvBias = Literal["by_norm", "always"]
SkipOrder = Literal["skip_first", "up_first"]
CodeAt = Literal["none", "input", "all", "middle", "plane"]
GanMode = Literal["lsgan", "vanilla", "hinge", "wgangp"]
Init = Literal["normal", "xavier", "kaiming", "orthogonal"]
Resample = Literal["bicubic", "nearest"]
PictureChannels = Annotated[int, Interval(ge=1, le=64)]
BaseChannels = Annotated[int, Interval(ge=1, le=1024)]
LatentDim = Annotated[int, Interval(ge=0, le=1024)]
Strength = Annotated[float, Interval(ge=0, le=1)]
Weight = Annotated[float, Interval(ge=0, le=1e6)]
Count = Annotated[int, Interval(ge=1, le=10**12)]
CountOrZero = Annotated[int, Interval(ge=0, le=10**12)]
Mebibytes = Annotated[int, Interval(ge=0, le=2**30)]
LARGEST_SIDE = 65_536  # px
Side = Annotated[int, Interval(ge=1, le=LARGEST_SIDE)]


class Section:
    """A part of the settings; unknown names, wrong types and values out of range are refused."""

    __pydantic_config__: ClassVar["ConfigDict"] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }


@dataclass(frozen=True, kw_only=True)
class ResnetConfig(Section):
    """CycleGAN's generator (arXiv 1703.10593, appendix 7.2)."""

    kind: Literal["resnet"] = "resnet"
    base_channels: BaseChannels = 64
    num_blocks: Annotated[int, Interval(ge=0, le=64)] = 9
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transpose"
    padding: Padding = "reflect"
    antialias: bool = False  # blurred resampling, as in CUT (arXiv 1904.11486)


@dataclass(frozen=True, kw_only=True)
class UnetConfig(Section):
    """pix2pix's generator (arXiv 1611.07004, appendix 6.1.1), BicycleGAN's with a code z."""

    kind: Literal["unet"] = "unet"
    base_channels: BaseChannels = 64
    depth: Annotated[int, Interval(ge=5, le=12)] = 8
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transpose"
    skip_order: SkipOrder = "skip_first"
    conv_bias: ConvBias = "by_norm"
    latent_dim: LatentDim = 0  # length of the code z; 0: none
    z_at: CodeAt = "none"


GeneratorConfig = ResnetConfig | UnetConfig


@dataclass(frozen=True, kw_only=True)
class PatchGanConfig(Section):
    """The patch discriminator; 3 layers see 70 x 70 px (arXiv 1611.07004, appendix 6.1.2)."""

    kind: Literal["patchgan"] = "patchgan"
    base_channels: BaseChannels = 64
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    norm: Norm = "instance"
    conv_bias: ConvBias = "by_norm"


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig(Section):
    """Patch discriminators at several scales (arXiv 1711.11586, section 4)."""

    kind: Literal["multiscale"] = "multiscale"
    base_channels: BaseChannels = 64
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    num_scales: Annotated[int, Interval(ge=1, le=8)] = 2
    norm: Norm = "instance"
    conv_bias: ConvBias = "always"


@dataclass(frozen=True, kw_only=True)
class AveragingConfig(Section):
    """A patch discriminator that averages its map into one logit per picture."""

    kind: Literal["averaging"] = "averaging"
    base_channels: BaseChannels = 64
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    norm: Norm = "instance"
    conv_bias: ConvBias = "by_norm"


@dataclass(frozen=True, kw_only=True)
class PixelConfig(Section):
    """A discriminator that judges each pixel by itself (arXiv 1611.07004, section 4.4)."""

    kind: Literal["pixel"] = "pixel"
    base_channels: BaseChannels = 64
    norm: Norm = "instance"


DiscriminatorConfig = PatchGanConfig | MultiScaleConfig | AveragingConfig | PixelConfig


@dataclass(frozen=True, kw_only=True)
class ResidualEncoderConfig(Section):
    """BicycleGAN's encoder (arXiv 1711.11586, section 4)."""

    kind: Literal["residual"] = "residual"
    base_channels: BaseChannels = 64
    num_blocks: Annotated[int, Interval(ge=1, le=8)] = 4
    norm: Norm = "instance"


@dataclass(frozen=True, kw_only=True)
class Resnet18EncoderConfig(Section):
    """An encoder with torchvision's ResNet-18 as its trunk."""

    kind: Literal["resnet18"] = "resnet18"


EncoderConfig = ResidualEncoderConfig | Resnet18EncoderConfig


@dataclass(frozen=True, kw_only=True)
class CycleGanConfig(Section):
    """CycleGAN's losses (arXiv 1703.10593, equations 1 to 3 and section 5.2)."""

    kind: Literal["cyclegan"] = "cyclegan"
    update: Literal["joint", "alternating"] = "joint"  # both generators at once, or in turn
    gan_mode: GanMode = "lsgan"
    lambda_penalty: Weight = 10.0  # of the gradient penalty of wgangp
    lambda_gan_ab: Weight = 1.0  # 0 leaves discriminator b out
    lambda_gan_ba: Weight = 1.0  # 0 leaves discriminator a out
    lambda_a: Weight = 10.0  # cycle A -> B -> A
    lambda_b: Weight = 10.0  # cycle B -> A -> B
    lambda_identity: Weight = 0.5  # relative to lambda_a and lambda_b; keeps colours
    pool_size: Annotated[int, Interval(ge=0, le=100_000)] = 50
    d_ratio: Count = 1  # alternating: generator steps per discriminator step
    cycle_from_identity: bool = False  # alternating: start the second cycle from the identity


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(Section):
    """pix2pix's losses (arXiv 1611.07004, equations 1 to 4)."""

    kind: Literal["pix2pix"] = "pix2pix"
    gan_mode: GanMode = "vanilla"
    lambda_penalty: Weight = 10.0  # of the gradient penalty of wgangp
    lambda_gan: Weight = 1.0  # 0 leaves the discriminator out
    lambda_l1: Weight = 100.0
    conditional: bool = True  # the discriminator sees the input beside the output
    pool_size: Annotated[int, Interval(ge=0, le=100_000)] = 0


@dataclass(frozen=True, kw_only=True)
class BicycleGanConfig(Section):
    """BicycleGAN's losses (arXiv 1711.11586, equations 1 to 8)."""

    kind: Literal["bicyclegan"] = "bicyclegan"
    paths: Literal["both", "cvae", "clr"] = "both"  # cVAE-GAN and cLR-GAN, or one of them
    gan_mode: GanMode = "lsgan"
    lambda_penalty: Weight = 10.0  # of the gradient penalty of wgangp
    lambda_gan: Weight = 1.0
    lambda_l1: Weight = 10.0
    lambda_latent: Weight = 0.5
    lambda_kl: Weight = 0.01
    conditional: bool = False  # the discriminators see the input beside the output
    shared_discriminator: bool = False  # one for both paths


MethodConfig = CycleGanConfig | Pix2PixConfig | BicycleGanConfig


@dataclass(frozen=True, kw_only=True)
class DataSettings(Section):
    """The pictures of two domains, and how a training sample is cut from them."""

    a: str = ""  # a folder
    b: str = ""
    pairs: str = ""  # instead: a folder of side-by-side pictures, or a CSV file of two columns
    pair_order: Literal["ab", "ba"] = "ab"  # which side of a pair, or column, is A
    held_out_a: str = ""  # a folder; else some training pictures are held out
    held_out_b: str = ""
    held_out_pairs: str = ""
    held_out: CountOrZero = 8  # pictures per side, at most a tenth of it
    name_a: str = "a"
    name_b: str = "b"
    channels_a: PictureChannels = 3
    channels_b: PictureChannels = 3
    load_size: Side = 286  # px, shorter side before the crop
    crop_size: Side = 256  # px
    resample_a: Resample = "bicubic"  # nearest: label maps keep their colours
    resample_b: Resample = "bicubic"
    flip: bool = True
    rotate: bool = False  # by 0, 90, 180 or 270 degrees
    colour_a: Strength = 0.0  # jitter of brightness, contrast and saturation
    colour_b: Strength = 0.0
    skip_unreadable: bool = False
    workers: Annotated[int, Interval(ge=0, le=256)] | Literal["auto"] = "auto"
    cache: str = ""  # a folder for decoded pictures, instead of memory
    cache_memory: Mebibytes | Literal["auto"] = "auto"  # MiB; auto: a quarter of the free memory
    cache_disk: Mebibytes = 16_384  # MiB that one run may store in ``cache``


@dataclass(frozen=True, kw_only=True)
class InitSettings(Section):
    """Initial weights."""

    kind: Init = "normal"
    gain: Annotated[float, Interval(gt=0, le=100)] = 0.02


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Section):
    """The optimizers, one for the networks of each phase of a step."""

    kind: Literal["adam", "rmsprop"] = "adam"
    lr: Annotated[float, Interval(gt=0, le=1)] = 2e-4
    beta1: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    beta2: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    max_grad_norm: Weight = 0.0  # per network; 0: no clipping


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(Section):
    """The decay of the learning rate, in epochs, or in steps where those are set."""

    kind: Literal["linear", "step", "multistep", "cosine", "plateau", "constant"] = "linear"
    epochs: CountOrZero = 100
    decay_epochs: CountOrZero = 100
    constant_steps: CountOrZero | None = None
    decay_steps: CountOrZero | None = None
    every: Count = 50  # step: epochs (or steps) between falls
    milestones: Annotated[tuple[Count, ...], MaxLen(100)] = ()  # multistep: where it falls
    factor: Annotated[float, Interval(gt=0, lt=1)] = 0.1  # step, multistep, plateau: of each fall
    patience: CountOrZero = 5  # plateau: validations without improvement before a fall


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Section):
    """Batches, precision, and the intervals of saves, samples and validations."""

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 1
    accumulate: Annotated[int, Interval(ge=1, le=4096)] = 1  # micro-batches of a batch
    steps: Count | None = None  # where to stop; does not change the learning rate
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # 0: no averaging
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the networks; losses are fp32
    compile: Literal["auto", "on", "off"] = "auto"
    recompute: bool = False  # ResNet: less memory, a third more work
    save_every: Count = 1000  # steps
    sample_every: Count = 500
    validate_every: Count = 500
    log_every: Count = 50


_BY_KIND = {"discriminator": "kind"}  # how pydantic tells the classes of a union apart


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """All settings of a run."""

    data: DataSettings = field(default_factory=DataSettings)
    method: MethodConfig = field(default_factory=CycleGanConfig, metadata=_BY_KIND)
    generator: GeneratorConfig = field(default_factory=ResnetConfig, metadata=_BY_KIND)
    discriminator: DiscriminatorConfig = field(default_factory=PatchGanConfig, metadata=_BY_KIND)
    encoder: EncoderConfig | None = field(default=None, metadata=_BY_KIND)  # BicycleGAN's
    init: InitSettings = field(default_factory=InitSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


def to_tree(settings: Section) -> Tree:
    """Turn settings into a nested dictionary that ``parse_settings`` turns back."""
    return {
        name: to_tree(value) if isinstance(value, Section) else value
        for name, value in ((f.name, vars(settings)[f.name]) for f in fields_of(type(settings)))
        if value is not None
    }


def fields_of(section: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    """List the settings of a section in their order."""
    return dataclasses.fields(section)  # type: ignore[arg-type]  # every Section is a dataclass


def is_paired(config: MethodConfig) -> bool:
    """Tell whether the method learns from pairs."""
    return not isinstance(config, CycleGanConfig)


def learns_from_halves(config: MethodConfig) -> bool:
    """Tell whether the method treats the two halves of a batch differently."""
    return isinstance(config, BicycleGanConfig)


def size_multiple(config: GeneratorConfig) -> int:
    """Return the number of px of which both sides of an input must be a multiple."""
    match config:
        case ResnetConfig():
            return 4
        case UnetConfig():
            return int(2**config.depth)


def smallest_side(config: GeneratorConfig) -> int:
    """Return the shortest side in px: instance norm needs 2 x 2 px at the bottleneck."""
    match config:
        case ResnetConfig():
            return 8
        case UnetConfig():
            return int(2**config.depth)


def smallest_style(config: EncoderConfig) -> int:
    """Return the shortest side in px that the encoder takes; sides are multiples of it."""
    match config:
        case Resnet18EncoderConfig():
            return 32
        case ResidualEncoderConfig():
            return int(2 ** (config.num_blocks + 1))


def latent_dim(config: GeneratorConfig) -> int:
    """Return the length of the generator's code z; 0 without one."""
    match config:
        case ResnetConfig():
            return 0
        case UnetConfig():
            return config.latent_dim
