"""The learner: a method with all the state that a resumed training must restore."""

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import BatchSplit, Purpose, integer_at, random_at
from imgtranslate.losses import l1
from imgtranslate.methods.bicyclegan import build_bicyclegan
from imgtranslate.methods.cut import build_cut
from imgtranslate.methods.cyclegan import AlternatingCycleGan, build_cyclegan
from imgtranslate.methods.pix2pix import build_pix2pix
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup
from imgtranslate.methods.step import Method, MicroBatch, Networks, choose_execution, evaluating
from imgtranslate.networks import Resnet18Encoder, initialise, initialise_as_resnet
from imgtranslate.settings.config import (
    BicycleGanConfig,
    CutConfig,
    CycleGanConfig,
    Direction,
    OptimizerSettings,
    Pix2PixConfig,
    Settings,
    latent_dim,
    learns_from_halves,
)

Tensors = dict[str, Tensor]
ALL_FINITE = -1  # stands for "no step yet with losses that are not finite"


class Learner:
    """The networks, optimizers, image pools, averages and unlogged loss sums of a training.

    All randomness is a function of (seed, step), so these tensors and ``steps_done`` are the whole
    state: a learner that restores them continues as if it had never stopped. All ranks of ``group``
    hold the same state.
    """

    def __init__(
        self, settings: Settings, device: torch.device, *, group: ProcessGroup = SINGLE_PROCESS
    ) -> None:
        self.settings, self.device, self.group = settings, device, group
        self.split = BatchSplit(
            batch_size=settings.train.batch_size,
            rank=group.rank,
            ranks=group.size,
            accumulate=settings.train.accumulate,
            halves=learns_from_halves(settings.method),
        )
        self.seed = settings.train.seed
        self.execution = choose_execution(settings.train, device)

        # Networks and their averages
        self.method: Method = build_method(settings)
        optimized = {name: part for name, part in self.method.optimized().items() if part}
        self.networks: Networks = {n: m for part in optimized.values() for n, m in part.items()}
        for index, network in enumerate(self.networks.values()):  # drawn on the CPU, then moved
            rng = torch.Generator().manual_seed(integer_at(self.seed, Purpose.WEIGHTS, index))
            if isinstance(network, Resnet18Encoder):
                initialise_as_resnet(network, generator=rng)
            else:
                init = settings.init
                initialise(network, init=init.kind, gain=init.gain, generator=rng)
            network.to(device)  # contiguous: channels-last is no faster (docs/performance.md)
        self.averages = {
            name: copy.deepcopy(self.networks[name]).requires_grad_(False)
            for names in self.method.models.values()
            for name in names
            if settings.train.ema_decay
        }
        for network in self.networks.values():
            self.execution.compile(network)

        # The other state
        self.optimizers = {
            name: _build_optimizer(part, settings.optimizer) for name, part in optimized.items()
        }
        self.steps_done = 0
        self.loss_sums: Tensors = {}  # since the last take_mean_losses
        self.loss_counts: dict[str, int] = {}
        self.validations: list[float] = []  # for the plateau schedule and the best checkpoint
        self.rate_factor = 1.0  # of the learning rate, lowered after losses that were not finite
        self.broken_at = torch.tensor(ALL_FINITE, device=device)

    def step(self, batch: Batch, *, learning_rate: float) -> None:
        """Learn from one batch; each rank passes its own rows of it."""
        # Learning rate
        for optimizer in self.optimizers.values():
            for part in optimizer.param_groups:
                part["lr"] = learning_rate * self.rate_factor

        # Losses, gradients and updates, in the order of the method's paper
        torch.manual_seed(integer_at(self.seed, Purpose.LAYERS, self.steps_done))  # dropout
        with self.execution.step():
            losses = self.method.step(self._micro_batches(batch), self.optimizers, group=self.group)

        # Exponential moving average of the weights, with a shorter memory in the first steps
        decay = min(self.settings.train.ema_decay, (1 + self.steps_done) / (10 + self.steps_done))
        for name, average in self.averages.items():
            current = self.networks[name].state_dict()
            for key, value in average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(current[key], 1 - decay)
                else:  # the counter of batch norm
                    value.copy_(current[key])

        # Loss sums, and the first step with a loss that is not finite, without waiting for a GPU
        for name, loss in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0) + loss
            self.loss_counts[name] = self.loss_counts.get(name, 0) + 1
        finite = torch.stack([loss.isfinite() for loss in losses.values()]).all()
        first_broken = (self.broken_at == ALL_FINITE) & ~finite
        self.broken_at.masked_fill_(first_broken, self.steps_done + 1)
        self.steps_done += 1

    def take_mean_losses(self) -> dict[str, float]:
        """Return the mean of each loss over the steps since the last call."""
        counts = self.loss_counts
        means = {name: float(self.loss_sums[name]) / counts[name] for name in sorted(counts)}
        self.loss_sums, self.loss_counts = {}, {}
        return means

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, float]:
        """Measure ``diversity`` on one batch; empty if the generator takes no code.

        It is the mean difference between two samples of one input, as a share of the range; 0 means
        that z is ignored. Measured in evaluation mode, because dropout would look like an effect of
        the code, and the statistics of batch norm would change.
        """
        numbers = latent_dim(self.settings.generator)
        if not numbers:
            return {}
        micro_batch = MicroBatch(
            real_a=batch.real_a,
            real_b=batch.real_b,
            rng=random_at(self.seed, Purpose.MEASURES, self.steps_done),
            rows=self.split.micro_batches()[0],
        )
        generator = self.networks["generator"]
        with evaluating(generator):
            codes = (micro_batch.noise(numbers) for _ in range(2))
            one, other = (generator(batch.real_a, z) for z in codes)
        diversity = l1(one, other) / 2
        self.group.average([diversity])
        return {"diversity": float(diversity)}

    def first_broken_step(self) -> int | None:
        """Return the first step, counted from 1, with a loss that is not finite, or None."""
        step = int(self.broken_at)
        return None if step == ALL_FINITE else step

    def is_finite(self) -> bool:
        """Return whether the whole state is finite: weights can break before losses do."""
        state = self.state_tensors().values()
        return all(bool(t.isfinite().all()) for t in state if t.is_floating_point())

    def is_best(self) -> bool:
        """Return whether the validation of this step is the best so far."""
        best = self.best()
        return best is not None and best[1] == self.steps_done

    def best(self) -> tuple[float, int] | None:
        """Return the lowest validation, the first of equal ones, and its step; NaN is highest."""
        every = self.settings.train.validate_every
        found = ((value, every * n) for n, value in enumerate(self.validations, start=1))
        return min(found, key=lambda best: (math.isnan(best[0]), best[0]), default=None)

    def models(self) -> dict[Direction, tuple[nn.Module, nn.Module | None]]:
        """Return the generator and encoder to save, by direction: averages if there are any."""
        networks = self.averages or self.networks
        return {
            direction: (networks[names[0]], networks[names[1]] if len(names) > 1 else None)
            for direction, names in self.method.models.items()
        }

    def restart_averages(self) -> None:
        """Set the averages to the current weights of the networks."""
        for name, average in self.averages.items():
            average.load_state_dict(self.networks[name].state_dict())

    def state_tensors(self) -> Tensors:
        """Return the tensors of the training state by name, without copying them."""
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
            for index, entry in optimizer.state_dict()["state"].items():
                state |= {f"{name}/{index}/{key}": tensor for key, tensor in entry.items()}
        return state

    def restore(self, state: Tensors, *, steps_done: int) -> None:
        """Restore the tensors of ``state_tensors``.

        Raises ``KeyError``, ``IndexError``, ``ValueError`` or ``RuntimeError`` if they do not fit.
        """
        data, method = self.settings.data, self.settings.method
        weights = next(p.dtype for each in self.networks.values() for p in each.parameters())
        for name, tensor in state.items():
            _check_tensor(name, tensor, weights=weights)
        for name, network in self.networks.items():
            network.load_state_dict(_part(state, name))
        for name, network in self.averages.items():
            network.load_state_dict(_part(state, f"ema_{name}"))
        a, b, side = data.channels_a, data.channels_b, data.crop_size
        conditional = isinstance(method, Pix2PixConfig) and method.conditional
        channels = {"pool_a": a, "pool_b": b, "pool": a + b if conditional else b}
        for name, pool in self.method.pools().items():
            stored = _part(state, name)
            _check_pool(stored, count=pool.size, shape=(channels[name], side, side))
            pool.restore(stored, self.device)
        for name, optimizer in self.optimizers.items():
            _restore_optimizer(optimizer, _part(state, name))
        sums, counts = _part(state, "loss_sum"), _part(state, "loss_count")
        if sums.keys() != counts.keys() or not all(count >= 1 for count in counts.values()):
            raise ValueError("the sums and the counts of the losses contradict each other")
        self.loss_sums = {name: total.reshape(()).to(self.device) for name, total in sums.items()}
        self.loss_counts = {name: int(count) for name, count in counts.items()}
        self.validations = state["validations"].reshape(-1).tolist()
        self.rate_factor = float(state["rate_factor"])
        if not 0 < self.rate_factor <= 1:
            raise ValueError(f"rate_factor is {self.rate_factor:g}, not in (0, 1]")
        self.broken_at.fill_(ALL_FINITE)
        self.steps_done = steps_done

    def _micro_batches(self, batch: Batch) -> list[MicroBatch]:
        """Divide a batch; every micro-batch starts from the same random state."""
        rows = self.split.micro_batches()
        sides = (side.chunk(len(rows)) for side in (batch.real_a, batch.real_b))
        return [
            MicroBatch(
                real_a=real_a,
                real_b=real_b,
                rng=random_at(self.seed, Purpose.POOL, self.steps_done),
                step=self.steps_done,
                rows=each,
                last=each is rows[-1],
            )
            for real_a, real_b, each in zip(*sides, rows, strict=True)
        ]


def build_method(settings: Settings) -> Method:
    """Build the method with its networks, uninitialised."""
    match settings.method:
        case CycleGanConfig() as config:
            joint = build_cyclegan(config, settings)
            return joint if config.update == "joint" else AlternatingCycleGan(joint=joint)
        case Pix2PixConfig() as config:
            return build_pix2pix(config, settings)
        case BicycleGanConfig() as config:
            return build_bicyclegan(config, settings)
        case CutConfig() as config:
            return build_cut(config, settings)


def parameter_count(learner: Learner) -> int:
    """Count the trainable weights."""
    return sum(p.numel() for network in learner.networks.values() for p in network.parameters())


def _build_optimizer(networks: Networks, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build an optimizer with one parameter group per network, because ``update`` clips each."""
    groups = [
        {"params": list(network.parameters()), "max_grad_norm": settings.max_grad_norm}
        for network in networks.values()
    ]
    match settings.kind:
        case "adam":
            betas = (settings.beta1, settings.beta2)
            return torch.optim.Adam(groups, lr=settings.lr, betas=betas, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=settings.lr)


OPTIMIZER_STATE = {  # state of each parameter
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.RMSprop: {"step", "square_avg"},
}


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: Tensors) -> None:
    """Restore the state of an optimizer; a parameter without updates has none."""
    parameters = [p for part in optimizer.param_groups for p in part["params"]]
    entries: dict[int, Tensors] = {}
    for name, tensor in state.items():
        place, _, key = name.partition("/")
        parameter = parameters[int(place)]
        shape = torch.Size() if key == "step" else parameter.shape
        if tensor.shape != shape:
            raise ValueError(f"{name} has the shape {list(tensor.shape)}, not {list(shape)}")
        if key != "step":  # fused kernels need the memory layout of the weights
            tensor = torch.empty_like(parameter).copy_(tensor)
        entries.setdefault(int(place), {})[key] = tensor
    for index, entry in entries.items():
        if entry.keys() != OPTIMIZER_STATE[type(optimizer)]:
            raise ValueError(f"the optimizer state of parameter {index} has {sorted(entry)}")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


def _prefixed(networks: Mapping[str, nn.Module]) -> Tensors:
    return {
        f"{name}/{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def _part(state: Tensors, prefix: str) -> Tensors:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def _check_tensor(name: str, tensor: Tensor, *, weights: torch.dtype) -> None:
    """Raise ``ValueError`` for a dtype or for values that ``state_tensors`` does not return."""
    logged = name.startswith(("loss_sum/", "loss_count/")) or name == "validations"
    if name.startswith("loss_count/") or name.endswith("num_batches_tracked"):
        wanted = {torch.int64}
    elif name.startswith("loss_sum/"):
        wanted = {weights, torch.float32, torch.float16, torch.bfloat16}
    elif name in ("validations", "rate_factor"):
        wanted = {torch.float64}
    else:
        wanted = {weights, torch.float32}  # the steps of an optimizer are float32
    if tensor.dtype not in wanted:
        raise ValueError(f"{name} is {tensor.dtype}")
    if not logged and not tensor.isfinite().all():
        raise ValueError(f"{name} has values that are not finite")


def _check_pool(stored: Tensors, *, count: int, shape: tuple[int, int, int]) -> None:
    for images in stored.values():
        if images.dim() != 4 or len(images) > count or tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"an image pool has the shape {list(images.shape)}, not {count} images of "
                f"{list(shape)}"
            )
