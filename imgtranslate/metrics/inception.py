"""FID (arXiv 1706.08500) and KID (arXiv 1801.01401) on 2048 Inception features of each picture.

The network is that of torch-fidelity, with the weights and the resizing of FID. Both figures equal
those of torchmetrics; they are computed here because every half sample needs them.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.errors import CheckpointError, needs_extra
from imgtranslate.images import Pixels
from imgtranslate.metrics.estimate import Estimate, Values, distance_of, half_samples
from imgtranslate.model_files.foreign_weights import read_weights

WANTED = "weights-inception-2015-12-05-6726825d.pth of torch-fidelity"
SIDE = 299  # px
_OPTION = "`inception`"


def load_inception(path: Path) -> nn.Module:
    """Build the network with the weights of a file. Raises ``UsageError`` if that fails."""
    network = _build()
    weights = read_weights(path, wanted=WANTED, option=_OPTION)
    try:
        network.load_state_dict({n: t for n, t in weights.items() if not n.startswith("fc.")})
    except RuntimeError as error:
        raise CheckpointError(
            f"{_OPTION} {path}: contains the weights of another network. Give {WANTED}"
        ) from error
    return network.eval()


class _Resized(nn.Module):
    """Conversion of uint8 (n, 3, h, w) to the input of Inception: 299 px, in [-1, 1)."""

    def __init__(self, enlarge: Callable[..., Tensor]) -> None:
        super().__init__()
        self._enlarge = enlarge

    def forward(self, pixels: Tensor) -> Tensor:
        """Resize to (n, 3, 299, 299)."""
        return (self._enlarge(pixels.float(), size=(SIDE, SIDE), align_corners=False) - 128) / 128


def _build() -> nn.Module:
    """Chain the layers of torch-fidelity up to the 2048 features.

    Its own class would download the weights, or unpickle a file with them.
    """
    with needs_extra("metrics", what=_OPTION):
        import torch_fidelity.feature_extractor_inceptionv3 as v3  # type: ignore[import-untyped]
        from torch_fidelity.interpolate_compat_tensorflow import (  # type: ignore[import-untyped]
            interpolate_bilinear_2d_like_tensorflow1x,
        )
    layers: dict[str, nn.Module] = {
        "resized": _Resized(interpolate_bilinear_2d_like_tensorflow1x),
        "Conv2d_1a_3x3": v3.BasicConv2d(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": v3.BasicConv2d(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": v3.BasicConv2d(32, 64, kernel_size=3, padding=1),
        "MaxPool_1": nn.MaxPool2d(3, stride=2),
        "Conv2d_3b_1x1": v3.BasicConv2d(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": v3.BasicConv2d(80, 192, kernel_size=3),
        "MaxPool_2": nn.MaxPool2d(3, stride=2),
        "Mixed_5b": v3.InceptionA(192, pool_features=32),
        "Mixed_5c": v3.InceptionA(256, pool_features=64),
        "Mixed_5d": v3.InceptionA(288, pool_features=64),
        "Mixed_6a": v3.InceptionB(288),
        "Mixed_6b": v3.InceptionC(768, channels_7x7=128),
        "Mixed_6c": v3.InceptionC(768, channels_7x7=160),
        "Mixed_6d": v3.InceptionC(768, channels_7x7=160),
        "Mixed_6e": v3.InceptionC(768, channels_7x7=192),
        "Mixed_7a": v3.InceptionD(768),
        "Mixed_7b": v3.InceptionE_1(1280),
        "Mixed_7c": v3.InceptionE_2(2048),
        "AvgPool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
    }
    return nn.Sequential(OrderedDict(layers))


@torch.inference_mode()
def inception_features(network: nn.Module, read: Callable[[int], Pixels], count: int) -> Values:
    """Compute the features of ``count`` pictures with 3 channels: (count, 2048)."""
    rows = []
    for number in range(count):
        pixels = torch.from_numpy(np.ascontiguousarray(read(number).transpose(2, 0, 1)))
        rows.append(network(pixels[None])[0].double().numpy())
    return np.stack(rows)


def inception_distances(real: Values, fake: Values, *, seed: int = 0) -> dict[str, Estimate]:
    """Estimate FID and KID of two sets of features, (count, features) each."""
    halves = half_samples(len(real), seed=seed)

    def estimated(distance: Callable[[Values, Values], float], *, least: float) -> Estimate:
        parts = [distance(real[mine], fake[theirs]) for mine, theirs in halves]
        return distance_of(np.array([distance(real, fake), *parts]), len(real), least=least)

    return {
        "fid": estimated(frechet_distance, least=0.0),
        "kid": estimated(kernel_distance, least=-np.inf),
    }


def frechet_distance(real: Values, fake: Values) -> float:
    """Return the Fréchet distance of normal distributions with the moments of both sets.

    The trace of the root of the product of covariances is the sum of the singular values of one
    small matrix, because there are fewer pictures than features.
    """
    means = real.mean(0) - fake.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (real, fake))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(means @ means + (x**2).sum() + (y**2).sum() - 2 * shared)


def kernel_distance(real: Values, fake: Values) -> float:
    """Return the unbiased squared maximum mean discrepancy, which may be below 0.

    The kernel is (x·y / features + 1)³.
    """

    def kernel(x: Values, y: Values) -> Values:
        cubes: Values = (x @ y.T / x.shape[1] + 1) ** 3
        return cubes

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
        for k in (kernel(real, real), kernel(fake, fake))
    ]
    return float(within[0] + within[1] - 2 * kernel(real, fake).mean())
