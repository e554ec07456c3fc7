"""Training samples and batches by position: read, resize, crop, flip, rotate, colour, stack."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from imgtranslate.data.cache import Caches, local_processes, source_of
from imgtranslate.data.folders import Domain
from imgtranslate.data.readers import start_readers
from imgtranslate.data.sampling import BatchSplit, Purpose, index_at, random_at
from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels
from imgtranslate.images.picture import resize_pixels
from imgtranslate.settings.config import Resample, Settings

MOST_WORKERS = 8
STOP_SECONDS = 0.2  # between two looks for a stop while a batch is awaited
SUBSTITUTES = 100  # most samples that are tried in place of an unreadable one
SUBSTITUTE_DISTANCE = 7919  # positions to the next of them; prime, so that none is in the batch

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

Sample = tuple[Pixels, Pixels]  # of A and of B
Collated = tuple[Pixels, Pixels, tuple[str, ...]]  # uint8 (n, h, w, c) of A and of B, and faults


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains: float (n, c, h, w) in [-1, 1] on one device."""

    real_a: Tensor
    real_b: Tensor
    faults: tuple[str, ...] = ()  # one line for each picture that was skipped


class SampleDataset:
    """The sample at each position: uint8 (crop_size, crop_size, c) of A and of B.

    Unpaired sides are sampled independently. The two pictures of a pair get the same crop, flip and
    rotation. ``caches`` save decoding and do not change samples. From the position ``decay_from``
    on, pictures are loaded at ``crop_size`` if ``data.crop_size_in_decay`` asks for it.
    """

    def __init__(
        self,
        domain_a: Domain,
        domain_b: Domain,
        settings: Settings,
        *,
        paired: bool,
        caches: Caches | None = None,
        decay_from: int | None = None,
    ) -> None:
        self.data = data = settings.data
        self.decay_from = decay_from if data.crop_size_in_decay else None
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
        pixels = self._resized(self._index_at(position, side=side), side=side)
        if self.decay_from is not None and position >= self.decay_from:
            pixels = resize_shorter(pixels, self.data.crop_size, resample=self.resamples[side])
        sample = random_crop(
            pixels,
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
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Batch]:
    """Yield ``num_batches`` batches, starting at ``first_position``.

    The number of workers does not change the batches. ``split``: the size of a batch, and the rows
    of it that this rank reads. Ends early if ``stop`` returns True while a batch is awaited. Raises
    ``ImageError`` if a picture cannot be read, ``ReaderError`` if a worker dies.
    """
    read_all = partial(_read_all, dataset, split, first_position, num_batches)
    readers = start_readers(read_all, workers=min(workers, num_batches))
    try:
        for number in range(num_batches):
            reader = readers[number % len(readers)]
            while (found := reader.take(seconds=STOP_SECONDS)) is None:
                if stop():
                    return
            if isinstance(found, ImageError):
                raise found
            yield _to_batch(found, device)
    finally:
        for reader in readers:
            reader.close()


def _read_all(
    dataset: SampleDataset, split: BatchSplit, first: int, count: int, start: int, every: int
) -> Iterator[Collated | ImageError]:
    """Read the batches ``start``, ``start + every``, … of ``count``."""
    for positions in itertools.islice(split.positions(first, count), start, None, every):
        yield _read_batch(dataset, positions)


def _read_batch(dataset: SampleDataset, positions: Sequence[int]) -> Collated | ImageError:
    """Read and stack samples; with ``data.skip_unreadable``, others in place of unreadable ones."""
    samples: list[Sample] = []
    faults: list[str] = []
    for position in positions:
        sample = dataset[position]
        for number in range(1, SUBSTITUTES + 1 if dataset.data.skip_unreadable else 1):
            if not isinstance(sample, ImageError):
                break
            faults.append(str(sample))
            sample = dataset[position + number * SUBSTITUTE_DISTANCE]
        if isinstance(sample, ImageError):
            return sample
        samples.append(sample)
    a, b = (np.stack(side) for side in zip(*samples, strict=True))
    return a, b, tuple(faults)


def _to_batch(collated: Collated, device: torch.device) -> Batch:
    a, b, faults = collated
    sides = [torch.from_numpy(pixels) for pixels in (a, b)]
    if device.type == "cuda":
        sides = [pixels.pin_memory() for pixels in sides]
    real_a, real_b = (to_device(pixels, device) for pixels in sides)
    return Batch(real_a, real_b, faults)


def choose_workers(settings: Settings, device: torch.device) -> int:
    """Choose the number of reader processes, at most one for each core.

    By default there are none on a CPU, where the network needs the cores.
    """
    asked, cores = settings.data.workers, (os.cpu_count() or 1) // local_processes()
    if asked != "auto":
        return min(asked, max(1, cores))
    return 0 if device.type == "cpu" else max(0, min(MOST_WORKERS, cores - 1))


def to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """Convert uint8 (n, h, w, c) to float (n, c, h, w) in [-1, 1]."""
    planes = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # dividing uint8 gives the same values more slowly on a CPU
    values = planes.to(torch.float32, memory_format=torch.contiguous_format)
    return values.div_(127.5).sub_(1)
