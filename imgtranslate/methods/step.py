"""The parts of a training step: micro-batches, image pool, GAN terms, updates and precision."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._triton import has_triton_package

from imgtranslate.data.sampling import ALL_ROWS, Rows
from imgtranslate.errors import UsageError
from imgtranslate.losses import (
    GanMode,
    Logits,
    adversarial_loss,
    fake_loss,
    gradient_penalty,
    real_loss,
)
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup
from imgtranslate.networks.layers import dropout_rows
from imgtranslate.settings.config import Direction, Settings, TrainSettings

COMPILERS = ("g++", "clang++", "cl")  # torch.compile needs one of them on a CPU
LARGEST_GRADIENT = 1e6  # of one weight; ordinary pictures give less than 1e3

Models = Mapping[Direction, tuple[str, ...]]  # names of the generator, and of an encoder
Losses = dict[str, Tensor]
Networks = dict[str, nn.Module]
Precision = Literal["fp32", "bf16"]
Optimizers = Mapping[str, torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """Real pictures (n, c, h, w) that one rank runs at once, with the random numbers of their rows.

    Random numbers are drawn for the whole batch, and each micro-batch uses those of its ``rows``,
    so neither gradient accumulation nor the number of ranks changes them.
    """

    real_a: Tensor
    real_b: Tensor
    rng: np.random.Generator
    step: int = 0  # of the training, counted from 0
    rows: Rows = ALL_ROWS
    last: bool = True  # of this rank's micro-batches

    def noise(self, numbers: int) -> Tensor:
        """Draw codes z from normal(0, 1): (n, numbers)."""
        count = len(self.real_a) * self.rows.count
        return self.rows.of(noise(self.rng, count, numbers, like=self.real_a))

    def uniform(self) -> Tensor:
        """Draw a number in [0, 1) for each picture: (n,)."""
        whole = self.rng.random(len(self.real_a) * self.rows.count)
        return torch.from_numpy(self.rows.of(whole)).to(self.real_a)

    @contextlib.contextmanager
    def dropout(self) -> Iterator[None]:
        """Make dropout use the rows of this micro-batch in the masks of the whole batch.

        All micro-batches but the last restore the random state of torch for the next one.
        """
        devices = [self.real_a.device] if self.real_a.is_cuda else []
        with dropout_rows(self.rows), torch.random.fork_rng(devices, enabled=not self.last):
            yield


class ImagePool:
    """A history of up to ``size`` fakes, so that a discriminator does not forget earlier ones.

    arXiv 1612.07828, section 2.3; CycleGAN, section 4.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(
        self,
        fakes: Tensor,
        rng: np.random.Generator,
        *,
        rows: Rows = ALL_ROWS,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> Tensor:
        """Replace new fakes (n, c, h, w) by a mix of new and stored ones, image by image.

        ``rows``: the rows of the batch that ``fakes`` were made from. Every rank of ``group`` keeps
        the same pool: it stores the fakes of all ranks, with the random numbers that one process
        would draw for the whole batch.
        """
        if self.size == 0:
            return fakes
        own, everyone = len(fakes), group.gather(fakes)
        count = own * rows.count
        draws = [(rng.random() < 0.5, int(rng.integers(self.size))) for _ in range(count)]
        first = (rows.index - group.rank) * own  # the first draw of this micro-batch over all ranks
        mixed = [
            self._exchange(image, swap, slot)
            for image, (swap, slot) in zip(everyone, draws[first:], strict=False)
        ]
        return torch.stack(mixed[group.rank * own :][:own])

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored images as one tensor (count, c, h, w); an empty pool has none."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Restore the images that ``tensors()`` returned."""
        stored = tensors["images"].to(device) if tensors else ()
        self.images = [image.clone() for image in stored]

    def _exchange(self, image: Tensor, swap: bool, slot: int) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep its whole batch alive
            return image
        if not swap:
            return image  # used, but not stored
        stored, self.images[slot] = self.images[slot], image.clone()
        return stored


class Method(Protocol):
    """A method: networks with weighted losses, and the order in which the networks learn.

    ``models`` are the networks to save by direction. ``optimized`` returns the networks that learn
    by the name of their optimizer. ``step`` learns from one batch and returns the mean of every
    term.
    """

    models: ClassVar[Models]

    def optimized(self) -> dict[str, Networks]: ...  # noqa: D102
    def pools(self) -> dict[str, ImagePool]: ...  # noqa: D102
    def step(  # noqa: D102
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses: ...


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """The unweighted GAN terms of a generator and a discriminator."""

    gan_mode: GanMode
    lambda_penalty: float
    stackable: bool  # whether there is no batch norm, so that images of a batch are independent

    def of_generator(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        """Return the loss of the generator that made ``fake``."""
        return adversarial_loss(discriminator(fake), gan_mode=self.gan_mode)

    def of_discriminator(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, batch: MicroBatch
    ) -> Tensor:
        """Return the sum of real and fake term, and for ``wgangp`` of the gradient penalty.

        ``fake`` is detached. CycleGAN and pix2pix halve the sum.
        """
        real_logits, fake_logits = self._logits(discriminator, real, fake)
        loss = real_loss(real_logits, gan_mode=self.gan_mode)
        loss = loss + fake_loss(fake_logits, gan_mode=self.gan_mode)
        if self.gan_mode == "wgangp" and self.lambda_penalty:
            penalty = gradient_penalty(discriminator, real, fake, mix=batch.uniform())
            loss = loss + self.lambda_penalty * penalty
        return loss

    def _logits(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor
    ) -> tuple[Logits, Logits]:
        if not self.stackable or real.shape != fake.shape:
            return discriminator(real), discriminator(fake)
        logits = discriminator(torch.cat([real, fake]))  # one pass is faster
        if isinstance(logits, Tensor):
            real_logits, fake_logits = logits.chunk(2)
            return real_logits, fake_logits
        halves = [scale.chunk(2) for scale in logits]
        return [real for real, _ in halves], [fake for _, fake in halves]


def build_adversarial_loss(settings: Settings) -> AdversarialLoss:
    """Build the GAN terms of a method."""
    return AdversarialLoss(
        gan_mode=settings.method.gan_mode,
        lambda_penalty=settings.method.lambda_penalty,
        stackable=settings.discriminator.norm != "batch",
    )


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients flow through ``networks`` but not into their weights.

    Only the forward pass must be inside the block; the backward pass may follow later.
    """
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


@contextlib.contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Set ``networks`` to evaluation mode, uncompiled, as compiling each size takes minutes."""
    for network in networks:
        network.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for network in networks:
            network.train()


def backward(losses: Losses, *, micro_batches: int = 1) -> Losses:
    """Accumulate the gradient of the sum of all terms / ``micro_batches``; return them detached."""
    if losses:
        total = torch.stack(list(losses.values())).sum()
        (total / micro_batches).backward()  # type: ignore[no-untyped-call]
    return {name: loss.detach() for name, loss in losses.items()}


def update(optimizer: torch.optim.Optimizer, *, group: ProcessGroup = SINGLE_PROCESS) -> None:
    """Update the weights by the mean gradient of all ranks, then clear the gradients.

    A parameter group is a network, whose gradient is clipped to the norm ``max_grad_norm`` unless
    that is 0.
    """
    weights = [weight for part in optimizer.param_groups for weight in part["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    group.average(gradients)
    # On flat pictures each norm multiplies gradients by up to 316, and Adam squares them. A loss
    # that is not finite changes no weight.
    for gradient in gradients:
        gradient.nan_to_num_(0.0).clamp_(-LARGEST_GRADIENT, LARGEST_GRADIENT)
    for part in optimizer.param_groups:
        if part.get("max_grad_norm"):
            nn.utils.clip_grad_norm_(part["params"], part["max_grad_norm"])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.clear_autocast_cache()  # the converted weights of before this update


def mean_losses(terms: Sequence[Losses], *, group: ProcessGroup = SINGLE_PROCESS) -> Losses:
    """Average each term over the micro-batches that have it, and over all ranks."""
    names = dict.fromkeys(name for losses in terms for name in losses)
    means = {
        name: torch.stack([losses[name] for losses in terms if name in losses]).mean()
        for name in names
    }
    group.average(list(means.values()))
    return means


def detached(fake: Tensor | None) -> Tensor | None:
    """Detach a fake for the discriminators; None stays None."""
    return None if fake is None else fake.detach()


def noise(rng: np.random.Generator, count: int, numbers: int, *, like: Tensor) -> Tensor:
    """Draw codes z (count, numbers) from normal(0, 1), the same on every device."""
    return torch.from_numpy(rng.standard_normal((count, numbers))).to(like)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The precision and compilation of a training on a device, with ``auto`` resolved."""

    device: torch.device
    bf16: bool
    compiled: bool

    def compile(self, network: nn.Module) -> None:
        """Compile a network if requested, without changing its weights and their names."""
        if self.compiled:  # CUDA graphs save kernel launches
            network.compile(mode="reduce-overhead" if self.device.type == "cuda" else "default")

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Set the precision for one step; with bf16 the networks still return float32."""
        with contextlib.ExitStack() as stack:
            if self.device.type == "cuda":
                cudnn = torch.backends.cudnn
                kernels = cudnn.flags(  # benchmark kernels for each of the few shapes
                    enabled=cudnn.enabled,
                    benchmark=not cudnn.deterministic,
                    deterministic=cudnn.deterministic,
                    allow_tf32=cudnn.allow_tf32,
                )
                stack.enter_context(kernels)
            if self.compiled:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            if self.bf16:  # a CPU converts each weight once; ``update`` clears this cache
                kind = self.device.type
                cpu = kind == "cpu"
                stack.enter_context(torch.autocast(kind, torch.bfloat16, cache_enabled=cpu))
            yield


def choose_precision(settings: TrainSettings, device: torch.device) -> Precision:
    """Resolve ``auto`` for a new run: bf16 where the device computes it natively, else fp32.

    These are GPUs of compute capability 8 and higher, and CPUs with AVX-512 BF16 or AMX.
    """
    if settings.precision != "auto":
        return settings.precision
    match device.type:
        case "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        case "cpu":
            native = _has_bf16_instructions()
        case _:
            native = False
    return "bf16" if native else "fp32"


def choose_execution(settings: TrainSettings, device: torch.device) -> Execution:
    """Choose precision and compilation; raise ``UsageError`` if ``device`` does not support them.

    A run records its resolved precision. ``auto`` is in older runs only: bf16 on GPUs of compute
    capability 8 and higher, float32 elsewhere. ``auto`` does not compile: that gains nothing on a
    CPU (docs/performance.md), and no GPU has been measured yet.
    """
    cuda, compiled = device.type == "cuda", settings.compile == "on"
    if compiled and cuda and not has_triton_package():
        raise UsageError(
            "train.compile on: needs triton on a GPU. Install it, or leave train.compile out"
        )
    found = os.environ.get("CXX") or any(shutil.which(name) for name in COMPILERS)
    if compiled and not cuda and not found:
        raise UsageError(
            "train.compile on: needs a C++ compiler. Install g++, or leave train.compile out"
        )
    recorded = settings.precision != "auto"
    bf16 = (recorded or cuda) and choose_precision(settings, device) == "bf16"
    return Execution(device=device, bf16=bf16, compiled=compiled)


def _has_bf16_instructions() -> bool:
    try:
        found = torch.cpu.get_capabilities()
    except AttributeError:  # an older torch
        return False
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16"))
