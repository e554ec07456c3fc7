"""Batches for training, by position."""

import multiprocessing
import os
import shutil
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imgtranslate.data.cache import Caches, processes_here, source_of
from imgtranslate.data.folders import Domain
from imgtranslate.data.randomness import Purpose, index_at, random_at
from imgtranslate.data.share import Dealing, Positions
from imgtranslate.data.transforms import change_tone, cut, draw_geometry, resize_shorter
from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels
from imgtranslate.settings.config import Settings

AHEAD = 2  # batches that are read before they are asked for
MOST_WORKERS = 8
PREFETCHED = 2  # batches of each worker

Sample = tuple[Pixels, Pixels]


Collated = tuple[Tensor, Tensor] | ImageError  # uint8 (n, h, w, c) of A and of B, or a fault


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains: float (n, c, h, w) in [-1, 1] on one device."""

    real_a: Tensor
    real_b: Tensor


class SampleDataset(Dataset[Sample | ImageError]):
    """The sample at each position: uint8 (h, w, c) of A and of B.

    Unpaired, the sides are drawn independently. Paired, they are two pictures of one thing, cut
    and turned alike. ``caches`` keep what was decoded and resized; no sample depends on them.
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
        self.domains = (domain_a, domain_b)
        self.caches = caches
        data = settings.data
        self.channels = (data.channels_a, data.channels_b)
        self.resamples = (data.resample_a, data.resample_b)
        self.strengths = (data.colour_a, data.colour_b)
        self.data = data
        self.seed = settings.train.seed
        self.paired = paired

    def __getitem__(self, position: int) -> Sample | ImageError:
        """Return a fault as a value: raised in a worker it would lose its one line."""
        try:
            return self._sample(position, side=0), self._sample(position, side=1)
        except ImageError as error:
            return error

    def file_at(self, position: int, *, side: int) -> Path:
        """The file that the sample of ``side`` (0 or 1) at a position is cut from."""
        return self.domains[side].files[self._number_at(position, side=side)]

    def _number_at(self, position: int, *, side: int) -> int:
        drawn = 0 if self.paired else side
        count = len(self.domains[side].files)
        return index_at(position, count=count, seed=self.seed, side=drawn)

    def _sample(self, position: int, *, side: int) -> Pixels:
        drawn = 0 if self.paired else side  # one draw for both sides of a pair
        data = self.data
        pixels = self._resized(self._number_at(position, side=side), side=side)
        geometry = draw_geometry(
            pixels.shape[:2],
            crop_size=data.crop_size,
            flip=data.flip,
            rotate=data.rotate,
            rng=random_at(self.seed, Purpose.GEOMETRY, drawn, position),
        )
        sample = cut(pixels, geometry, crop_size=data.crop_size)
        rng = random_at(self.seed, Purpose.COLOUR, side, position)
        return change_tone(sample, strength=self.strengths[side], rng=rng)

    def _resized(self, number: int, *, side: int) -> Pixels:
        """A whole picture, its shorter side ``load_size`` px, from the cache if it is there."""
        path = self.domains[side].files[number]
        source = source_of(path) if self.caches else None
        if self.caches is None or source is None:
            return self._read(path, side=side)
        kept = self.caches[side].find(number, source)
        if kept is None:
            kept = self._read(path, side=side)
            self.caches[side].keep(number, source, kept)
        return kept

    def _read(self, path: Path, *, side: int) -> Pixels:
        pixels = self.domains[side].read(path, channels=self.channels[side])
        return resize_shorter(pixels, self.data.load_size, resample=self.resamples[side])


def batches(
    dataset: SampleDataset,
    *,
    first_position: int,
    batch_size: int,
    num_batches: int,
    workers: int,
    device: torch.device,
    dealing: Dealing | None = None,
) -> Iterator[Batch]:
    """Yield ``num_batches`` batches from ``first_position`` on, whatever the number of workers.

    With ``dealing``, of each batch those samples alone that it deals to this process.
    """
    dealing = dealing or Dealing(batch_size=batch_size)
    positions = dealing.positions(first_position, num_batches)
    read = _read_beside if workers == 0 else _read_elsewhere
    for collated in read(dataset, positions, workers=workers, device=device):
        if isinstance(collated, ImageError):
            raise collated
        yield Batch(*(to_device(pixels, device) for pixels in collated))


def _read_beside(
    dataset: SampleDataset,
    positions: Positions,
    *,
    workers: int,  # noqa: ARG001 - none
    device: torch.device,  # noqa: ARG001
) -> Iterator[Collated]:
    """Read in a thread of this process, some batches ahead of what is asked for."""

    def read(places: Sequence[int]) -> Collated:
        return _collate([dataset[place] for place in places])

    pool, ahead = ThreadPoolExecutor(1), deque[Future[Collated]]()
    try:
        for places in positions.batches():
            ahead.append(pool.submit(read, places))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_elsewhere(
    dataset: SampleDataset, positions: Positions, *, workers: int, device: torch.device
) -> Iterator[Collated]:
    """Read in other processes."""
    loader: DataLoader[Sample | ImageError] = DataLoader(
        dataset,
        sampler=positions,
        batch_size=len(positions.own),
        num_workers=workers,
        prefetch_factor=PREFETCHED,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals_to_the_parent,
    )
    yield from loader


def _leave_signals_to_the_parent(_: int) -> None:
    """Ctrl-C reaches every process of a terminal, a launcher's SIGTERM every one of a group.

    The one that trains stops its readers itself; they end when it is no more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def choose_workers(settings: Settings, device: torch.device) -> int:
    """How many processes read pictures: none where the network itself needs the cores.

    What they have read lies in shared memory until it is fetched; containers may have little of it.
    """
    data = settings.data
    if data.workers != "auto":
        return data.workers
    if device.type == "cpu":
        return 0
    batch = settings.train.batch_size * data.crop_size**2 * (data.channels_a + data.channels_b)
    spare = (os.cpu_count() or 1) // processes_here() - 1
    return max(0, min(MOST_WORKERS, spare, _shared_memory() // (PREFETCHED * batch)))


def share_memory(workers: int) -> bool:
    """Whether readers share what this process has in its memory."""
    return workers == 0 or multiprocessing.get_context().get_start_method() == "fork"


def _shared_memory() -> int:
    """Bytes that processes may pass to each other; half of what is free."""
    place = Path("/dev/shm")
    return shutil.disk_usage(place).free // 2 if place.is_dir() else 2**62


def _collate(samples: Sequence[Sample | ImageError]) -> Collated:
    good = [sample for sample in samples if not isinstance(sample, ImageError)]
    if len(good) < len(samples):
        return next(sample for sample in samples if isinstance(sample, ImageError))
    a, b = (torch.from_numpy(np.stack(side)) for side in zip(*good, strict=True))
    return a, b


def to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """Turn uint8 (n, h, w, c) into float (n, c, h, w) in [-1, 1]."""
    planes = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
    # to divide uint8 takes longer on a CPU, for the same numbers
    values = planes.to(torch.float32, memory_format=torch.contiguous_format)
    return values.div_(127.5).sub_(1)
