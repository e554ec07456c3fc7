"""Batches for training, by position."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imgtranslate.config import Settings
from imgtranslate.data.folders import Domain
from imgtranslate.data.share import Dealing
from imgtranslate.data.stream import Purpose, index_at, random_at
from imgtranslate.data.transforms import change_tone, cut, draw_geometry, resize_shorter
from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels

Sample = tuple[Pixels, Pixels]


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains: float (n, c, h, w) in [-1, 1] on one device."""

    real_a: Tensor
    real_b: Tensor


class SampleDataset(Dataset[Sample | ImageError]):
    """The sample at each position: uint8 (h, w, c) of A and of B.

    Unpaired, the sides are drawn independently. Paired, they are two pictures of one thing, cut
    and turned alike.
    """

    def __init__(
        self, domain_a: Domain, domain_b: Domain, settings: Settings, *, paired: bool
    ) -> None:
        self.domains = (domain_a, domain_b)
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
        files = self.domains[side].files
        drawn = 0 if self.paired else side
        return files[index_at(position, count=len(files), seed=self.seed, side=drawn)]

    def _sample(self, position: int, *, side: int) -> Pixels:
        drawn = 0 if self.paired else side  # one draw for both sides of a pair
        domain, data = self.domains[side], self.data
        pixels = domain.read(self.file_at(position, side=side), channels=self.channels[side])
        pixels = resize_shorter(pixels, data.load_size, resample=self.resamples[side])
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
    loader: DataLoader[Sample | ImageError] = DataLoader(
        dataset,
        sampler=positions,
        batch_size=len(positions.own),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals_to_the_parent,
    )
    for collated in loader:
        if isinstance(collated, ImageError):
            raise collated
        yield Batch(*(to_device(pixels, device) for pixels in collated))


def _leave_signals_to_the_parent(_: int) -> None:
    """Ctrl-C reaches every process of a terminal, a launcher's SIGTERM every one of a group.

    The one that trains stops its readers itself; they end when it is no more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def choose_workers(
    workers: int | Literal["auto"], device: torch.device, *, neighbours: int = 1
) -> int:
    """How many processes read pictures: none where the network itself needs the cores.

    ``neighbours``: the processes that train on this machine, each with readers of its own.
    """
    if workers != "auto":
        return workers
    cores = (os.cpu_count() or 2) // neighbours
    return 0 if device.type == "cpu" else min(8, max(1, cores - 1))


def _collate(samples: Sequence[Sample | ImageError]) -> tuple[Tensor, Tensor] | ImageError:
    good = [sample for sample in samples if not isinstance(sample, ImageError)]
    if len(good) < len(samples):
        return next(sample for sample in samples if isinstance(sample, ImageError))
    a, b = (torch.from_numpy(np.stack(side)) for side in zip(*good, strict=True))
    return a, b


def to_device(pixels: Tensor, device: torch.device) -> Tensor:
    """Turn uint8 (n, h, w, c) into float (n, c, h, w) in [-1, 1]."""
    planes = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2).contiguous()
    return planes / 127.5 - 1
