"""The alternating update against the textbook's: four networks in turn."""

import copy
from typing import Any

import pytest
import torch
from textbook import (
    Losses,
    TextbookPool,
    adam,
    assert_same_weights,
    floats,
    gan,
    learner,
    random_batch,
)
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.stream import Purpose, random_at

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"optimizer__max_grad_norm": 0.5},
    "every second": {"method__d_ratio": 2},
    "from identity": {"method__cycle_from_identity": True},
}


def phase(
    g: nn.Module, back: nn.Module, d: nn.Module, real: Tensor, same: Tensor, *, from_identity: bool
) -> tuple[Losses, Tensor]:
    fake = g(real)
    start = g(same) if from_identity else same
    terms = {
        "gan": gan(d(fake), 1.0, "lsgan"),
        "identity": 5 * (g(same) - same).abs().mean(),
        "cycle_there": 10 * (back(fake) - real).abs().mean(),
        "cycle_back": 10 * (g(back(start)) - same).abs().mean(),
    }
    return terms, fake.detach()


def descend_one(losses: Losses, network: nn.Module, optimizer: Any, clip: float) -> None:
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


class Textbook:
    def __init__(self, nets: dict[str, nn.Module], options: dict[str, Any]) -> None:
        self.nets, self.adams = nets, {name: adam(network) for name, network in nets.items()}
        self.clip = options.get("optimizer__max_grad_norm", 0.0)
        self.ratio = options.get("method__d_ratio", 1)
        self.from_identity = options.get("method__cycle_from_identity", False)
        self.pools = {"a": TextbookPool(3), "b": TextbookPool(3)}

    def learn(self, name: str, losses: Losses) -> None:
        descend_one(losses, self.nets[name], self.adams[name], self.clip)

    def step(self, batch: Batch, number: int) -> Losses:
        nets, a, b = self.nets, batch.real_a, batch.real_b
        ab, ba = nets["generator_ab"], nets["generator_ba"]
        d_a, d_b = nets["discriminator_a"], nets["discriminator_b"]
        there, fake_b = phase(ab, ba, d_b, a, b, from_identity=self.from_identity)
        self.learn("generator_ab", there)
        back, fake_a = phase(ba, ab, d_a, b, a, from_identity=self.from_identity)
        self.learn("generator_ba", back)
        losses = {f"{k}_ab": v for k, v in there.items()} | {f"{k}_ba": v for k, v in back.items()}
        if (number + 1) % self.ratio:
            return losses
        rng = random_at(0, Purpose.POOL, number)
        for letter, d, real, fake in (("a", d_a, a, fake_a), ("b", d_b, b, fake_b)):
            pooled = self.pools[letter].query(fake, rng)
            judged = (gan(d(real), 1.0, "lsgan") + gan(d(pooled), 0.0, "lsgan")) / 2
            losses[f"discriminator_{letter}"] = judged
            self.learn(f"discriminator_{letter}", {"judged": judged})
        return losses


@pytest.mark.parametrize("variant", VARIANTS)
def test_six_steps_are_the_textbooks(variant: str) -> None:
    options = VARIANTS[variant]
    ours = learner(method__update="alternating", **options)
    textbook = Textbook({n: copy.deepcopy(net) for n, net in ours.networks.items()}, options)
    for number in range(6):
        wanted = floats(textbook.step(random_batch(number), number))
        ours.step(random_batch(number), learning_rate=1e-3)
        assert ours.take_mean_losses() == pytest.approx(wanted, rel=1e-6)
    assert_same_weights(ours, textbook.nets)


def test_the_pools_are_left_alone_between_the_discriminators_steps() -> None:
    ours = learner(method__update="alternating", method__d_ratio=3)
    sizes = []
    for number in range(4):
        ours.step(random_batch(number, count=1), learning_rate=1e-3)
        sizes.append(len(ours.method.pools()["pool_a"].images))
    assert sizes == [0, 0, 1, 1]
