"""A method together with everything that changes while it learns, and so must be resumed."""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.randomness import Purpose, integer_at, random_at
from imgtranslate.data.share import WHOLE, Share
from imgtranslate.methods.alternating import AlternatingCycleGan
from imgtranslate.methods.bicyclegan import build_bicyclegan
from imgtranslate.methods.cyclegan import build_cyclegan
from imgtranslate.methods.draws import draws_of, share_dropout
from imgtranslate.methods.execution import choose_execution
from imgtranslate.methods.moments import moments, restore_moments
from imgtranslate.methods.pix2pix import build_pix2pix
from imgtranslate.methods.step import Losses, Method, Networks, Phases, evaluating, minimise
from imgtranslate.methods.team import ALONE, Team
from imgtranslate.methods.turns import Turns, dealing_of
from imgtranslate.networks import Resnet18Encoder, initialise, initialise_as_resnet
from imgtranslate.settings.config import (
    BicycleGanConfig,
    CycleGanConfig,
    InitSettings,
    OptimizerSettings,
    Pix2PixConfig,
    Settings,
)

Tensors = dict[str, Tensor]
SOUND = -1  # no step has broken


class Learner:
    """Networks, optimizers, pools, averages and the sums of the losses not yet logged.

    All randomness is a function of (seed, step), so these tensors and ``steps_done`` are the
    whole state: a learner that restores them goes on as if it had never stopped. The processes of
    a ``team`` hold the same and learn together.
    """

    def __init__(self, settings: Settings, device: torch.device, *, team: Team = ALONE) -> None:
        self.device = device
        self.seed = settings.train.seed
        self.ema_decay = settings.train.ema_decay
        self.crop_size = settings.data.crop_size
        self.max_grad_norm = settings.optimizer.max_grad_norm
        self.execution = choose_execution(settings.train, device)
        self.method: Method = build_method(settings)
        optimized = {name: part for name, part in self.method.optimized().items() if part}
        self.networks: Networks = {n: m for part in optimized.values() for n, m in part.items()}
        _initialise(self.networks, settings.init, seed=self.seed, device=device)
        self.averages = {
            name: copy.deepcopy(self.networks[name]).requires_grad_(False)
            for names in self.method.models().values()
            for name in names
            if self.ema_decay
        }
        for network in self.networks.values():
            self.execution.prepare(network)
        self.optimizers = {
            name: _optimizer(part, settings.optimizer) for name, part in optimized.items()
        }
        shares = dealing_of(settings, team).shares()
        self.turns = Turns(
            team=team,
            shares=shares,
            pools=list(self.method.pools().values()),
            dropouts=share_dropout(self.networks.values()) if shares != [WHOLE] else [],
            device=device,
        )
        self.steps_done = 0
        self.loss_sums: Tensors = {}  # since the last call of take_mean_losses
        self.loss_counts: dict[str, int] = {}
        self.validations: list[float] = []  # for the plateau schedule and the best checkpoint
        self.rate_factor = 1.0  # of the learning rate; lower once the losses were not finite
        self.broken_at = torch.tensor(SOUND, device=device)  # the first step without finite losses

    def step(self, batch: Batch, *, learning_rate: float) -> None:
        """Learn from one batch, or from this process's part of it."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * self.rate_factor
        torch.manual_seed(integer_at(self.seed, Purpose.LAYERS, self.steps_done))  # dropout
        with self.execution.step():
            losses = self.turns.learn(batch, self._phases, self._minimise)
        self._average()
        self._add(losses)
        self.steps_done += 1

    def take_mean_losses(self) -> dict[str, float]:
        """Return the mean of each loss over the steps since the last call that had it."""
        counts = self.loss_counts
        means = {name: float(self.loss_sums[name]) / counts[name] for name in sorted(counts)}
        self.loss_sums, self.loss_counts = {}, {}
        return means

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, float]:
        """What the method measures beside its losses, on the images of one batch.

        As in translation: dropout would pass for an effect of the code, and in training mode
        batch norm's statistics would learn from being looked at.
        """
        rng = random_at(self.seed, Purpose.MEASURES, self.steps_done)
        with evaluating(*self.networks.values()):
            measured = self.method.measures(batch, draws_of(rng, self.turns.shares[0]))
        self.turns.team.average(list(measured.values()))
        return {name: float(value) for name, value in measured.items()}

    def first_broken_step(self) -> int | None:
        """The first step, counted from 1, whose losses were not all finite."""
        step = int(self.broken_at)
        return None if step == SOUND else step

    def is_sound(self) -> bool:
        """Whether all that would be saved is finite; of a weight that is not, no loss tells yet."""
        state = self.state_tensors().values()
        return all(bool(t.isfinite().all()) for t in state if t.is_floating_point())

    def is_best(self) -> bool:
        """Whether the last validation is better than all before."""
        return bool(self.validations) and best_of(self.validations) == len(self.validations) - 1

    def models(self) -> dict[str, tuple[nn.Module, nn.Module | None]]:
        """Generator and encoder to use, by direction: averaged ones where averaging is on."""
        networks = self.averages or self.networks
        return {
            direction: (networks[names[0]], networks[names[1]] if len(names) > 1 else None)
            for direction, names in self.method.models().items()
        }

    def restart_averages(self) -> None:
        """Let the averages begin at the networks' present weights."""
        for name, average in self.averages.items():
            average.load_state_dict(self.networks[name].state_dict())

    def state_tensors(self) -> Tensors:
        """Everything that cannot be computed anew, by name; the live tensors, not copies."""
        state = {
            **_prefixed(self.networks),
            **{f"ema_{name}": tensor for name, tensor in _prefixed(self.averages).items()},
            **{f"loss_sum/{name}": total for name, total in self.loss_sums.items()},
            **{f"loss_count/{n}": torch.tensor(count) for n, count in self.loss_counts.items()},
            "validations": torch.tensor(self.validations, dtype=torch.float64),
            "rate_factor": torch.tensor(self.rate_factor, dtype=torch.float64),
        }
        for name, pool in self.method.pools().items():
            state |= {f"{name}/{key}": tensor for key, tensor in pool.tensors().items()}
        for name, optimizer in self.optimizers.items():
            state |= {f"{name}/{key}": tensor for key, tensor in moments(optimizer).items()}
        return state

    def restore(self, state: Tensors, *, steps_done: int) -> None:
        """Take up what ``state_tensors`` gave.

        Raises ``KeyError``, ``IndexError``, ``ValueError`` or ``RuntimeError`` if it is unfit.
        """
        for name, network in self.networks.items():
            network.load_state_dict(_part(state, name))
        for name, network in self.averages.items():
            network.load_state_dict(_part(state, f"ema_{name}"))
        for name, pool in self.method.pools().items():
            stored = _part(state, name)
            _refuse_unfit_pool(stored, count=pool.size, side=self.crop_size)
            pool.restore(stored, self.device)
        for name, optimizer in self.optimizers.items():
            restore_moments(optimizer, _part(state, name))
        sums, counts = _part(state, "loss_sum"), _part(state, "loss_count")
        _refuse_unfit_sums(sums, counts)
        self.loss_sums = {name: total.to(self.device) for name, total in sums.items()}
        self.loss_counts = {name: int(count) for name, count in counts.items()}
        self.validations = state["validations"].reshape(-1).tolist()
        self.rate_factor = float(state["rate_factor"])
        self.broken_at.fill_(SOUND)
        self.steps_done = steps_done

    def _phases(self, batch: Batch, share: Share) -> Phases:
        rng = random_at(self.seed, Purpose.POOL, self.steps_done)
        return self.method.step(batch, draws_of(rng, share), number=self.steps_done)

    def _minimise(self, name: str, losses: Mapping[str, Tensor]) -> None:
        if name in self.optimizers:
            minimise(
                losses,
                self.optimizers[name],
                max_grad_norm=self.max_grad_norm,
                part=self.turns.part,
                parts=self.turns.parts,
                team=self.turns.team,
            )

    def _add(self, losses: Losses) -> None:
        for name, loss in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0) + loss.detach()
            self.loss_counts[name] = self.loss_counts.get(name, 0) + 1
        finite = torch.stack([loss.detach().isfinite() for loss in losses.values()]).all()
        first = (self.broken_at == SOUND) & ~finite  # asked on the device: no step waits for it
        self.broken_at.masked_fill_(first, self.steps_done + 1)

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights, short-sighted in the first steps."""
        decay = min(self.ema_decay, (1 + self.steps_done) / (10 + self.steps_done))
        for name, average in self.averages.items():
            current = self.networks[name].state_dict()
            for key, value in average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(current[key], 1 - decay)
                else:  # batch norm's counter
                    value.copy_(current[key])


def best_of(validations: Sequence[float]) -> int:
    """The place of the best of some validations, the first of equals; what is no number is last."""
    return min(range(len(validations)), key=lambda n: (math.isnan(validations[n]), validations[n]))


def parameter_count(learner: Learner) -> int:
    """The number of weights that learn."""
    return sum(p.numel() for network in learner.networks.values() for p in network.parameters())


def build_method(settings: Settings) -> Method:
    """Build the method with its networks, uninitialised."""
    match settings.method:
        case CycleGanConfig(update="joint"):
            return build_cyclegan(settings)
        case CycleGanConfig():
            return AlternatingCycleGan(joint=build_cyclegan(settings))
        case Pix2PixConfig():
            return build_pix2pix(settings)
        case BicycleGanConfig():
            return build_bicyclegan(settings)


def _initialise(
    networks: Mapping[str, nn.Module], settings: InitSettings, *, seed: int, device: torch.device
) -> None:
    """Draw weights on the CPU, so that they are the same on every device.

    The layout stays contiguous: on a CPU channels-last measured no faster (docs/performance.md).
    """
    for index, network in enumerate(networks.values()):
        generator = torch.Generator().manual_seed(integer_at(seed, Purpose.WEIGHTS, index))
        if isinstance(network, Resnet18Encoder):
            initialise_as_resnet(network, generator=generator)
        else:
            initialise(network, init=settings.kind, gain=settings.gain, generator=generator)
        network.to(device)


def _optimizer(networks: Networks, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """One parameter group for each network, so that each is clipped by itself."""
    groups = [{"params": list(network.parameters())} for network in networks.values()]
    match settings.kind:
        case "adam":
            betas = (settings.beta1, settings.beta2)
            return torch.optim.Adam(groups, lr=settings.lr, betas=betas, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=settings.lr)


def _prefixed(networks: Mapping[str, nn.Module]) -> Tensors:
    return {
        f"{name}/{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def _part(state: Tensors, prefix: str) -> Tensors:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def _refuse_unfit_pool(stored: Tensors, *, count: int, side: int) -> None:
    for images in stored.values():
        if images.dim() != 4 or len(images) > count or tuple(images.shape[2:]) != (side, side):
            raise ValueError(f"a pool is {list(images.shape)}, not {count} images of {side} px")


def _refuse_unfit_sums(sums: Tensors, counts: Tensors) -> None:
    if sums.keys() != counts.keys():
        raise ValueError("losses have a sum or a count alone")
    for name, count in counts.items():
        if count.numel() != 1 or sums[name].numel() != 1 or not count >= 1:
            raise ValueError(f"the sum or the count of loss {name} is not one number")
