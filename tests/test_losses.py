import math

import pytest
import torch
from torch import Tensor, nn

from imgtranslate.losses import (
    GanMode,
    adversarial_loss,
    fake_loss,
    gradient_penalty,
    kl_divergence,
    l1,
    patch_nce,
    real_loss,
    reparameterise,
)
from imgtranslate.networks import AveragingPatchGan, MultiScalePatchGan, PatchGan


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bce(x: float, target: int) -> float:
    p = 1 / (1 + math.exp(-x))
    return -math.log(p if target else 1 - p)


FORMULAS = {  # one logit x: the generator's term, the discriminator's for a real and for a fake
    "lsgan": (lambda x: (x - 1) ** 2, lambda x: (x - 1) ** 2, lambda x: x**2),
    "vanilla": (lambda x: bce(x, 1), lambda x: bce(x, 1), lambda x: bce(x, 0)),
    "hinge": (lambda x: -x, lambda x: max(0, 1 - x), lambda x: max(0, 1 + x)),
    "wgangp": (lambda x: -x, lambda x: -x, lambda x: x),
}
TERMS = (adversarial_loss, real_loss, fake_loss)


@pytest.mark.parametrize("term", [0, 1, 2])
@pytest.mark.parametrize("gan_mode", FORMULAS)
def test_gan_terms_are_means_over_the_map(gan_mode: GanMode, term: int) -> None:
    x = logits(2, 1, 3, 4)
    expected = sum(FORMULAS[gan_mode][term](v) for v in x.flatten().tolist()) / x.numel()
    loss = TERMS[term](x, gan_mode=gan_mode)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("term", [0, 1, 2])
@pytest.mark.parametrize("gan_mode", FORMULAS)
def test_scales_of_different_sizes_are_summed_each_by_its_mean(
    gan_mode: GanMode, term: int
) -> None:
    maps = [logits(2, 1, 8, 8), logits(2, 1, 3, 3, seed=1), logits(2, 1, 1, 2, seed=2)]
    formula = FORMULAS[gan_mode][term]
    expected = sum(sum(formula(v) for v in m.flatten().tolist()) / m.numel() for m in maps)
    assert TERMS[term](maps, gan_mode=gan_mode).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("gan_mode", FORMULAS)
def test_a_list_of_one_is_its_map(gan_mode: GanMode) -> None:
    x = logits(2, 1, 3, 3)
    for term in TERMS:
        assert torch.equal(term([x], gan_mode=gan_mode), term(x, gan_mode=gan_mode))


@pytest.mark.parametrize("gan_mode", FORMULAS)
def test_one_logit_per_image_is_not_broadcast(gan_mode: GanMode) -> None:
    x = logits(4, 1)
    for term in TERMS:
        torch.testing.assert_close(term(x, gan_mode=gan_mode), term(x[:, 0], gan_mode=gan_mode))


def test_vanilla_takes_logits_of_any_size() -> None:
    x = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = fake_loss(x, gan_mode="vanilla")
    loss.backward()
    assert loss.item() == pytest.approx(100)
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0.0]]


def test_averaging_the_map_before_the_square_is_another_loss() -> None:
    torch.manual_seed(0)
    averaging = AveragingPatchGan(
        in_channels=3, base_channels=4, num_layers=2, norm="instance", conv_bias="by_norm"
    )
    x = torch.randn(2, 3, 32, 32)
    patches = real_loss(averaging.patchgan(x), gan_mode="lsgan")
    images = real_loss(averaging(x), gan_mode="lsgan")
    torch.testing.assert_close(patches, (averaging.patchgan(x) - 1).square().mean())
    assert patches > images + 1e-4


@pytest.mark.parametrize("gan_mode", FORMULAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_and_gradients(gan_mode: GanMode, dtype: torch.dtype) -> None:
    x = logits(2, 1, 3, 3, dtype=dtype).requires_grad_()
    for term in TERMS:
        loss = term([x, x], gan_mode=gan_mode)
        (gradient,) = torch.autograd.grad(loss, x)
        assert loss.dtype == dtype
        assert gradient.any()


def test_the_penalty_is_on_the_mean_of_the_map() -> None:
    weight = torch.tensor([[3.0, -4.0]], dtype=torch.float64)  # its norm: 5
    real, fake, mix = logits(2, 1, 1, 2), logits(2, 1, 1, 2, seed=1), torch.rand(2).double()
    penalty = gradient_penalty(lambda x: weight * x, real, fake, mix=mix)
    assert penalty.item() == pytest.approx((5 / 2 - 1) ** 2)  # on the sum: (5 - 1)^2


def test_the_penalty_does_not_depend_on_the_size_of_the_map() -> None:
    real, fake, mix = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1), torch.rand(2).double()

    def penalty(side: int) -> Tensor:
        def critic(x: Tensor) -> Tensor:
            return x.sum(dim=(1, 2, 3), keepdim=True).expand(-1, 1, side, side)

        return gradient_penalty(critic, real, fake, mix=mix)

    assert penalty(1).item() == pytest.approx((math.sqrt(48) - 1) ** 2)
    torch.testing.assert_close(penalty(1), penalty(7))


def test_the_penalty_is_taken_at_one_mixture_per_image() -> None:
    real, fake = logits(3, 6, 2, 2), logits(3, 6, 2, 2, seed=1)
    mix = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:  # the gradient of half the square is the mixture itself
        seen.append(x)
        return 0.5 * x.square().sum(dim=(1, 2, 3))[:, None]

    penalty = gradient_penalty(critic, real, fake, mix=mix)
    mixtures = [fake[0], 0.25 * real[1] + 0.75 * fake[1], real[2]]
    torch.testing.assert_close(seen[0], torch.stack(mixtures))
    expected = sum((m.square().sum().sqrt() - 1) ** 2 for m in mixtures) / 3
    torch.testing.assert_close(penalty, torch.as_tensor(expected))


def test_the_penalties_of_scales_are_summed() -> None:
    real, fake, mix = logits(2, 1, 4, 4), logits(2, 1, 4, 4, seed=1), torch.rand(2).double()
    penalty = gradient_penalty(lambda x: [16 * 2 * x, x.sum(dim=(2, 3))], real, fake, mix=mix)
    assert penalty.item() == pytest.approx((2 * 4 - 1) ** 2 + (4 - 1) ** 2)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("num_scales", [1, 2])
def test_the_penalty_trains_a_critic_and_nothing_else(num_scales: int, constant: bool) -> None:
    torch.manual_seed(0)
    critic = MultiScalePatchGan(
        in_channels=3,
        base_channels=4,
        num_layers=2,
        num_scales=num_scales,
        norm="instance",
        conv_bias="always",
    )
    real = torch.ones(2, 3, 32, 32) if constant else torch.randn(2, 3, 32, 32)
    fake = real.clone().requires_grad_()
    gradient_penalty(critic, real, fake, mix=torch.tensor([0.2, 0.7])).backward()
    gradients = [p.grad for p in critic.parameters() if p.grad is not None]
    assert fake.grad is None
    assert all(g.isfinite().all() for g in gradients)
    assert constant or all(
        m.weight.grad is not None and m.weight.grad.any()
        for m in critic.modules()
        if isinstance(m, nn.Conv2d)
    )


def test_a_critic_without_slope_is_penalised_and_gives_no_nan() -> None:
    critic = PatchGan(
        in_channels=3,
        base_channels=4,
        num_layers=1,
        norm="none",
        conv_bias="always",
        antialias=False,
    )
    nn.init.zeros_(critic.head.weight)
    image = torch.randn(1, 3, 16, 16)
    penalty = gradient_penalty(critic, image, image, mix=torch.tensor([0.5]))
    penalty.backward()
    assert penalty.item() == 1
    assert critic.head.weight.grad is not None
    assert critic.head.weight.grad.isfinite().all()


def test_l1_is_the_mean_absolute_difference() -> None:
    x, y = logits(2, 3, 4, 5), logits(2, 3, 4, 5, seed=1)
    expected = (
        sum(abs(a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))
        / 120
    )
    assert l1(x, y).item() == pytest.approx(expected)


def test_l1_refuses_to_broadcast() -> None:
    with pytest.raises(ValueError, match="differ"):
        l1(torch.zeros(4, 1), torch.zeros(4))


def test_nce_compares_the_patches_of_one_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = (
        torch.nn.functional.normalize(torch.randn(2, 3, 4, generator=generator), dim=2).double()
        for _ in range(2)
    )
    expected = []
    for n in range(2):
        for s in range(3):
            near = [math.exp(float(queries[n, s] @ keys[n, other]) / 0.5) for other in range(3)]
            expected.append(-math.log(near[s] / sum(near)))
    found = patch_nce(queries, keys, temperature=0.5)
    assert found.item() == pytest.approx(sum(expected) / 6)
    one = torch.ones(1, 256, 4)
    assert patch_nce(one, one, temperature=0.07).item() == pytest.approx(math.log(256))
    assert patch_nce(queries[:, :1], keys[:, :1], temperature=0.07).item() == 0


def test_nce_gives_the_queries_alone_a_gradient_and_refuses_to_broadcast() -> None:
    queries, keys = (torch.randn(1, 3, 4, requires_grad=True) for _ in range(2))
    patch_nce(queries, keys, temperature=0.07).backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None
    assert keys.grad is None
    with pytest.raises(ValueError, match="differ"):
        patch_nce(queries, keys[:, :2], temperature=0.07)


def test_nce_has_float32_similarities_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(1, 64, 16, generator=generator), dim=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = patch_nce(x, x, temperature=0.07)
    assert torch.equal(found, patch_nce(x, x, temperature=0.07))


def test_kl_is_summed_over_the_code_and_averaged_over_images() -> None:
    mean, log_variance = logits(3, 8), logits(3, 8, seed=1)
    expected = sum(
        0.5 * (math.exp(v) + m**2 - 1 - v)
        for m, v in zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True)
    )
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected / 3)
    assert kl_divergence(torch.zeros(2, 8), torch.zeros(2, 8)).item() == 0


def test_kl_agrees_with_torch_distributions() -> None:
    mean, log_variance = logits(3, 8), logits(3, 8, seed=1)
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    unit = torch.distributions.Normal(torch.zeros(8).double(), torch.ones(8).double())
    expected = torch.distributions.kl_divergence(code, unit).sum(dim=1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_a_sample_has_the_mean_and_the_deviation_it_was_asked_for() -> None:
    mean, log_variance, noise = logits(2, 8), logits(2, 8, seed=1), logits(2, 8, seed=2)
    z = reparameterise(mean, log_variance, noise)
    torch.testing.assert_close(z, mean + log_variance.exp().sqrt() * noise)
    assert torch.equal(reparameterise(mean, log_variance, torch.zeros_like(noise)), mean)
