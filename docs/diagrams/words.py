"""The settings of each method and the words for its networks and losses, as the pages use them."""

from collections.abc import Mapping
from dataclasses import dataclass

from docs.diagrams.canvas import Role
from docs.diagrams.tracing import settings_of
from imgtranslate.settings.config import BicycleGanConfig, CycleGanConfig, Pix2PixConfig

NETWORKS: Mapping[str, tuple[str, Role]] = {
    "generator": ("G", "generator"),
    "generator_ab": ("G_ab", "generator"),
    "generator_ba": ("G_ba", "generator"),
    "encoder": ("E", "encoder"),
    "discriminator": ("D", "discriminator"),
    "discriminator_a": ("D_a", "discriminator"),
    "discriminator_b": ("D_b", "discriminator"),
    "discriminator_vae": ("D_vae", "discriminator"),
    "discriminator_lr": ("D_lr", "discriminator"),
}


@dataclass(frozen=True)
class Step:
    """The words of a method's training step, by the names of its terms and optimizers."""

    title: str
    terms: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]


def cyclegan() -> CycleGanConfig:
    """Return CycleGAN's default losses."""
    config = settings_of("cyclegan").method
    if not isinstance(config, CycleGanConfig):
        raise TypeError(config.kind)
    return config


def pix2pix() -> Pix2PixConfig:
    """Return pix2pix's default losses."""
    config = settings_of("pix2pix").method
    if not isinstance(config, Pix2PixConfig):
        raise TypeError(config.kind)
    return config


def bicyclegan() -> BicycleGanConfig:
    """Return BicycleGAN's default losses."""
    config = settings_of("bicyclegan").method
    if not isinstance(config, BicycleGanConfig):
        raise TypeError(config.kind)
    return config


def times(weight: float) -> str:
    """Write a weight as a factor."""
    return f"× {weight:g}"


def step_of(method: str) -> Step:
    """Return the words of a method's step."""
    return {"cyclegan": _cyclegan_step, "pix2pix": _pix2pix_step, "bicyclegan": _bicyclegan_step}[
        method
    ]()


def _cyclegan_step() -> Step:
    config = cyclegan()
    return Step(
        title="One training step of CycleGAN",
        terms={
            "gan_ab": f"D_b(fake_b) → 1, {times(config.lambda_gan_ab)}",
            "gan_ba": f"D_a(fake_a) → 1, {times(config.lambda_gan_ba)}",
            "cycle_a": f"L1(rec_a, real_a) {times(config.lambda_a)}",
            "cycle_b": f"L1(rec_b, real_b) {times(config.lambda_b)}",
            "identity_a": f"L1(idt_a, real_a) {times(config.lambda_identity * config.lambda_a)}",
            "identity_b": f"L1(idt_b, real_b) {times(config.lambda_identity * config.lambda_b)}",
            "discriminator_a": f"real_a → 1, fake_a → 0, {times(0.5)}",
            "discriminator_b": f"real_b → 1, fake_b → 0, {times(0.5)}",
        },
        notes={
            "generators": (
                "Make fake_b = G_ab(real_a), rec_a = G_ba(fake_b), idt_b = G_ab(real_b),",
                "and fake_a, rec_b and idt_a the other way.",
            ),
            "discriminators": (
                "Detach fake_a and fake_b, so that no gradient reaches the generators. Exchange",
                f"each with its pool of {config.pool_size} earlier fakes: half of the time an old "
                "one comes out.",
            ),
        },
    )


def _pix2pix_step() -> Step:
    config = pix2pix()
    return Step(
        title="One training step of pix2pix",
        terms={
            "gan": f"D(real_a, fake_b) → 1, {times(config.lambda_gan)}",
            "l1": f"L1(fake_b, real_b) {times(config.lambda_l1)}",
            "discriminator": f"(real_a, real_b) → 1, (real_a, fake_b) → 0, {times(0.5)}",
        },
        notes={
            "discriminators": ("Make fake_b = G(real_a), and detach it.",),
            "generators": ("Show the same fake_b, not detached, to the updated D.",),
        },
    )


def _bicyclegan_step() -> Step:
    config = bicyclegan()
    return Step(
        title="One training step of BicycleGAN",
        terms={
            "kl": f"KL(code, normal(0, 1)) {times(config.lambda_kl)}",
            "gan_vae": f"D_vae(fake_vae) → 1, {times(config.lambda_gan)}",
            "l1": f"L1(fake_vae, real_b) {times(config.lambda_l1)}",
            "gan_lr": f"D_lr(fake_lr) → 1, {times(config.lambda_gan)}",
            "latent": f"L1(mean of E(fake_lr), z) {times(config.lambda_latent)}",
            "discriminator_vae": "real_b → 1, fake_vae → 0",
            "discriminator_lr": "real_b → 1, fake_lr → 0",
        },
        notes={
            "generators": (
                "Make fake_vae with the code that E reads from real_b, fake_lr with a random z.",
                "For the term latent alone, E is frozen.",
            ),
            "discriminators": (
                "Detach both fakes. D_lr sees the real pictures of the other half of the batch.",
            ),
        },
    )
