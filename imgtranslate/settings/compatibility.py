"""Compatibility of settings: combinations that cannot be trained are refused at the start."""

import math

from imgtranslate.errors import UsageError
from imgtranslate.settings.config import (
    BicycleGanConfig,
    CutConfig,
    CycleGanConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    MethodConfig,
    MultiScaleConfig,
    Pix2PixConfig,
    PixelConfig,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    ResnetConfig,
    Settings,
    is_paired,
    latent_dim,
    learns_from_halves,
    nce_taps,
    size_multiple,
    smallest_side,
    smallest_style,
    taps_of,
)


def check_settings(settings: Settings) -> None:
    """Raise ``UsageError`` for the first combination that cannot be trained."""
    _check_pictures(settings)
    _check_code(settings)
    _check_losses(settings)
    _check_contrast(settings)
    _check_schedule(settings)
    _check_recompute(settings)
    check_sizes(settings)
    check_sharing(settings)


def check_held_out(settings: Settings) -> None:
    """Refuse the held-out pictures of one side of paired data; older runs ignored them."""
    data = settings.data
    given = [name for name in ("held_out_a", "held_out_b") if vars(data)[name]]
    if (is_paired(settings.method) or data.pairs) and len(given) == 1 and not data.held_out_pairs:
        (missing,) = {"held_out_a", "held_out_b"} - {*given}
        raise UsageError(
            f"data.{given[0]}: pictures of one side are no pairs, which this training holds out. "
            f"Set data.{missing} too, or data.held_out_pairs instead"
        )


def check_sharing(settings: Settings, processes: int = 1) -> None:
    """Refuse a batch that cannot be split equally, and batch norm over a split batch."""
    parts, size = settings.train.accumulate, settings.train.batch_size
    if processes * parts == 1:
        return
    halves = learns_from_halves(settings.method)
    shares = processes * parts * (2 if halves else 1)
    split = [
        *([f"{processes} processes"] if processes > 1 else []),
        *([f"{parts} micro-batches{' each' if processes > 1 else ''}"] if parts > 1 else []),
        *(["two halves each"] if halves else []),
    ]
    if size % shares:
        raise UsageError(
            f"train.batch_size {size}: not a multiple of {shares}, for {', '.join(split)}. It is "
            "the whole batch, over all processes: use "
            f"train.batch_size {shares * math.ceil(size / shares)}"
        )
    for setting, norm in _norms(settings).items():
        if norm == "batch":
            raise UsageError(
                f"{setting} batch: batch norm needs the whole batch at once, which is split into "
                f"{processes * parts} parts. Set another norm, or train in one process without "
                "train.accumulate"
            )


def _norms(settings: Settings) -> dict[str, str]:
    """Map the setting that chooses the norm of a network to that norm."""
    norms: dict[str, str] = {
        "generator.norm": settings.generator.norm,
        "discriminator.norm": settings.discriminator.norm,
    }
    match settings.encoder:
        case ResidualEncoderConfig(norm=norm):
            norms["encoder.norm"] = norm
        case Resnet18EncoderConfig():
            norms["encoder.kind resnet18, norm"] = "batch"
    return norms


def check_sizes(settings: Settings) -> None:
    """Refuse a crop size that does not fit the networks, and name the nearest that does."""
    crop, multiple = settings.data.crop_size, size_multiple(settings.generator)
    least = max(
        smallest_side(settings.generator),
        _smallest_input(settings.discriminator),
        1 if settings.encoder is None else smallest_style(settings.encoder),
    )
    least = math.ceil(least / multiple) * multiple
    if crop % multiple or crop < least:
        fit = max(_smallest_valid(least, settings.generator), round(crop / multiple) * multiple)
        raise UsageError(
            f"data.crop_size {crop}: the {settings.generator.kind} generator and the discriminator "
            f"need a multiple of {multiple} px and at least {least} px. "
            f"The nearest is data.crop_size {fit}"
        )
    if settings.data.load_size < crop:
        raise UsageError(
            f"data.load_size {settings.data.load_size}: smaller than the crop of {crop} px. "
            f"Set it to {crop} or more"
        )


def _smallest_valid(least: int, config: GeneratorConfig) -> int:
    """Round up to a power of 2 for a UNet, whose depth is derived from the crop."""
    return least if isinstance(config, ResnetConfig) else 2 ** math.ceil(math.log2(least))


def _check_pictures(settings: Settings) -> None:
    data = settings.data
    if data.pairs and (data.a or data.b):
        raise UsageError(
            "`pairs`: cannot be combined with `a` or `b`. Give pairs or two folders, not both"
        )
    for side, folder in (("a", data.a), ("b", data.b)):
        if not (folder or data.pairs):
            raise UsageError(
                f"`{side}`: not given. Name two folders with `a` and `b`, or pairs of pictures "
                "with `pairs`"
            )


def _check_code(settings: Settings) -> None:
    """Refuse a method, generator and encoder that disagree on the latent code z."""
    generator, numbers = settings.generator, latent_dim(settings.generator)
    bicyclegan = isinstance(settings.method, BicycleGanConfig)
    if bicyclegan and isinstance(generator, ResnetConfig):
        raise UsageError(
            "generator.kind resnet: takes no latent code, which bicyclegan needs. Use unet"
        )
    if bicyclegan and not numbers:
        raise UsageError("generator.latent_dim 0: bicyclegan needs a latent code. Set it to 8")
    if isinstance(settings.method, CycleGanConfig | CutConfig) and numbers:
        raise UsageError(
            f"generator.latent_dim {numbers}: {settings.method.kind} has no latent code. "
            "Set it to 0"
        )
    if not isinstance(generator, ResnetConfig) and (numbers == 0) != (generator.z_at == "none"):
        raise UsageError(
            f"generator.z_at {generator.z_at}: contradicts generator.latent_dim {numbers}. "
            "Without a latent code set none and 0, with one for example all and 8"
        )
    if settings.encoder is not None and not bicyclegan:
        raise UsageError(f"encoder: {settings.method.kind} has no encoder. Remove the section")


def _check_losses(settings: Settings) -> None:
    method = settings.method
    norm = settings.discriminator.norm
    if method.gan_mode == "wgangp" and settings.train.compile == "on":
        raise UsageError(
            "train.compile on: method.gan_mode wgangp differentiates twice, which torch.compile "
            "does not support. Leave train.compile out"
        )
    if method.gan_mode == "wgangp" and norm == "batch":
        raise UsageError(
            "method.gan_mode wgangp: needs a gradient per picture, but batch norm mixes pictures. "
            "Set discriminator.norm to instance or none"
        )
    if isinstance(method, CycleGanConfig) and method.update == "joint":
        if method.d_ratio != 1:
            raise UsageError(f"method.d_ratio {method.d_ratio}: {_ALTERNATING}")
        if method.cycle_from_identity:
            raise UsageError(f"method.cycle_from_identity true: {_ALTERNATING}")
    if isinstance(method, CycleGanConfig) and method.cycle_from_identity:
        a, b = settings.data.channels_a, settings.data.channels_b
        if a != b:
            raise UsageError(
                f"method.cycle_from_identity true: needs the same number of channels in A ({a}) "
                f"and B ({b}). Set it to false"
            )
    teaching = _teaching_the_generator(method)
    if not any(vars(method)[name] for name in teaching):
        raise UsageError(
            f"method: {', '.join(teaching)} are all 0, so no generator would learn. "
            "Set one of them above 0"
        )


def _check_contrast(settings: Settings) -> None:
    """Refuse contrastive losses that the generator cannot compute, and those of cut compiled."""
    method, data = settings.method, settings.data
    if not isinstance(method, CutConfig):
        return
    if settings.train.compile == "on":
        raise UsageError(
            "train.compile on: does not support method.kind cut, which runs parts of the "
            "generator. Leave train.compile out"
        )
    known, named = taps_of(settings.generator), nce_taps(method, settings.generator)
    for tap in named:
        if tap not in known:
            raise UsageError(
                f"method.nce_taps {method.nce_taps}: the {settings.generator.kind} generator has "
                f"no features {tap or 'without a name'}. It has {', '.join(known)}"
            )
    if len({*named}) < len(named):
        raise UsageError(
            f"method.nce_taps {method.nce_taps}: names features twice. Remove the second"
        )
    a, b = data.channels_a, data.channels_b
    if method.lambda_nce and a != b:
        raise UsageError(
            f"data.channels_a {a}, data.channels_b {b}: the contrastive loss of cut reads both "
            f"sides with one encoder. Set both to {max(a, b)}, or use pix2pix or cyclegan"
        )
    if method.nce_supervised and not method.lambda_nce:
        raise UsageError(
            "method.nce_supervised true: needs method.lambda_nce, which is 0. Set it above 0"
        )


def _check_recompute(settings: Settings) -> None:
    generator = settings.generator
    fits = isinstance(generator, ResnetConfig) and generator.norm != "batch"
    if settings.train.recompute and not fits:
        raise UsageError(
            "train.recompute true: needs generator.kind resnet and another norm than batch, whose "
            "statistics would count every batch twice. Set it to false"
        )


def _check_schedule(settings: Settings) -> None:
    schedule = settings.schedule
    by_steps = schedule.constant_steps is not None
    if schedule.decay_steps is not None and not by_steps:
        raise UsageError(
            f"schedule.decay_steps {schedule.decay_steps}: needs schedule.constant_steps. "
            "Set both, or set epochs instead"
        )
    total = (
        (schedule.constant_steps or 0) + (schedule.decay_steps or 0)
        if by_steps
        else schedule.epochs + schedule.decay_epochs
    )
    if total == 0:
        raise UsageError(
            "schedule.epochs 0: the schedule has no steps. "
            "Set schedule.epochs or schedule.decay_epochs above 0"
        )
    if schedule.kind == "multistep" and not schedule.milestones:
        raise UsageError(
            "schedule.kind multistep: schedule.milestones is empty. List epochs, such as [100, 150]"
        )


_ALTERNATING = "works with the alternating update only. Set method.update=alternating"


def _teaching_the_generator(config: MethodConfig) -> tuple[str, ...]:
    """Name the weights of the loss terms from which a generator learns."""
    match config:
        case CycleGanConfig():  # lambda_identity is relative to lambda_a and lambda_b
            return ("lambda_gan_ab", "lambda_gan_ba", "lambda_a", "lambda_b")
        case CutConfig():
            return ("lambda_gan", "lambda_nce")
        case Pix2PixConfig() | BicycleGanConfig(paths="cvae"):
            return ("lambda_gan", "lambda_l1")
        case BicycleGanConfig(paths="clr"):
            return ("lambda_gan", "lambda_latent")
        case BicycleGanConfig():
            return ("lambda_gan", "lambda_l1", "lambda_latent")


def _smallest_input(config: DiscriminatorConfig) -> int:
    """Return the shortest side, in px, at which the discriminator has a patch at every scale."""
    match config:
        case PixelConfig():
            return 2
        case MultiScaleConfig():
            return int(3 * 2 ** (config.num_layers + config.num_scales - 1))
        case _:
            return int(3 * 2**config.num_layers)
