"""How often networks are run, and who learns when."""

from methods.textbook import learner, random_batch
from torch import Tensor, nn

from imgtranslate.methods.learner import Learner


def calls_of(ours: Learner) -> dict[str, int]:
    """How many images each network is shown in one step."""
    counts = dict.fromkeys(ours.networks, 0)
    for name, network in ours.networks.items():

        def count(_: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
            counts[name] += len(arguments[0])

        network.register_forward_pre_hook(count)
    ours.step(random_batch(0, count=1), learning_rate=1e-3)
    return counts


def test_a_fake_is_made_once_and_a_weight_of_zero_runs_nothing() -> None:
    full = {"generator_ab": 3, "generator_ba": 3, "discriminator_a": 3, "discriminator_b": 3}
    assert calls_of(learner()) == full
    assert calls_of(learner(method__lambda_identity=0.0))["generator_ab"] == 2
    assert calls_of(learner(method__lambda_b=0.0)) == {**full, "generator_ab": 1}
    assert calls_of(learner(method__lambda_gan_ab=0.0)) == {
        name: count for name, count in full.items() if name != "discriminator_b"
    }


def test_gradients_reach_exactly_the_networks_that_learn() -> None:
    ours = learner()
    seen: dict[str, set[str]] = {}
    for name, optimizer in ours.optimizers.items():

        def look(*_: object, name: str = name) -> None:
            seen[name] = {
                n
                for n, net in ours.networks.items()
                if any(p.grad is not None for p in net.parameters())
            }

        optimizer.register_step_pre_hook(look)
    ours.step(random_batch(0), learning_rate=1e-3)
    assert seen == {
        "generators": {"generator_ab", "generator_ba"},
        "discriminators": {"discriminator_a", "discriminator_b"},
    }
