"""Accuracy of a small classifier that tells translated pictures from real ones (arXiv 1610.06545).

It learns from one half of the pictures and classifies the other, then the halves are swapped, so
that each picture is classified once by a network that never saw it. The best result is 0.5.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtranslate.images import Pixels, mirror_indices
from imgtranslate.metrics.estimate import Estimate, Values, pooled, wilson

Reader = Callable[[int], Pixels]
LEAST_PICTURES = 30  # of each set; with fewer, the accuracy is a matter of chance
_CROP = 64  # px
STEPS = 150
_BATCH = 8  # of each set
_VIEWS = 6  # crops of each picture


def two_sample_test(
    real: Reader, fake: Reader, *, count: int, channels: int, seed: int = 0, steps: int = STEPS
) -> Estimate:
    """Return the share of ``count`` real and ``count`` fake pictures that are classified correctly.

    The n-th pictures of both sets are in the same half, so that no scene is both learnt and
    classified. The interval is that of Wilson. Raises ``ValueError`` for fewer than
    ``LEAST_PICTURES``.
    """
    if count < LEAST_PICTURES:
        raise ValueError(f"{count} pictures: needs {LEAST_PICTURES}")
    order = np.random.default_rng([seed, count]).permutation(count)
    crops = np.stack([_crops(read, order, seed=seed) for read in (real, fake)])
    halves = crops[:, : count // 2], crops[:, count // 2 :]
    right = []
    for number, (learnt, judged) in enumerate((halves, halves[::-1])):
        network = _learn(learnt, channels=channels, seed=seed + number, steps=steps)
        right.append(np.stack([_logits(network, judged[0]) > 0, _logits(network, judged[1]) < 0]))
    return _estimate(np.concatenate(right, axis=1).T.astype(np.float64))


def _estimate(right: Values) -> Estimate:
    """Estimate the accuracy from (pictures, 2): 1 where the real, or the fake, one was correct."""
    shares = right.mean(1)
    drawn = pooled(lambda counts: counts @ shares / counts.sum(-1), len(shares), better="lower")
    return replace(drawn, interval=wilson(drawn.value, right.size))


def _learn(crops: Pixels, *, channels: int, seed: int, steps: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(channels)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    answers = torch.tensor([1.0] * _BATCH + [0.0] * _BATCH)
    for batch in _batches(crops, seed=seed, steps=steps):
        loss = F.binary_cross_entropy_with_logits(network(batch).mean((1, 2, 3)), answers)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def _batches(crops: Pixels, *, seed: int, steps: int) -> Iterator[Tensor]:
    """Yield batches of crops (16, channels, 64, 64), real ones first, mirrored at random."""
    rng = np.random.default_rng([seed, crops.shape[1]])
    for _ in range(steps):
        numbers = rng.integers(crops.shape[1], size=(2, _BATCH))
        views = rng.integers(_VIEWS, size=(2, _BATCH))
        chosen = [kind[n, v] for kind, n, v in zip(crops, numbers, views, strict=True)]
        batch = _to_tensor(np.concatenate(chosen))
        yield batch.flip(-1) if rng.integers(2) else batch


def _crops(read: Reader, order: NDArray[np.intp], *, seed: int) -> Pixels:
    """Take a few crops of each picture: uint8 (pictures, views, channels, 64, 64)."""
    return np.stack([_views(read(int(n)), np.random.default_rng([seed, int(n)])) for n in order])


def _views(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    rows, columns = (mirror_indices(side, max(side, _CROP)) for side in pixels.shape[:2])
    whole = pixels[rows[:, None], columns].transpose(2, 0, 1)
    views = []
    for _ in range(_VIEWS):
        top, left = (int(rng.integers(side - _CROP + 1)) for side in whole.shape[1:])
        views.append(whole[:, top : top + _CROP, left : left + _CROP])
    return np.stack(views)


@torch.inference_mode()
def _logits(network: nn.Module, crops: Pixels) -> Values:
    """Return the mean logit over the crops of each picture: (pictures,)."""
    means = [float(network(_to_tensor(views)).mean()) for views in crops]
    return np.array(means)


def _to_tensor(crops: Pixels) -> Tensor:
    return torch.from_numpy(crops.astype(np.float32) / 127.5 - 1)


def _network(channels: int) -> nn.Module:
    """Build a network with a map of logits; group norm keeps pictures of a batch independent."""
    widths = (channels, 16, 32, 64, 64)
    layers: list[nn.Module] = []
    for narrow, wide in itertools.pairwise(widths):
        layers += [
            nn.Conv2d(narrow, wide, 4, stride=2, padding=1),
            nn.GroupNorm(4, wide),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(64, 1, 1))
