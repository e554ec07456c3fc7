"""A method together with everything that changes while it learns, and so must be resumed."""

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from imgtranslate.config import OptimizerSettings, Settings
from imgtranslate.data.loader import Batch
from imgtranslate.data.stream import Purpose, integer_at, random_at
from imgtranslate.methods.cyclegan import build_cyclegan
from imgtranslate.methods.step import Method, train_step
from imgtranslate.networks import initialise

Tensors = dict[str, Tensor]


class Learner:
    """Networks, optimizers, pools, averages and the sums of the losses not yet logged.

    All randomness is a function of (seed, step), so these tensors and ``steps_done`` are the
    whole state: a learner that restores them goes on as if it had never stopped.
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self.device = device
        self.seed = settings.train.seed
        self.ema_decay = settings.train.ema_decay
        self.method: Method = build_cyclegan(settings)
        self.networks = self.method.generators() | self.method.discriminators()
        _initialise(self.networks, self.seed, device)
        self.averages = {
            name: copy.deepcopy(network).requires_grad_(False)
            for name, network in self.method.translators().items()
            if self.ema_decay
        }
        self.optimizers = {
            "adam_generators": _adam(self.method.generators(), settings.optimizer),
            "adam_discriminators": _adam(self.method.discriminators(), settings.optimizer),
        }
        self.steps_done = 0
        self.loss_sums: Tensors = {}  # since the last call of take_mean_losses
        self.loss_count = 0

    def step(self, batch: Batch, *, learning_rate: float) -> None:
        """Learn from one batch."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        torch.manual_seed(integer_at(self.seed, Purpose.LAYERS, self.steps_done))  # dropout
        losses = train_step(
            self.method,
            batch,
            generator_optimizer=self.optimizers["adam_generators"],
            discriminator_optimizer=self.optimizers["adam_discriminators"],
            rng=random_at(self.seed, Purpose.POOL, self.steps_done),
        )
        self._average()
        self.loss_sums = {n: self.loss_sums.get(n, 0) + loss for n, loss in losses.items()}
        self.loss_count += 1
        self.steps_done += 1

    def take_mean_losses(self) -> dict[str, float]:
        """Return the mean of each loss since the last call, and start anew."""
        means = {name: float(total) / self.loss_count for name, total in self.loss_sums.items()}
        self.loss_sums, self.loss_count = {}, 0
        return means

    def is_finite(self) -> bool:
        """Whether every loss since the last call of ``take_mean_losses`` was a number."""
        return all(math.isfinite(float(total)) for total in self.loss_sums.values())

    def translators(self) -> dict[str, nn.Module]:
        """The networks to use, by direction: averaged ones where averaging is on."""
        return dict(self.averages or self.method.translators())

    def state_tensors(self) -> Tensors:
        """Everything that cannot be computed anew, by name; the live tensors, not copies."""
        state = {
            **_prefixed(self.networks),
            **{f"ema_{name}": tensor for name, tensor in _prefixed(self.averages).items()},
            **{f"loss_sum/{name}": total for name, total in self.loss_sums.items()},
            "loss_count": torch.tensor(self.loss_count),
        }
        for name, pool in self.method.pools().items():
            state |= {f"{name}/{key}": tensor for key, tensor in pool.tensors().items()}
        for name, optimizer in self.optimizers.items():
            state |= {f"{name}/{key}": tensor for key, tensor in _moments(optimizer).items()}
        return state

    def restore(self, state: Tensors, *, steps_done: int) -> None:
        """Take up what ``state_tensors`` gave; raises ``KeyError`` or ``RuntimeError`` if unfit."""
        for name, network in self.networks.items():
            network.load_state_dict(_part(state, name))
        for name, network in self.averages.items():
            network.load_state_dict(_part(state, f"ema_{name}"))
        for name, pool in self.method.pools().items():
            pool.restore(_part(state, name), self.device)
        for name, optimizer in self.optimizers.items():
            _restore_moments(optimizer, _part(state, name), started=steps_done > 0)
        sums = _part(state, "loss_sum")
        self.loss_sums = {name: total.to(self.device) for name, total in sums.items()}
        self.loss_count = int(state["loss_count"])
        self.steps_done = steps_done

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights, short-sighted in the first steps."""
        decay = min(self.ema_decay, (1 + self.steps_done) / (10 + self.steps_done))
        for name, average in self.averages.items():
            current = self.method.translators()[name].state_dict()
            for key, value in average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(current[key], 1 - decay)
                else:  # batch norm's counter
                    value.copy_(current[key])


def parameter_count(learner: Learner) -> int:
    """The number of weights that learn."""
    return sum(p.numel() for network in learner.networks.values() for p in network.parameters())


def _initialise(networks: Mapping[str, nn.Module], seed: int, device: torch.device) -> None:
    """Draw weights on the CPU, so that they are the same on every device.

    The layout stays contiguous: channels-last gave wrong gradients on the CPU (torch 2.15), which
    ``test_gradients_are_those_of_double_precision`` guards against.
    """
    for index, network in enumerate(networks.values()):
        generator = torch.Generator().manual_seed(integer_at(seed, Purpose.WEIGHTS, index))
        initialise(network, init="normal", gain=0.02, generator=generator)
        network.to(device)


def _adam(networks: Mapping[str, nn.Module], settings: OptimizerSettings) -> torch.optim.Adam:
    parameters = [p for network in networks.values() for p in network.parameters()]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.Adam(parameters, lr=settings.lr, betas=betas, fused=True)


def _prefixed(networks: Mapping[str, nn.Module]) -> Tensors:
    return {
        f"{name}/{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def _part(state: Tensors, prefix: str) -> Tensors:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def _moments(optimizer: torch.optim.Optimizer) -> Tensors:
    """Adam's step count and both moments of every parameter, by its place in the optimizer."""
    return {
        f"{index}/{key}": tensor
        for index, entry in optimizer.state_dict()["state"].items()
        for key, tensor in entry.items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, moments: Tensors, *, started: bool) -> None:
    """Put moments back; before the first step there are none."""
    if not started:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    entries = {
        index: {
            "step": moments[f"{index}/step"],
            # fused kernels walk weights and moments in one order: lay them out alike
            **{
                key: torch.empty_like(parameter).copy_(moments[f"{index}/{key}"])
                for key in ("exp_avg", "exp_avg_sq")
            },
        }
        for index, parameter in enumerate(parameters)
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
