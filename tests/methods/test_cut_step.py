"""CUT's and FastCUT's step: every loss and gradient of arXiv 2007.15651, equations 1 to 5.

The wrong forms that other implementations have, and the test that each fails: keys with a gradient,
negatives of other pictures, a projection that does not learn, the half of the identity term
missing, keys of mirrored pictures, a sum over the taps in place of their mean:
``test_losses_gradients_and_weights``. Taps by their place in the network: the same, and
``test_taps_are_named_by_meaning`` in ``tests/networks``. Not a number on a flat picture:
``test_flat_pictures_train``.
"""

from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from methods.gradients import Book, hold, penalty
from methods.textbook import Losses, floats, gan, generator_gan, learner, random_batch
from torch import Tensor, nn

from benchmarks.step import build_batch, build_pair
from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.cut import Cut
from imgtranslate.methods.learner import Learner
from imgtranslate.networks import ResnetGenerator, UnetGenerator
from imgtranslate.settings.config import CutConfig
from imgtranslate.settings.parsing import build_settings

BLURRED = {"generator__antialias": True, "discriminator__antialias": True}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cut": ("cut", {}),
    "cut, antialiased": ("cut", BLURRED),
    "cut, mirrored": ("cut", {"method__flip_equivariance": True}),
    "cut, 6 blocks": ("cut", {"generator__num_blocks": 6}),
    "cut, all places": ("cut", {"method__nce_patches": 2000}),
    "fastcut": ("fastcut", {}),
    "fastcut, antialiased": ("fastcut", BLURRED),
    "wgangp": ("cut", {"method__gan_mode": "wgangp"}),
    "weights": ("cut", {"method__lambda_gan": 3.0, "method__lambda_nce": 7.0}),
    "temperature": ("fastcut", {"method__nce_temperature": 0.5}),
    "taps": ("cut", {"method__nce_taps": "input, block2"}),
    "NCE alone": ("cut", {"method__lambda_gan": 0.0}),
    "GAN alone": ("cut", {"method__lambda_nce": 0.0}),
    "supervised": ("cut", {"method__nce_supervised": True}),
    "supervised, mirrored": ("fastcut", {"method__nce_supervised": True}),
    "unet": ("cut", {"generator__kind": "unet"}),
    "without norms": ("cut", {"generator__norm": "none", "init__gain": 0.3}),
    "clipped": ("cut", {"optimizer__max_grad_norm": 0.5}),
}


def small(method: str, **changes: Any) -> Learner:
    own = {} if changes.get("generator__kind") == "unet" else {"generator__num_blocks": 2}
    own["method__nce_patches"] = 5
    return learner(method, **{**own, **changes})


def all_taps(generator: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Every tap of a generator, layer by layer, without anything in place."""
    found: dict[str, Tensor] = {}
    if isinstance(generator, UnetGenerator):
        found["input"] = x
        for level, layer in enumerate(generator.down, start=1):
            h = x if level == 1 else F.leaky_relu(x, 0.2)
            found[f"down{level}"] = h = cast(Any, layer).conv(h)
            x = cast(Any, layer).norm(h)
        return found
    generator = cast(ResnetGenerator, generator)
    found["input"] = F.pad(x, (3, 3, 3, 3), mode="reflect")
    h = F.relu(generator.stem.norm(generator.stem.conv(x)))
    convolutions = 0
    for layer in generator.down:
        if "conv" in dict(layer.named_children()):
            convolutions += 1
            found[f"down{convolutions}"] = h = cast(Any, layer).conv(h)
            h = F.relu(cast(Any, layer).norm(h))
        else:
            h = layer(h)
    for number, block in enumerate(generator.blocks, start=1):
        found[f"block{number}"] = h = block(h)
    return found


class Contrast:
    """One step: the discriminator first, then generator and projection against it."""

    def __init__(self, ours: Learner) -> None:
        assert isinstance(ours.method, Cut)
        self.config: CutConfig = ours.method.config
        self.taps = ours.method.taps

    def __call__(self, book: Book, batch: Batch, number: int) -> Losses:
        config, mode, a, b = self.config, self.config.gan_mode, batch.real_a, batch.real_b
        rng, nets = random_at(0, Purpose.POOL, number), book.nets
        judge, generator = nets.get("discriminator"), nets["generator"]
        mirrored = config.flip_equivariance and rng.random() < 0.5
        identity = config.nce_identity and config.lambda_nce > 0
        fake = generator(a.flip(3) if mirrored else a)
        same = generator(b.flip(3) if mirrored else b) if identity else None
        losses: Losses = {}
        if judge is not None:
            loss = gan(judge(b), 1.0, mode) + gan(judge(fake.detach()), 0.0, mode)
            if mode == "wgangp":
                share = torch.from_numpy(rng.random(len(b)))
                loss = loss + config.lambda_penalty * penalty(judge, b, fake.detach(), share)
            losses["discriminator"] = loss / 2
            book.learn("discriminators", {"discriminator": [loss / 2]})
        terms: Losses = {}
        if judge is not None:
            terms["gan"] = config.lambda_gan * generator_gan(judge(fake), mode)
        if config.lambda_nce:
            source = b if config.nce_supervised else a
            share_of_each = 0.5 if identity else 1.0
            nce = self.nce(nets, source, fake, rng, mirrored=mirrored)
            terms["nce"] = config.lambda_nce * share_of_each * nce
            if same is not None:
                nce = self.nce(nets, b, same, rng, mirrored=mirrored)
                terms["nce_identity"] = config.lambda_nce * share_of_each * nce
        learning = {"generator": list(terms.values())}
        if config.lambda_nce:
            learning["projection"] = [t for name, t in terms.items() if name != "gan"]
        book.learn("generators", learning)
        return losses | terms

    def nce(
        self,
        nets: dict[str, nn.Module],
        source: Tensor,
        made: Tensor,
        rng: np.random.Generator,
        *,
        mirrored: bool,
    ) -> Tensor:
        """Patch by patch: how much its own place stands out among those of the same picture."""
        of_source, of_made = (all_taps(nets["generator"], x) for x in (source, made))
        mlps = cast(Any, nets["projection"]).mlps
        each = []
        for tap in self.taps:
            key_map, query_map = of_source[tap].detach(), of_made[tap]
            query_map = query_map.flip(3) if mirrored else query_map
            n, _, height, width = key_map.shape
            count = min(self.config.nce_patches, height * width)
            places = rng.choice(height * width, size=count, replace=False, shuffle=False)
            for picture in range(n):
                of_keys, of_queries = (
                    [mlps[tap](x[picture, :, place // width, place % width]) for place in places]
                    for x in (key_map, query_map)
                )
                keys = torch.stack([key.detach() / (key.norm() + 1e-7) for key in of_keys])
                for index, query in enumerate(of_queries):
                    query = query / (query.norm() + 1e-7)
                    near = (keys.detach() @ query / self.config.nce_temperature).exp()
                    each.append(-(near[index] / near.sum()).log() / (n * count))
        return torch.stack(each).sum() / len(self.taps)


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_weights(variant: str) -> None:
    method, changes = VARIANTS[variant]
    if variant == "cut, all places":
        changes = {**changes, "method__nce_taps": "block1"}
    ours = small(method, **changes)
    hold(ours, Contrast(ours))


def test_mirrored_and_plain_steps_both_occur() -> None:
    drawn = [random_at(0, Purpose.POOL, number).random() < 0.5 for number in range(3)]
    assert len({*drawn}) == 2  # or the variants above would not test both


@pytest.mark.parametrize("count", [1, 3])
def test_any_batch_size(count: int) -> None:
    ours = small("cut")
    hold(ours, Contrast(ours), count=count)


def test_one_and_five_channels() -> None:
    for channels in (1, 5):
        ours = small("cut", data__channels_a=channels, data__channels_b=channels)
        hold(ours, Contrast(ours), steps=1, channels=(channels, channels))


FOUR_STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "cut with identity, antialiased": ("cut", {"antialias": True}),
    "fastcut without mirroring": ("fastcut", {"flip_equivariance": False}),
    "fastcut": ("fastcut", {}),
}


@pytest.mark.parametrize("case", FOUR_STEPS)
@pytest.mark.parametrize(
    "side", [16, pytest.param(32, marks=pytest.mark.slow), pytest.param(48, marks=pytest.mark.slow)]
)
def test_four_steps_with_all_places_are_the_textbooks(case: str, side: int) -> None:
    """The textbook of ``benchmarks`` on torch's own layers: 1e-5 in the first float32 step.

    Two pictures, because torch's instance norm gives wrong gradients for one on a CPU (torch 2.15).
    """
    method, changes = FOUR_STEPS[case]
    blurred, changes = changes.get("antialias", False), {**changes}
    changes.pop("antialias", None)
    layers = {
        "data": {"a": "a", "b": "b", "crop_size": side},
        "generator": {"base_channels": 4, "num_blocks": 2, "antialias": blurred},
        "discriminator": {"base_channels": 4, "num_layers": 2, "antialias": blurred},
        "method": {**changes, "nce_patches": 65_536},
        "train": {"batch_size": 2},
    }
    settings, cpu = build_settings(method=method, layers=[layers]), torch.device("cpu")
    for dtype, steps in ((torch.float32, 1), (torch.float64, 4)):
        textbook, ours = build_pair(settings, cpu)
        for network in (*textbook.nets.values(), *ours.networks.values()):
            network.to(dtype)
        for number in range(steps):
            batch = build_batch(settings, cpu, seed=number)
            batch = Batch(batch.real_a.to(dtype), batch.real_b.to(dtype))
            wanted = textbook.step(batch, random_at(0, Purpose.POOL, number))
            ours.step(batch, learning_rate=settings.optimizer.lr)
            found, near = ours.take_mean_losses(), 1e-5 if dtype == torch.float32 else 1e-8
            assert found == pytest.approx(floats(wanted), rel=near, abs=near)


def flat_batch(values: tuple[float, float], channels: int = 3) -> Batch:
    a, b = (torch.full((2, channels, 32, 32), value) for value in values)
    return Batch(a, b)


@pytest.mark.parametrize("method", ["cut", "fastcut"])
@pytest.mark.parametrize("values", [(0.0, 0.0), (-1.0, 1.0)])
def test_flat_pictures_train(method: str, values: tuple[float, float]) -> None:
    """Their features are zeros, whose length has no gradient in the published form."""
    ours = small(method)
    for network in ours.networks.values():
        network.float()
    finite = list[bool]()
    for weight in ours.networks["projection"].parameters():  # as `update` clears what is not
        weight.register_hook(lambda gradient: finite.append(bool(gradient.isfinite().all())))
    for _ in range(3):
        ours.step(flat_batch(values), learning_rate=1e-3)
    assert finite
    assert all(finite)
    assert ours.is_finite()
    assert ours.first_broken_step() is None


def calls_of(ours: Learner) -> dict[str, list[tuple[str, int, bool]]]:
    """What the generator is asked for in one step: how many pictures, and if with a gradient."""
    method, calls = ours.method, []
    assert isinstance(method, Cut)
    generator = method.generator
    encode, translate = generator.encode, generator.translate_and_encode

    def encoded(x: Tensor, taps: Any) -> Any:
        calls.append(("encode", len(x), torch.is_grad_enabled()))
        return encode(x, taps)

    def translated(x: Tensor, taps: Any) -> Any:
        calls.append(("translate", len(x), torch.is_grad_enabled()))
        return translate(x, taps)

    generator.encode, generator.translate_and_encode = encoded, translated  # type: ignore[method-assign]
    for number in range(3):  # of which one is mirrored with FastCUT
        ours.step(random_batch(number, count=1), learning_rate=1e-3)
    return {"calls": calls}


def test_the_keys_come_from_the_first_pass_unless_it_was_mirrored() -> None:
    mirrored = [random_at(0, Purpose.POOL, number).random() < 0.5 for number in range(3)]
    plain = [("translate", 2, True), ("encode", 2, True)]
    assert calls_of(small("cut"))["calls"] == plain * 3
    once = [("translate", 1, True), ("encode", 1, True)]
    wanted = [call for each in mirrored for call in (*once, *[("encode", 1, False)] * each)]
    assert calls_of(small("fastcut"))["calls"] == wanted
    alone = [("translate", 1, True)] * 3
    assert calls_of(small("cut", method__lambda_nce=0.0))["calls"] == alone
    dropout = small("fastcut", method__flip_equivariance=False, generator__dropout=True)
    assert calls_of(dropout)["calls"] == [*once, ("encode", 1, False)] * 3


def test_a_weight_of_zero_removes_its_networks() -> None:
    assert small("cut", method__lambda_nce=0.0).networks.keys() == {"generator", "discriminator"}
    assert small("cut", method__lambda_gan=0.0).networks.keys() == {"generator", "projection"}


def test_generator_and_projection_share_an_optimizer() -> None:
    ours = small("cut")
    before = [p.detach().clone() for p in ours.networks["projection"].parameters()]
    ours.step(random_batch(0), learning_rate=1e-3)
    after = [*ours.networks["projection"].parameters()]
    assert not any(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    assert ours.optimizers.keys() == {"generators", "discriminators"}
    assert any(name.startswith("projection/mlps.input") for name in ours.state_tensors())


def test_features_are_the_same_in_recomputed_layers() -> None:
    plain, recomputed = small("cut"), small("cut", train__recompute=True)
    for number in range(3):
        for ours in (plain, recomputed):
            ours.step(random_batch(number), learning_rate=1e-3)
    assert plain.take_mean_losses() == recomputed.take_mean_losses()


def test_bf16_trains_with_float32_similarities() -> None:
    ours = small("cut", train__precision="bf16")
    for network in ours.networks.values():
        network.float()
    batch = random_batch(0)
    ours.step(Batch(batch.real_a.float(), batch.real_b.float()), learning_rate=1e-3)
    losses = ours.loss_sums
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert ours.is_finite()
