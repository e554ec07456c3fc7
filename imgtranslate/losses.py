"""Unweighted losses, which reduce tensors to a scalar.

The logits of a discriminator are a map, (n, 1, h, w) or (n, 1), or a list of maps of different
sizes, one per scale. The loss of a list is the sum over its scales of the mean over each map.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor

GanMode = Literal["lsgan", "vanilla", "hinge", "wgangp"]
Logits = Tensor | list[Tensor]


def adversarial_loss(fake_logits: Logits, *, gan_mode: GanMode) -> Tensor:
    """Return the adversarial loss of a generator for the logits of its fakes (not detached)."""
    match gan_mode:
        case "lsgan" | "vanilla":  # Goodfellow et al. 2014, section 3: the non-saturating form
            return real_loss(fake_logits, gan_mode=gan_mode)
        case "hinge" | "wgangp":
            return _sum_over_scales(fake_logits, lambda logits: -logits.mean())


def real_loss(real_logits: Logits, *, gan_mode: GanMode) -> Tensor:
    """Return the loss of a discriminator for its logits of real images.

    CycleGAN and pix2pix train on half the sum with ``fake_loss``, BicycleGAN on the sum.
    """
    return _sum_over_scales(real_logits, lambda logits: _loss(logits, True, gan_mode))


def fake_loss(fake_logits: Logits, *, gan_mode: GanMode) -> Tensor:
    """Return the loss of a discriminator for its logits of detached fakes."""
    return _sum_over_scales(fake_logits, lambda logits: _loss(logits, False, gan_mode))


def gradient_penalty(
    discriminator: Callable[[Tensor], Logits], real: Tensor, fake: Tensor, *, mix: Tensor
) -> Tensor:
    """Return the gradient penalty of WGAN-GP (arXiv 1704.00028, equation 3, there weighted by 10).

    ``real`` and ``fake`` are inputs of the discriminator, concatenated with the condition if there
    is one. ``mix``: (n,), uniform in [0, 1), the share of the real image in each mixture. The logit
    of an image is the **mean** of its map, so the penalty does not grow with the size. The
    penalties of several scales are summed. Batch norm would mix the gradients of the images.
    """
    share = mix.view(-1, 1, 1, 1)
    mixed = (share * real + (1 - share) * fake).detach().requires_grad_()

    def penalise(logits: Tensor) -> Tensor:
        per_image = logits.flatten(1).mean(dim=1)  # (n,)
        (gradient,) = torch.autograd.grad(per_image.sum(), mixed, create_graph=True)
        norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)  # (n,)
        return (norm - 1).square().mean()

    return _sum_over_scales(discriminator(mixed), penalise)


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors of one shape."""
    if x.shape != y.shape:  # broadcasting would hide an error
        raise ValueError(f"shapes {tuple(x.shape)} and {tuple(y.shape)} differ")
    return F.l1_loss(x, y)


def patch_nce(queries: Tensor, keys: Tensor, *, temperature: float) -> Tensor:
    """Return the contrastive loss of patches (arXiv 2007.15651, equation 3).

    ``queries``, ``keys``: unit vectors (n, s, d) of s patches of n pictures. Each query is to be
    closer to the key of its own patch than to those of the s - 1 others of its picture. Only the
    queries get a gradient. Similarities are in float32: rounding to bfloat16 would change a logit
    by 0.06.
    """
    if queries.shape != keys.shape:
        raise ValueError(f"shapes {tuple(queries.shape)} and {tuple(keys.shape)} differ")
    with torch.autocast(queries.device.type, enabled=False):
        logits = queries @ keys.detach().transpose(1, 2) / temperature  # (n, s, s)
    own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return F.cross_entropy(logits.flatten(0, 1), own)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence from normal(0, 1), summed over z and averaged over images.

    arXiv 1312.6114, appendix B. ``mean``, ``log_variance``: (n, latent_dim).
    """
    per_number = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance)
    return per_number.sum(dim=1).mean()


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Convert noise from normal(0, 1) to z from normal(mean, variance): (n, latent_dim) each."""
    return mean + (0.5 * log_variance).exp() * noise


def _loss(logits: Tensor, is_real: bool, gan_mode: GanMode) -> Tensor:
    match gan_mode:
        case "lsgan":  # arXiv 1611.04076, equation 9: a = 0, b = c = 1
            return F.mse_loss(logits, torch.full_like(logits, float(is_real)))
        case "vanilla":
            target = torch.full_like(logits, float(is_real))
            return F.binary_cross_entropy_with_logits(logits, target)
        case "hinge":
            return F.relu(1 - logits if is_real else 1 + logits).mean()
        case "wgangp":
            return -logits.mean() if is_real else logits.mean()


def _sum_over_scales(logits: Logits, loss: Callable[[Tensor], Tensor]) -> Tensor:
    maps = logits if isinstance(logits, list) else [logits]
    return torch.stack([loss(one) for one in maps]).sum()
