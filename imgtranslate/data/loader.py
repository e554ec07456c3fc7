"""Training samples and batches by position: read, resize, crop, flip, rotate, colour, stack."""

import os
import shutil
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imgtranslate.data.cache import Caches, local_processes, source_of
from imgtranslate.data.folders import Domain
from imgtranslate.data.sampling import BatchSplit, Purpose, index_at, random_at
from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels
from imgtranslate.images.picture import resize_pixels
from imgtranslate.settings.config import Resample, Settings

AHEAD = 2  # batches that the thread reads ahead
MOST_WORKERS = 8
PREFETCHED = 2  # batches that each worker reads ahead

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

Sample = tuple[Pixels, Pixels]  # of A and of B
Collated = tuple[Tensor, Tensor] | ImageError  # uint8 (n, h, w, c) of A and of B, or a fault


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains: float (n, c, h, w) in [-1, 1] on one device."""

    real_a: Tensor
    real_b: Tensor


class SampleDataset(Dataset[Sample | ImageError]):
    """The sample at each position: uint8 (crop_size, crop_size, c) of A and of B.

    Unpaired sides are sampled independently. The two pictures of a pair get the same crop, flip and
    rotation. ``caches`` save decoding and do not change samples.
    """

    def __init__(
        self,
        domain_a: Domain,
        domain_b: Domain,
        settings: Settings,
        *,
        paired: bool,
        caches: Caches | None = None,
    ) -> None:
        self.data = data = settings.data
        self.domains = (domain_a, domain_b)
        self.caches = caches
        self.channels = (data.channels_a, data.channels_b)
        self.resamples = (data.resample_a, data.resample_b)
        self.strengths = (data.colour_a, data.colour_b)
        self.seed = settings.train.seed
        self.streams = (0, 0 if paired else 1)  # the side whose random numbers each side takes

    def __getitem__(self, position: int) -> Sample | ImageError:
        """Read a sample; return an ``ImageError``, as a worker that raises adds a traceback."""
        try:
            return self._sample(position, side=0), self._sample(position, side=1)
        except ImageError as error:
            return error

    def file_at(self, position: int, *, side: int) -> Path:
        """Return the file of the sample of ``side`` (0 or 1) at a position."""
        return self.domains[side].files[self._index_at(position, side=side)]

    def _sample(self, position: int, *, side: int) -> Pixels:
        sample = random_crop(
            self._resized(self._index_at(position, side=side), side=side),
            crop_size=self.data.crop_size,
            flip=self.data.flip,
            rotate=self.data.rotate,
            rng=random_at(self.seed, Purpose.GEOMETRY, self.streams[side], position),
        )
        rng = random_at(self.seed, Purpose.COLOUR, side, position)
        return change_tone(sample, strength=self.strengths[side], rng=rng)

    def _index_at(self, position: int, *, side: int) -> int:
        count = len(self.domains[side].files)
        return index_at(position, count=count, seed=self.seed, side=self.streams[side])

    def _resized(self, index: int, *, side: int) -> Pixels:
        """Return a picture with a shorter side of ``load_size`` px, from the cache or its file."""
        path = self.domains[side].files[index]
        source = source_of(path) if self.caches else None  # computed before the file is read
        cache = self.caches[side] if self.caches and source else None
        pixels = cache.find(index, source) if cache and source else None
        if pixels is None:
            pixels = self.domains[side].read(path, channels=self.channels[side])
            pixels = resize_shorter(pixels, self.data.load_size, resample=self.resamples[side])
            if cache and source:
                cache.store(index, source, pixels)
        return pixels


def random_crop(
    pixels: Pixels, *, crop_size: int, flip: bool, rotate: bool, rng: np.random.Generator
) -> Pixels:
    """Crop a square, mirror it and rotate it by 90 degrees: uint8 (crop_size, crop_size, channels).

    Always draws the same number of values from ``rng``.
    """
    height, width = pixels.shape[:2]
    top, left = rng.integers(height - crop_size + 1), rng.integers(width - crop_size + 1)
    mirrored, quarters = rng.integers(2), rng.integers(4)
    sample = pixels[top : top + crop_size, left : left + crop_size]
    if flip and mirrored:  # faster than a copy of sample[:, ::-1]
        sample = sample.take(np.arange(crop_size)[::-1], axis=1)
    return np.ascontiguousarray(np.rot90(sample, int(quarters) if rotate else 0))


def change_tone(pixels: Pixels, *, strength: float, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast and saturation by random factors within 1 ± ``strength``."""
    factors = 1 + strength * (2 * rng.random(3) - 1)
    if strength == 0 or pixels.shape[2] not in (1, 3):
        return pixels
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    for enhance, factor in zip(_ENHANCERS, factors, strict=True):
        image = enhance(image).enhance(float(factor))
    return np.asarray(image).reshape(pixels.shape)


def centre_sample(pixels: Pixels, *, crop_size: int, resample: Resample) -> Pixels:
    """Resize and crop the largest centred square: uint8 (crop_size, crop_size, channels)."""
    pixels = resize_shorter(pixels, crop_size, resample=resample)
    top, left = ((side - crop_size) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + crop_size, left : left + crop_size])


def resize_shorter(pixels: Pixels, size: int, *, resample: Resample) -> Pixels:
    """Resize the shorter side to ``size`` px and keep the aspect ratio."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter == size:
        return pixels
    target = (max(size, round(width * size / shorter)), max(size, round(height * size / shorter)))
    return resize_pixels(pixels, target, _FILTERS[resample])


def batches(
    dataset: SampleDataset,
    *,
    first_position: int,
    num_batches: int,
    workers: int,
    device: torch.device,
    split: BatchSplit,
) -> Iterator[Batch]:
    """Yield ``num_batches`` batches, starting at ``first_position``.

    The number of workers does not change the batches. ``split``: the size of a batch, and the rows
    of it that this rank reads.
    """
    positions = split.positions(first_position, num_batches)
    found: Iterator[Collated]
    if workers == 0:
        found = _read_in_thread(dataset, positions)
    else:
        loader: DataLoader[Sample | ImageError] = DataLoader(
            dataset,
            batch_sampler=positions,
            num_workers=workers,
            prefetch_factor=PREFETCHED,
            collate_fn=_collate,
            pin_memory=device.type == "cuda",
            worker_init_fn=_ignore_signals,
        )
        found = iter(loader)
    for collated in found:
        if isinstance(collated, ImageError):
            raise collated
        yield Batch(*(to_device(pixels, device) for pixels in collated))


def _read_in_thread(dataset: SampleDataset, positions: Iterable[list[int]]) -> Iterator[Collated]:
    def read(batch: list[int]) -> Collated:
        return _collate([dataset[position] for position in batch])

    pool, ahead = ThreadPoolExecutor(1), deque[Future[Collated]]()
    try:
        for batch in positions:
            ahead.append(pool.submit(read, batch))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_signals(_: int) -> None:
    """Ignore SIGINT and SIGTERM, which reach the whole process group.

    The training process stops its workers itself; they also end when it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def choose_workers(settings: Settings, device: torch.device) -> int:
    """Choose the number of reader processes; 0 on a CPU, where the network needs the cores.

    Workers pass batches through shared memory, which may be small in a container.
    """
    data = settings.data
    if data.workers != "auto":
        return data.workers
    if device.type == "cpu":
        return 0
    batch = settings.train.batch_size * data.crop_size**2 * (data.channels_a + data.channels_b)
    spare = (os.cpu_count() or 1) // local_processes() - 1
    return max(0, min(MOST_WORKERS, spare, _shared_memory() // (PREFETCHED * batch)))


def _shared_memory() -> int:
    """Return the bytes that workers may use: half of the free shared memory."""
    place = Path("/dev/shm")
    return shutil.disk_usage(place).free // 2 if place.is_dir() else 2**62


def _collate(samples: Sequence[Sample | ImageError]) -> Collated:
    good = []
    for sample in samples:
        if isinstance(sample, ImageError):
            return sample
        good.append(sample)
    a, b = (torch.from_numpy(np.stack(side)) for side in zip(*good, strict=True))
    return a, b


def to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """Convert uint8 (n, h, w, c) to float (n, c, h, w) in [-1, 1]."""
    planes = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # dividing uint8 gives the same values more slowly on a CPU
    values = planes.to(torch.float32, memory_format=torch.contiguous_format)
    return values.div_(127.5).sub_(1)
