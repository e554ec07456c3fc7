"""Can a small classifier tell translated pictures from real ones? (arXiv 1610.06545)

It learns on one half of the pictures and is asked about the other, then the halves change places,
so that each picture is judged once by a classifier that never saw it. 0.5 is the best result.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

from imgtranslate.images import Pixels, pad_to, to_network
from imgtranslate.measures.estimate import Estimate, Values, pooled

Reader = Callable[[int], Pixels]
LEAST_PICTURES = 8  # of each set
_CROP = 64  # px
_STEPS, _BATCH = 200, 8  # of each set
_VIEWS = 4  # crops that a picture is judged by
_Z = 1.959964  # of a normal distribution, for 95 %


def two_sample_test(
    real: Reader, fake: Reader, *, count: int, channels: int, seed: int = 0
) -> Estimate:
    """The share of ``count`` real and ``count`` fake pictures told rightly.

    Pictures of one number stay in one half, so that a scene is never learnt and judged. The
    interval is Wilson's. Raises ``ValueError`` for fewer than ``LEAST_PICTURES``.
    """
    if count < LEAST_PICTURES:
        raise ValueError(f"{count} pictures: {LEAST_PICTURES} are needed")
    order = np.random.default_rng([seed, count]).permutation(count)
    halves = [order[: count // 2].tolist(), order[count // 2 :].tolist()]
    right = np.zeros((count, 2))
    for number, (learnt, judged) in enumerate((halves, halves[::-1])):
        network = _learn(real, fake, learnt, channels=channels, seed=seed + number)
        for picture in judged:
            rng = np.random.default_rng([seed, picture, 1])
            right[picture] = [
                _logit(network, real(picture), rng) > 0,
                _logit(network, fake(picture), rng) < 0,
            ]
    return _estimate(right)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` (Wilson 1927)."""
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    half /= 1 + _Z**2 / count
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _estimate(right: Values) -> Estimate:
    """Of (pictures, 2): whether the real and the fake one were told."""
    shares = right.mean(1)
    drawn = pooled(lambda counts: counts @ shares / counts.sum(-1), len(shares), better="lower")
    return Estimate(
        value=drawn.value,
        interval=wilson(drawn.value, right.size),
        replicates=drawn.replicates,
        count=len(shares),
        better="lower",
    )


def _learn(
    real: Reader, fake: Reader, pictures: Sequence[int], *, channels: int, seed: int
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(channels)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    answers = torch.tensor([1.0] * _BATCH + [0.0] * _BATCH)
    for batch in _batches(real, fake, pictures, seed=seed):
        loss = F.binary_cross_entropy_with_logits(network(batch).mean((1, 2, 3)), answers)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def _batches(
    real: Reader, fake: Reader, pictures: Sequence[int], *, seed: int
) -> Iterator[Tensor]:
    """Crops (16, channels, 64, 64), real ones first, turned and mirrored at random."""
    rng = np.random.default_rng([seed, len(pictures)])
    for _ in range(_STEPS):
        crops = [
            _crop(read(pictures[number]), rng)
            for read in (real, fake)
            for number in rng.integers(len(pictures), size=_BATCH)
        ]
        batch = torch.from_numpy(np.stack(crops))
        yield batch.flip(-1) if rng.integers(2) else batch


def _crop(pixels: Pixels, rng: np.random.Generator) -> np.ndarray:
    values = pad_to(to_network(pixels), multiple=1, least=_CROP)
    top, left = (int(rng.integers(side - _CROP + 1)) for side in values.shape[1:])
    return values[:, top : top + _CROP, left : left + _CROP]


@torch.inference_mode()
def _logit(network: nn.Module, pixels: Pixels, rng: np.random.Generator) -> float:
    views = np.stack([_crop(pixels, rng) for _ in range(_VIEWS)])
    return float(network(torch.from_numpy(views)).mean())


def _network(channels: int) -> nn.Module:
    """A map of logits; group norm, so that a picture is judged by itself."""
    widths = (channels, 16, 32, 64, 64)
    layers: list[nn.Module] = []
    for narrow, wide in zip(widths, widths[1:], strict=False):
        layers += [
            nn.Conv2d(narrow, wide, 4, stride=2, padding=1),
            nn.GroupNorm(4, wide),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(64, 1, 1))
