"""The time, memory and disk space that a planned training needs, measured on this machine.

A few real steps are made, with the pictures of the plan. Nothing is written.
"""

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from imgtranslate.data.loader import Batch, SampleDataset, batches, choose_workers
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.images import Picture, encode_image
from imgtranslate.memory import available_memory, free_space, peak_memory, restart_peak
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.schedule import Schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.compatibility import check_settings
from imgtranslate.settings.config import LARGEST_SIDE, Settings, is_paired, size_multiple
from imgtranslate.training.events import Stop, never
from imgtranslate.training.initial_weights import load_initial
from imgtranslate.training.samples import draw_samples, sample_crops
from imgtranslate.training.train import Plan, failures_explained, is_out_of_memory
from imgtranslate.training.validation import Validation

WARM_UP, STEPS, SECONDS = 2, 3, 3.0  # steps before the measured ones; least of these, and time
# Larger crops are measured too while a step takes less than these seconds, and until the memory
# grows by so many bytes: the growth by small crops is hidden by that of libraries
QUICK, CLEAR = 1.0, 512 * 2**20
# Share of the available memory for the step; on a CPU the cache of pictures takes up to a quarter
USABLE_OF_GPU, USABLE = 0.9, 0.65


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The costs of a training; sizes in bytes."""

    settings: Settings
    device: str
    steps: int
    seconds_per_step: float
    seconds: float  # of the whole training, with validations and samples
    memory: int  # the peak, of the process or on the GPU
    available_memory: int  # for this process
    largest_crop: int  # px, that fits into the memory with the same networks; 0 if unknown
    models: int  # of one step
    best: int  # the models in ``best/``
    state: int
    samples: int
    sample: int  # one of them
    free_disk: int

    @property
    def disk(self) -> int:
        """The size of the run, while a new state is written beside the one before it."""
        return self.models + self.best + 2 * self.state + self.samples * self.sample


def measure_costs(plan: Plan, *, stop: Stop = never) -> Costs | None:
    """Measure steps, a validation and a sample of the plan; None after a stop.

    Raises ``ImgTranslateError`` if the memory does not suffice.
    """
    settings, device, domains = plan.settings, plan.device, plan.report.domains
    crop, every = settings.data.crop_size, settings.train
    total = Schedule(
        settings=settings, longer_side=max(len(each.files) for each in domains)
    ).total_steps()
    meter = MemoryMeter(device)
    available = meter.available()
    limit = available * (USABLE_OF_GPU if device.type == "cuda" else USABLE)

    with failures_explained(Run(plan.out)):
        # Smaller crops tell whether this one fits, before the system ends a process that is too
        # large. Compiling the networks for each would take minutes
        peaks: dict[int, int] = {}
        for side in (crop // 8, crop // 4, crop // 2, crop):
            if len(peaks) >= 2 and _peak_at(side, peaks) > limit:
                raise _too_large(settings, peaks, limit)
            if side < crop and every.compile != "on" and _is_valid(settings, side) and not stop():
                peaks[side] = _peak_of_steps(settings, side, meter)

        # Steps with pictures
        learner = Learner(settings, device)
        if plan.init is not None:
            load_initial(learner, plan.init)
        dataset = SampleDataset(*domains, settings, paired=is_paired(settings.method))
        stream = batches(
            dataset,
            first_position=0,
            num_batches=min(total, 100_000),
            workers=choose_workers(settings, device),
            device=device,
            split=learner.split,
            stop=stop,
        )
        meter.restart()
        try:
            seconds = _seconds_per_step(learner, stream, stop)
        except RuntimeError as error:
            if peaks and is_out_of_memory(error):
                raise _too_large(settings, peaks, limit) from error
            raise
        if seconds is None:
            return None
        missing = _missing_in_pools(learner)
        peaks[crop] = memory = meter.peak() + missing

        # A validation and a sample
        validation = Validation(settings=settings, domains=domains)
        validation.read(device)
        crops = sample_crops(domains, settings)
        began = time.perf_counter()
        validation.measure(learner)
        validated = time.perf_counter()
        sample = len(encode_image(Picture(pixels=draw_samples(learner, crops)), suffix=".png"))
        drawn = time.perf_counter()

        # Files, and the largest crop
        state = sum(tensor.nbytes for tensor in learner.state_tensors().values()) + missing
        models = sum(_bytes(each) for pair in learner.models().values() for each in pair)
        del learner
        side, before = 2 * crop, min(peaks.values())
        while seconds < QUICK and 4 * peaks[side // 2] < limit and _is_valid(settings, side):
            began = time.perf_counter()
            peaks[side] = _peak_of_steps(settings, side, meter)
            each = (time.perf_counter() - began) / 2
            if each > QUICK or peaks[side] - before > CLEAR or stop():
                break
            side *= 2

    validations, samples = total // every.validate_every, math.ceil(total / every.sample_every)
    out = plan.out.absolute()
    return Costs(
        settings=settings,
        device=str(device),
        steps=total,
        seconds_per_step=seconds,
        seconds=total * seconds + validations * (validated - began) + samples * (drawn - validated),
        memory=memory,
        available_memory=available,
        largest_crop=_largest_crop(settings, peaks, limit),
        models=models,
        best=models if all(domain.held_out for domain in domains) else 0,
        state=state,
        samples=samples,
        sample=sample,
        free_disk=free_space(next(each for each in (out, *out.parents) if each.exists())),
    )


@dataclass(frozen=True)
class MemoryMeter:
    """The memory of a device, and the peak of what this process has held there."""

    device: torch.device

    def available(self) -> int:
        """Return the bytes that this process may hold; it must not have made steps yet."""
        match self.device.type:
            case "cuda":
                return torch.cuda.mem_get_info(self.device)[0]
            case "mps":
                return torch.mps.recommended_max_memory()
            case _:
                restart_peak()
                return available_memory() + peak_memory()

    def restart(self) -> None:
        """Forget the peak so far."""
        match self.device.type:
            case "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(self.device)
            case "mps":
                torch.mps.empty_cache()
            case _:
                restart_peak()

    def peak(self) -> int:
        """Return the bytes of the peak."""
        match self.device.type:
            case "cuda":
                return torch.cuda.max_memory_reserved(self.device)
            case "mps":  # which frees little before it needs to
                return torch.mps.driver_allocated_memory()
            case _:
                return peak_memory()


def _seconds_per_step(learner: Learner, stream: Iterator[Batch], stop: Stop) -> float | None:
    """Make steps until enough have been measured; None after a stop."""
    began, step = time.perf_counter(), 0
    for step, batch in enumerate(stream, start=1):
        learner.step(batch, learning_rate=learner.settings.optimizer.lr)
        learner.first_broken_step()  # this waits for a GPU
        now = time.perf_counter()
        if stop() or (step >= WARM_UP + STEPS and now - began > SECONDS):
            break
        if step == WARM_UP:
            began = now
    if stop():
        return None
    return (time.perf_counter() - began) / max(1, step - WARM_UP if step > WARM_UP else step)


def _peak_of_steps(settings: Settings, side: int, meter: MemoryMeter) -> int:
    """Return the peak of two steps at another crop, with pictures of noise.

    The optimizers allocate their state in the first.
    """
    learner = Learner(_with_crop(settings, side), meter.device)
    data, size = settings.data, settings.train.batch_size
    real_a, real_b = (
        torch.rand((size, channels, side, side), device=meter.device) * 2 - 1
        for channels in (data.channels_a, data.channels_b)
    )
    meter.restart()
    for _ in range(2):
        learner.step(Batch(real_a, real_b), learning_rate=settings.optimizer.lr)
        learner.first_broken_step()
    return meter.peak() + _missing_in_pools(learner)


def _missing_in_pools(learner: Learner) -> int:
    """Return the bytes that the image pools will have in addition when they are full."""
    pools = [pool for pool in learner.method.pools().values() if pool.images]
    return sum((pool.size - len(pool.images)) * pool.images[0].nbytes for pool in pools)


def _peak_at(side: int, peaks: Mapping[int, int]) -> float:
    """Return the peak at a crop: a constant, and a part in proportion to the area.

    They follow from the two largest crops that were measured; with a single one the constant
    counts as 0.
    """
    largest, *others = sorted(peaks, reverse=True)
    if not others:
        return peaks[largest] * (side / largest) ** 2
    slope = (peaks[largest] - peaks[others[0]]) / (largest**2 - others[0] ** 2)
    return peaks[largest] + max(slope, 0.0) * (side**2 - largest**2)


def _largest_crop(settings: Settings, peaks: Mapping[int, int], limit: float) -> int:
    """Return the largest crop that the networks take and whose peak is below ``limit``."""
    multiple = size_multiple(settings.generator)
    sides = range(multiple, LARGEST_SIDE + 1, multiple)
    fitting = [side for side in sides if _peak_at(side, peaks) <= limit]
    return next((side for side in reversed(fitting) if _is_valid(settings, side)), 0)


def _too_large(settings: Settings, peaks: Mapping[int, int], limit: float) -> ImgTranslateError:
    largest = _largest_crop(settings, peaks, limit)
    return ImgTranslateError(
        f"data.crop_size {settings.data.crop_size}: a step does not fit into the memory. "
        f"About {largest} px do, with the same networks; or set train.recompute=true, or choose "
        "a smaller train.batch_size or generator.base_channels"
    )


def _with_crop(settings: Settings, side: int) -> Settings:
    data = dataclasses.replace(settings.data, crop_size=side, load_size=side)
    return dataclasses.replace(settings, data=data)


def _is_valid(settings: Settings, side: int) -> bool:
    """Return whether the networks of ``settings`` take this crop."""
    try:
        check_settings(_with_crop(settings, side))
    except UsageError:
        return False
    return 0 < side <= LARGEST_SIDE


def _bytes(network: nn.Module | None) -> int:
    return 0 if network is None else sum(each.nbytes for each in network.state_dict().values())
