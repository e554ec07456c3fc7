"""The joint update by its losses and gradients, before any optimizer; the pools are empty."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from methods.textbook import Losses, gan, generator_gan, learner, random_batch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.cyclegan import CycleGan
from imgtranslate.methods.process_group import SINGLE_PROCESS
from imgtranslate.methods.step import ImagePool, MicroBatch, Networks, backward
from imgtranslate.settings.config import CycleGanConfig

Gradients = dict[str, Tensor]  # of every network that has any, by network and parameter
GENERATORS = ("generator_ab", "generator_ba")
UNEQUAL = {
    "method__lambda_a": 3.0,
    "method__lambda_b": 7.0,
    "method__lambda_gan_ab": 2.0,
    "method__lambda_gan_ba": 0.5,
    "method__lambda_identity": 0.25,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "lsgan": {},
    "vanilla": {"method__gan_mode": "vanilla"},
    "hinge": {"method__gan_mode": "hinge"},
    "unequal weights": UNEQUAL,
    "no identity": {"method__lambda_identity": 0.0},
    "grey to colour": {"data__channels_a": 1},
    "colour to grey": {"data__channels_b": 1, **UNEQUAL},
    "batch norm": {"generator__norm": "batch", "discriminator__norm": "batch"},
    "one logit": {"discriminator__kind": "averaging"},
}


def cyclegan(**changes: Any) -> CycleGan:
    method = learner(**changes).method
    assert isinstance(method, CycleGan)
    return method


def networks_of(method: CycleGan) -> Networks:
    return method.generators() | method.discriminators()


def gradients_of(networks: Networks) -> Gradients:
    return {
        f"{name}.{key}": parameter.grad.clone()
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def step(
    method: CycleGan, batch: Batch, *, then: Callable[[str], None] | None = None
) -> tuple[Losses, dict[str, Gradients]]:
    """Our step with its gradients and optimizers that change nothing; ``then`` follows each."""
    found: dict[str, Gradients] = {}
    networks = networks_of(method)
    optimizers = {
        name: torch.optim.SGD([p for net in part.values() for p in net.parameters()], lr=0.0)
        for name, part in method.optimized().items()
        if part
    }
    for name, optimizer in optimizers.items():

        def look(*_: object, name: str = name) -> None:
            found[name] = gradients_of(networks)

        def follow(*_: object, name: str = name) -> None:
            if then is not None:
                then(name)

        optimizer.register_step_pre_hook(look)
        optimizer.register_step_post_hook(follow)
    losses = method.step(
        [MicroBatch(real_a=batch.real_a, real_b=batch.real_b, rng=np.random.default_rng(0))],
        optimizers,
        group=SINGLE_PROCESS,
    )
    return losses, found


def textbook(nets: Networks, config: CycleGanConfig, batch: Batch) -> tuple[Losses, Losses]:
    """What the generators pay, then the discriminators, written as in the paper."""
    a, b, mode = batch.real_a, batch.real_b, config.gan_mode
    g, f = nets["generator_ab"], nets["generator_ba"]
    d_a, d_b = nets["discriminator_a"], nets["discriminator_b"]
    fake_b, fake_a = g(a), f(b)
    generators = {
        "gan_ab": config.lambda_gan_ab * generator_gan(d_b(fake_b), mode),
        "gan_ba": config.lambda_gan_ba * generator_gan(d_a(fake_a), mode),
        "cycle_a": config.lambda_a * (f(fake_b) - a).abs().mean(),
        "cycle_b": config.lambda_b * (g(fake_a) - b).abs().mean(),
    }
    if config.lambda_identity and a.shape == b.shape:
        of_a, of_b = (f(a) - a).abs().mean(), (g(b) - b).abs().mean()
        generators["identity_a"] = config.lambda_identity * config.lambda_a * of_a
        generators["identity_b"] = config.lambda_identity * config.lambda_b * of_b

    fake_a, fake_b = fake_a.detach(), fake_b.detach()
    discriminators = {
        "discriminator_a": 0.5 * (gan(d_a(a), 1.0, mode) + gan(d_a(fake_a), 0.0, mode)),
        "discriminator_b": 0.5 * (gan(d_b(b), 1.0, mode) + gan(d_b(fake_b), 0.0, mode)),
    }
    return generators, discriminators


def gradients_down(losses: Losses, networks: Networks) -> Gradients:
    keys = [f"{name}.{key}" for name, net in networks.items() for key, _ in net.named_parameters()]
    parameters = [p for net in networks.values() for p in net.parameters()]
    total = torch.stack(list(losses.values())).sum()
    return dict(zip(keys, torch.autograd.grad(total, parameters), strict=True))


def assert_same(found: Gradients, wanted: Gradients) -> None:
    """To 1e-9; against the network's largest where a bias before a norm has rounding only."""
    assert found.keys() == wanted.keys()
    for name in {key.partition(".")[0] for key in wanted}:
        of_network = [key for key in wanted if key.startswith(f"{name}.")]
        largest = max(float(wanted[key].abs().max()) for key in of_network)
        assert largest > 0
        for key in of_network:
            torch.testing.assert_close(found[key], wanted[key], rtol=1e-9, atol=1e-11 * largest)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_loss_and_every_gradient_of_all_four_networks(variant: str, count: int) -> None:
    changes = VARIANTS[variant]
    method = cyclegan(**changes)
    nets = copy.deepcopy(networks_of(method))
    channels = (changes.get("data__channels_a", 3), changes.get("data__channels_b", 3))
    batch = random_batch(0, count=count, channels=channels)
    losses, found = step(method, batch)

    paid, judged = textbook(nets, method.config, batch)
    wanted = {name: loss.item() for name, loss in (paid | judged).items()}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(wanted, rel=1e-9)
    generators = {name: nets.pop(name) for name in GENERATORS}
    assert_same(found["generators"], gradients_down(paid, generators))
    assert_same(found["discriminators"], gradients_down(judged, nets))


def test_no_phase_gives_gradients_to_the_other_phases_networks() -> None:
    _, found = step(cyclegan(), random_batch(0))
    assert list(found) == ["generators", "discriminators"]
    assert {
        phase: {name.partition(".")[0] for name in gradients} for phase, gradients in found.items()
    } == {
        "generators": set(GENERATORS),
        "discriminators": {"discriminator_a", "discriminator_b"},
    }


@pytest.mark.parametrize(
    ("term", "learning"),
    [
        ("gan_ab", {"generator_ab"}),
        ("gan_ba", {"generator_ba"}),
        ("cycle_a", set(GENERATORS)),
        ("cycle_b", set(GENERATORS)),
        ("identity_a", {"generator_ba"}),
        ("identity_b", {"generator_ab"}),
        ("discriminator_a", {"discriminator_a"}),
        ("discriminator_b", {"discriminator_b"}),
    ],
)
def test_which_network_learns_from_which_term(
    term: str, learning: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def only(losses: Losses, *, micro_batches: int) -> Losses:
        return backward({n: x for n, x in losses.items() if n == term}, micro_batches=micro_batches)

    monkeypatch.setattr("imgtranslate.methods.cyclegan.backward", only)
    _, found = step(cyclegan(), random_batch(0))
    taught = {
        key.partition(".")[0]
        for gradients in found.values()
        for key, gradient in gradients.items()
        if gradient.any()
    }
    assert taught == learning


@pytest.mark.parametrize(
    ("weight", "terms"),
    [
        ("lambda_a", {"cycle_a", "identity_a"}),
        ("lambda_b", {"cycle_b", "identity_b"}),
        ("lambda_identity", {"identity_a", "identity_b"}),
        ("lambda_gan_ab", {"gan_ab"}),
        ("lambda_gan_ba", {"gan_ba"}),
    ],
)
def test_a_weight_scales_its_own_terms(weight: str, terms: set[str]) -> None:
    before, _ = step(cyclegan(), random_batch(0))
    default = getattr(CycleGanConfig(), weight)
    after, _ = step(cyclegan(**{f"method__{weight}": 3 * default}), random_batch(0))
    assert after.keys() == before.keys()
    for name, loss in before.items():
        factor = 3 if name in terms else 1
        assert after[name].item() == pytest.approx(factor * loss.item(), rel=1e-9), name


def test_the_papers_weights() -> None:
    plain = {f"method__{weight}": 1.0 for weight in ("lambda_a", "lambda_b", "lambda_identity")}
    unweighted, _ = step(cyclegan(**plain), random_batch(0))
    found, _ = step(cyclegan(), random_batch(0))
    ratios = {name: found[name].item() / unweighted[name].item() for name in found}
    assert ratios == pytest.approx(
        dict.fromkeys(ratios, 1.0)
        | {"cycle_a": 10.0, "cycle_b": 10.0, "identity_a": 5.0, "identity_b": 5.0}
    )


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(
    ("zeros", "shown"),  # pictures, of a batch of one: G_ab, G_ba, D_a, D_b
    [
        ((), (3, 3, 3, 3)),  # a fake, an identity, a cycle; a fake to learn from, a real, a fake
        (("lambda_identity",), (2, 2, 3, 3)),
        (("lambda_a",), (3, 1, 3, 3)),
        (("lambda_b",), (1, 3, 3, 3)),
        (("lambda_a", "lambda_b"), (1, 1, 3, 3)),
        (("lambda_gan_ab", "lambda_gan_ba"), (3, 3, 0, 0)),
        (("lambda_gan_ab",), (3, 3, 3, 0)),
        (("lambda_gan_ab", "lambda_a"), (2, 1, 3, 0)),
        (("lambda_gan_ba", "lambda_b"), (1, 2, 0, 3)),
    ],
)
def test_a_fake_is_made_once_and_a_term_without_weight_runs_nothing(
    zeros: tuple[str, ...], shown: tuple[int, ...], norm: str
) -> None:
    norms = {"generator__norm": norm, "discriminator__norm": norm}
    method = cyclegan(**norms, **{f"method__{name}": 0.0 for name in zeros})
    counts = dict.fromkeys((*GENERATORS, "discriminator_a", "discriminator_b"), 0)
    for name, network in networks_of(method).items():

        def count(_: nn.Module, images: tuple[Tensor], name: str = name) -> None:
            counts[name] += len(images[0])

        network.register_forward_pre_hook(count)
    ours, _ = step(method, random_batch(0, count=1))
    assert tuple(counts.values()) == shown
    assert all(loss.item() > 0 for loss in ours.values())


def test_the_discriminators_judge_the_fakes_of_before_the_update() -> None:
    method, batch = cyclegan(), random_batch(0)
    nets, networks = copy.deepcopy(networks_of(method)), networks_of(method)
    asked: dict[str, list[Tensor]] = {"discriminator_a": [], "discriminator_b": []}
    for name, seen in asked.items():
        networks[name].register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))

    def update(phase: str) -> None:
        for name in GENERATORS if phase == "generators" else ():
            for parameter in networks[name].parameters():
                nn.init.normal_(parameter.data)

    losses, _ = step(method, batch, then=update)
    _, judged = textbook(nets, method.config, batch)
    for name, loss in judged.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-9)
        flattered, *shown = asked[name]
        assert torch.equal(torch.cat(shown)[-len(flattered) :], flattered)
        assert not any(images.requires_grad for images in shown)


def test_the_generators_are_scored_on_new_fakes_and_the_discriminators_on_pooled_ones() -> None:
    method, batch, old = cyclegan(method__pool_size=2), random_batch(0), random_batch(1)
    nets, pools = copy.deepcopy(networks_of(method)), [ImagePool(2), ImagePool(2)]
    for pool, ours, images in zip(
        pools, (method.pool_a, method.pool_b), (old.real_a, old.real_b), strict=True
    ):
        pool.images, ours.images = list(images), list(images)
    losses, _ = step(method, batch)

    rng = np.random.default_rng(0)
    fakes = {"a": nets["generator_ba"](batch.real_b), "b": nets["generator_ab"](batch.real_a)}
    for pool, (side, fake) in zip(pools, fakes.items(), strict=True):
        shown = pool.query(fake, rng)
        assert not torch.equal(shown, fake)
        judge, real = nets[f"discriminator_{side}"], getattr(batch, f"real_{side}")
        judged = 0.5 * (gan(judge(real), 1.0, "lsgan") + gan(judge(shown), 0.0, "lsgan"))
        flattered = gan(judge(fake), 1.0, "lsgan")
        gan_name = {"a": "gan_ba", "b": "gan_ab"}[side]
        assert losses[f"discriminator_{side}"].item() == pytest.approx(judged.item(), rel=1e-9)
        assert losses[gan_name].item() == pytest.approx(flattered.item(), rel=1e-9)


@pytest.mark.parametrize(("channels_a", "channels_b"), [(1, 3), (3, 1), (2, 5)])
def test_each_network_takes_and_gives_the_channels_of_its_domains(
    channels_a: int, channels_b: int
) -> None:
    method = cyclegan(data__channels_a=channels_a, data__channels_b=channels_b)
    batch = random_batch(0, channels=(channels_a, channels_b))
    assert method.generator_ab(batch.real_a).shape == batch.real_b.shape
    assert method.generator_ba(batch.real_b).shape == batch.real_a.shape
    assert method.discriminator_a is not None
    assert method.discriminator_b is not None
    assert method.discriminator_a(batch.real_a).shape == method.discriminator_b(batch.real_b).shape
    losses, _ = step(method, batch)
    assert not any(name.startswith("identity") for name in losses)
