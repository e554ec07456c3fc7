"""Settings with the papers' defaults. Every default value is defined here and nowhere else.

A setting is named ``section.name`` in TOML files, in Python and in errors. ``presets.py`` holds
the values that methods and presets change; ``parsing.py`` builds these dataclasses from layers of
settings.
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
LogName = Literal["tensorboard", "wandb", "csv"]
GanMode = Literal["lsgan", "vanilla", "hinge", "wgangp"]
Init = Literal["normal", "xavier", "kaiming", "orthogonal"]
Resample = Literal["bicubic", "nearest"]
Direction = Literal["ab", "ba"]  # of a translation: from A to B, or back
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
    """A part of the settings that refuses unknown names, wrong types and values out of range.

    The text below a setting is its explanation in help and docs (``listing.py``). A setting that
    several kinds of a section share is explained at the first.
    """

    __pydantic_config__: ClassVar["ConfigDict"] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }


@dataclass(frozen=True, kw_only=True)
class ResnetConfig(Section):
    """CycleGAN's generator (arXiv 1703.10593, appendix 7.2)."""

    kind: Literal["resnet"] = "resnet"
    """Architecture of the generators; bicyclegan needs unet"""
    base_channels: BaseChannels = 64
    """Channels after the generators' first convolution; deeper layers have multiples"""
    num_blocks: Annotated[int, Interval(ge=0, le=64)] = 9
    """Residual blocks; unless set, 6 up to a crop of 128 px, else 9"""
    norm: Norm = "instance"
    """Normalisation of features; instance_affine is instance with a learnt scale and shift"""
    dropout: bool = False
    """Dropout of 0.5 while training: in residual blocks, or in the UNet's innermost up layers"""
    upsample: Upsample = "transpose"
    """Transposed convolution, or resize and convolution, which avoids checkerboard patterns"""
    padding: Padding = "reflect"
    """Padding of the convolutions at the border of the picture"""
    antialias: bool = False
    """Resample with a blur (arXiv 1904.11486); unless set, on for cut above a crop of 64 px"""


@dataclass(frozen=True, kw_only=True)
class UnetConfig(Section):
    """pix2pix's generator (arXiv 1611.07004, appendix 6.1.1), BicycleGAN's with a code z."""

    kind: Literal["unet"] = "unet"
    base_channels: BaseChannels = 64
    depth: Annotated[int, Interval(ge=5, le=12)] = 8
    """Number of halvings of the picture; unless set, log2 of the crop, 5 to 8"""
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transpose"
    skip_order: SkipOrder = "skip_first"
    """Order in which skip features and upsampled features are concatenated"""
    conv_bias: ConvBias = "by_norm"
    """Convolutions with a bias: only those before instance norm, or all"""
    latent_dim: LatentDim = 0
    """Length of the code z; 0 for no code"""
    z_at: CodeAt = "none"
    """Place of the code: the input, all down layers, the innermost, or one plane of the input"""


GeneratorConfig = ResnetConfig | UnetConfig


@dataclass(frozen=True, kw_only=True)
class PatchGanConfig(Section):
    """The patch discriminator; 3 layers see 70 x 70 px (arXiv 1611.07004, appendix 6.1.2)."""

    kind: Literal["patchgan"] = "patchgan"
    """Architecture: one logit per patch, patches at several scales, their mean, or one per pixel"""
    base_channels: BaseChannels = 64
    """Channels after the discriminators' first convolution; deeper layers have multiples"""
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    """Layers of stride 2: 1 to 5 see patches of 16, 34, 70, 142 and 286 px"""
    norm: Norm = "instance"
    """Normalisation of features; instance_affine is instance with a learnt scale and shift"""
    conv_bias: ConvBias = "by_norm"
    """Convolutions with a bias: only those before instance norm, or all"""
    antialias: bool = False
    """Downsample with a blur (arXiv 1904.11486); unless set, on for cut above a crop of 64 px"""


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig(Section):
    """Patch discriminators at several scales (arXiv 1711.11586, section 4)."""

    kind: Literal["multiscale"] = "multiscale"
    base_channels: BaseChannels = 64
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    num_scales: Annotated[int, Interval(ge=1, le=8)] = 2
    """Number of discriminators; each has half the picture size and width of the one before"""
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
    """Architecture of the encoder; resnet18 is torchvision's ResNet-18 without trained weights"""
    base_channels: BaseChannels = 64
    """Channels after the encoder's first convolution; deeper layers have multiples"""
    num_blocks: Annotated[int, Interval(ge=1, le=8)] = 4
    """Halvings after the first convolution; unless set, 3 up to a crop of 128 px, else 4"""
    norm: Norm = "instance"
    """Normalisation of features; instance_affine is instance with a learnt scale and shift"""


@dataclass(frozen=True, kw_only=True)
class Resnet18EncoderConfig(Section):
    """An encoder with torchvision's ResNet-18 as its trunk."""

    kind: Literal["resnet18"] = "resnet18"


EncoderConfig = ResidualEncoderConfig | Resnet18EncoderConfig


@dataclass(frozen=True, kw_only=True)
class CycleGanConfig(Section):
    """CycleGAN's losses (arXiv 1703.10593, equations 1 to 3 and section 5.2)."""

    kind: Literal["cyclegan"] = "cyclegan"
    """Losses: cyclegan learns both directions without pairs, cut A → B; the others from pairs"""
    update: Literal["joint", "alternating"] = "joint"
    """Update of the two generators: both in one step, or one after the other"""
    gan_mode: GanMode = "lsgan"
    """Adversarial loss: least squares, cross-entropy, hinge, or Wasserstein with a penalty"""
    lambda_penalty: Weight = 10.0
    """Weight of the gradient penalty of wgangp"""
    lambda_gan_ab: Weight = 1.0
    """Weight of the adversarial loss of A → B; 0 removes the discriminator of B"""
    lambda_gan_ba: Weight = 1.0
    """Weight of the adversarial loss of B → A; 0 removes the discriminator of A"""
    lambda_a: Weight = 10.0
    """Weight of the cycle loss of A → B → A"""
    lambda_b: Weight = 10.0
    """Weight of the cycle loss of B → A → B"""
    lambda_identity: Weight = 0.5
    """Weight of the identity loss, as a share of lambda_a and lambda_b; it preserves colours"""
    pool_size: Annotated[int, Interval(ge=0, le=100_000)] = 50
    """Earlier generated pictures that each discriminator is shown again; 0 for none"""
    d_ratio: Count = 1
    """Generator updates per discriminator update, with the alternating update"""
    cycle_from_identity: bool = False
    """Start the second cycle from the identity picture, with the alternating update"""


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(Section):
    """pix2pix's losses (arXiv 1611.07004, equations 1 to 4)."""

    kind: Literal["pix2pix"] = "pix2pix"
    gan_mode: GanMode = "vanilla"
    lambda_penalty: Weight = 10.0
    lambda_gan: Weight = 1.0
    """Weight of the adversarial loss; 0 removes it"""
    lambda_l1: Weight = 100.0
    """Weight of the L1 distance between translation and truth"""
    conditional: bool = True
    """Show the discriminator the input beside the output"""
    pool_size: Annotated[int, Interval(ge=0, le=100_000)] = 0


@dataclass(frozen=True, kw_only=True)
class BicycleGanConfig(Section):
    """BicycleGAN's losses (arXiv 1711.11586, equations 1 to 8)."""

    kind: Literal["bicyclegan"] = "bicyclegan"
    paths: Literal["both", "cvae", "clr"] = "both"
    """Training paths: cVAE-GAN, cLR-GAN, or both"""
    gan_mode: GanMode = "lsgan"
    lambda_penalty: Weight = 10.0
    lambda_gan: Weight = 1.0
    lambda_l1: Weight = 10.0
    lambda_latent: Weight = 0.5
    """Weight of the L1 distance between the code and its reconstruction by the encoder"""
    lambda_kl: Weight = 0.01
    """Weight of the KL divergence between encoded codes and a normal distribution"""
    conditional: bool = False
    shared_discriminator: bool = False
    """Use one discriminator for both paths"""


@dataclass(frozen=True, kw_only=True)
class CutConfig(Section):
    """CUT's and FastCUT's losses (arXiv 2007.15651, equations 1 to 5)."""

    kind: Literal["cut"] = "cut"
    gan_mode: GanMode = "lsgan"
    lambda_penalty: Weight = 10.0
    lambda_gan: Weight = 1.0
    lambda_nce: Weight = 1.0
    """Weight of the contrastive loss, which keeps the content of a picture; 0 removes it"""
    nce_identity: bool = True
    """Share lambda_nce with the contrastive loss of B → B, which preserves colours"""
    nce_patches: Annotated[int, Interval(ge=1, le=65_536)] = 256
    """Patches of each picture that each tap compares; unless set, 64 up to a crop of 64 px"""
    nce_temperature: Annotated[float, Interval(ge=0.001, le=1000)] = 0.07
    """Temperature of the contrastive loss; a lower one weights similar patches more"""
    nce_taps: str = ""
    """Features to compare, as in input,down1,down2,block1; if empty, five, or those there are"""
    flip_equivariance: bool = False
    """Mirror the input in half of the steps, and its translation must be mirrored too"""
    nce_supervised: bool = False
    """Compare a translation with its true B, for pairs that do not fit pixel by pixel"""


MethodConfig = CycleGanConfig | Pix2PixConfig | BicycleGanConfig | CutConfig


@dataclass(frozen=True, kw_only=True)
class DataSettings(Section):
    """The pictures of two domains, and how a training sample is cut from them."""

    a: str = ""
    """Pictures of A: a folder, or tar archives (x.tar or x-{000..009}.tar)"""
    b: str = ""
    """Pictures of B: a folder, or tar archives (x.tar or x-{000..009}.tar)"""
    pairs: str = ""
    """Pairs of pictures, in place of A and B: a folder of pictures side by side, or a CSV file"""
    pair_order: Literal["ab", "ba"] = "ab"
    """Order of a pair: with ab, the left half or first column is A; with ba, it is B"""
    held_out_a: str = ""
    """Held-out pictures of A: a folder or tar archives; if empty, some training pictures"""
    held_out_b: str = ""
    """Held-out pictures of B: a folder or tar archives; if empty, some training pictures"""
    held_out_pairs: str = ""
    """Held-out pairs, in a form that data.pairs takes; if empty, some training pairs"""
    held_out: CountOrZero = 8
    """Pictures of each side to hold out of the training; at most a tenth of the side"""
    name_a: str = "a"
    """Name of domain A in file names and reports; unless set, the name of its folder"""
    name_b: str = "b"
    """Name of domain B in file names and reports; unless set, the name of its folder"""
    channels_a: PictureChannels = 3
    """Channels of A: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; more in .npy files"""
    channels_b: PictureChannels = 3
    """Channels of B: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; more in .npy files"""
    load_size: Side = 286
    """Shorter side, in px, to which pictures are resized; unless set, data.crop_size x 286/256"""
    crop_size: Side = 256
    """Side, in px, of the square crops to train on"""
    resample_a: Resample = "bicubic"
    """Resizing filter of A; nearest preserves the colours of label maps"""
    resample_b: Resample = "bicubic"
    """Resizing filter of B; nearest preserves the colours of label maps"""
    crop_size_in_decay: bool = False
    """Load pictures at data.crop_size while the linear schedule lowers the learning rate"""
    flip: bool = True
    """Mirror half of the samples left to right"""
    rotate: bool = False
    """Rotate samples by 0, 90, 180 or 270 degrees"""
    colour_a: Strength = 0.0
    """Strength of random changes to brightness, contrast and saturation of A; 0 for none"""
    colour_b: Strength = 0.0
    """Strength of random changes to brightness, contrast and saturation of B; 0 for none"""
    skip_unreadable: bool = False
    """Skip files that cannot be read; otherwise they stop the training before it begins"""
    workers: Annotated[int, Interval(ge=0, le=256)] | Literal["auto"] = "auto"
    """Processes that read pictures; 0 reads in a thread, auto depends on the device and cores"""
    cache: str = ""
    """Folder for decoded pictures, which later runs share; without it, they stay in memory"""
    cache_memory: Mebibytes | Literal["auto"] = "auto"
    """Memory for decoded pictures, in MiB; auto is a quarter of the available memory"""
    cache_disk: Mebibytes = 16_384
    """Disk space, in MiB, that one run may use in data.cache"""


@dataclass(frozen=True, kw_only=True)
class InitSettings(Section):
    """Initial weights."""

    kind: Init = "normal"
    """Distribution of the initial weights"""
    gain: Annotated[float, Interval(gt=0, le=100)] = 0.02
    """Standard deviation of normal, or gain of xavier and orthogonal; kaiming ignores it"""


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Section):
    """The optimizers, one for the networks of each phase of a step."""

    kind: Literal["adam", "rmsprop"] = "adam"
    """Optimizer of all networks"""
    lr: Annotated[float, Interval(gt=0, le=1)] = 2e-4
    """Learning rate of all networks"""
    beta1: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    """Decay of Adam's average of gradients"""
    beta2: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    """Decay of Adam's average of squared gradients"""
    max_grad_norm: Weight = 0.0
    """Largest norm of the gradient of each network; larger ones are clipped; 0 clips none"""


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(Section):
    """The decay of the learning rate, in epochs, or in steps where those are set."""

    kind: Literal["linear", "step", "multistep", "cosine", "plateau", "constant"] = "linear"
    """Decay of the learning rate"""
    epochs: CountOrZero = 100
    """Epochs at the full learning rate; an epoch is one pass over the larger side"""
    decay_epochs: CountOrZero = 100
    """Epochs of linear decay of the learning rate to 0; other schedules add them to the length"""
    constant_steps: CountOrZero | None = None
    """Steps at the full learning rate; replaces schedule.epochs"""
    decay_steps: CountOrZero | None = None
    """Steps of linear decay of the learning rate; replaces schedule.decay_epochs"""
    every: Count = 50
    """Epochs, or steps, between two drops of the step schedule"""
    milestones: Annotated[tuple[Count, ...], MaxLen(100)] = ()
    """Epochs, or steps, after which the multistep schedule drops the learning rate"""
    factor: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    """Factor of each drop of step, multistep and plateau; unless set, 0.2 for plateau"""
    patience: CountOrZero = 5
    """Validations without a gain of 1 % before the plateau schedule drops the learning rate"""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Section):
    """Batches, precision, and the intervals of saves, samples and validations."""

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Random seed of initial weights, sample order, crops and noise"""
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 1
    """Pictures of each side in a step, over all GPUs"""
    accumulate: Annotated[int, Interval(ge=1, le=4096)] = 1
    """Micro-batches into which a batch is split to save memory"""
    steps: Count | None = None
    """Last step, if before the end of the schedule; it does not change the learning rate"""
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the generators' weights; 0 for no average"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the networks; auto is bf16 where the GPU or CPU has instructions for it"""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks with torch.compile, which takes minutes; auto is off"""
    recompute: bool = False
    """Recompute a ResNet's features in the backward pass: less memory, a third more work"""
    save_every: Count = 1000
    """Steps between saves of the training state; it is also saved every ten minutes"""
    sample_every: Count = 500
    """Steps between two pictures in samples/"""
    validate_every: Count = 500
    """Steps between validations on held-out pictures"""
    patience: CountOrZero = 0
    """Validations without a gain after which training ends; 0 trains the whole schedule"""
    log_every: Count = 50
    """Steps between rows of metrics.jsonl"""
    log: Annotated[tuple[LogName, ...], MaxLen(10)] = ()
    """Further logs, beside metrics.jsonl, of losses, validations, samples and warnings"""


_BY_KIND = {"discriminator": "kind"}  # how pydantic tells the classes of a union apart


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """All settings of a run."""

    data: DataSettings = field(default_factory=DataSettings)
    """Pictures of both domains, and the samples made from them"""
    method: MethodConfig = field(default_factory=CycleGanConfig, metadata=_BY_KIND)
    """Losses and their weights"""
    generator: GeneratorConfig = field(default_factory=ResnetConfig, metadata=_BY_KIND)
    """Networks that translate"""
    discriminator: DiscriminatorConfig = field(default_factory=PatchGanConfig, metadata=_BY_KIND)
    """Networks that tell real from generated pictures"""
    encoder: EncoderConfig | None = field(default=None, metadata=_BY_KIND)
    """Network that reads the code z of a picture, for bicyclegan alone"""
    init: InitSettings = field(default_factory=InitSettings)
    """Initial weights"""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """Optimizers of the networks"""
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    """Length of the training, and decay of the learning rate"""
    train: TrainSettings = field(default_factory=TrainSettings)
    """Batches, precision, and how often files are written"""


def to_tree(settings: Section) -> Tree:
    """Convert settings to the nested dictionary from which ``parse_settings`` restores them."""
    return {
        name: to_tree(value) if isinstance(value, Section) else value
        for name, value in ((f.name, vars(settings)[f.name]) for f in fields_of(type(settings)))
        if value is not None
    }


def fields_of(section: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    """List the settings of a section in their order."""
    return dataclasses.fields(section)  # type: ignore[arg-type]  # every Section is a dataclass


def is_paired(config: MethodConfig) -> bool:
    """Return whether the method learns from pairs."""
    if isinstance(config, CutConfig):
        return config.nce_supervised
    return not isinstance(config, CycleGanConfig)


def learns_both_ways(config: MethodConfig) -> bool:
    """Return whether the method also learns to translate from B to A."""
    return isinstance(config, CycleGanConfig)


def taps_of(config: GeneratorConfig) -> tuple[str, ...]:
    """Return the names of the generator's taps, in the order of its pass."""
    match config:
        case ResnetConfig():
            blocks = (f"block{number}" for number in range(1, config.num_blocks + 1))
            return ("input", "down1", "down2", *blocks)
        case UnetConfig():
            return ("input", *(f"down{level}" for level in range(1, config.depth + 1)))


def nce_taps(method: CutConfig, generator: GeneratorConfig) -> tuple[str, ...]:
    """Return the taps that the contrastive loss compares.

    By default the picture, the two downsamplings, and the blocks 1 and 5 of a ResNet; of fewer than
    six blocks the first and the last but one. For a UNet the picture and its first four levels.
    """
    if method.nce_taps:
        return tuple(name.strip() for name in method.nce_taps.split(","))
    match generator:
        case ResnetConfig(num_blocks=count):
            last = max(1, min(5, count - 1))
            wanted = {"input", "down1", "down2", "block1", f"block{last}"}
        case UnetConfig():
            wanted = {"input", "down1", "down2", "down3", "down4"}
    return tuple(name for name in taps_of(generator) if name in wanted)


def learns_from_halves(config: MethodConfig) -> bool:
    """Return whether the method treats the two halves of a batch differently."""
    return isinstance(config, BicycleGanConfig)


def size_multiple(config: GeneratorConfig) -> int:
    """Return the number, in px, of which both sides of an input must be a multiple."""
    match config:
        case ResnetConfig():
            return 4
        case UnetConfig():
            return int(2**config.depth)


def smallest_side(config: GeneratorConfig) -> int:
    """Return the shortest side, in px: instance norm needs 2 x 2 px at the bottleneck."""
    match config:
        case ResnetConfig():
            return 8
        case UnetConfig():
            return int(2**config.depth)


def smallest_style(config: EncoderConfig) -> int:
    """Return the shortest side, in px, that the encoder takes; all sides are multiples of it."""
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
