"""FID (arXiv 1706.08500) and KID (arXiv 1801.01401) on Inception's 2048 features of each picture.

The network is torch-fidelity's, which has FID's own weights and way of resizing. Both figures are
those of torchmetrics; they are worked out here because each half sample needs one.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtranslate.images import Pixels
from imgtranslate.measures.estimate import Estimate, Values, distance_of, half_samples
from imgtranslate.measures.outside_weights import read_weights, unfit, without_extra

WANTED = "weights-inception-2015-12-05-6726825d.pth of torch-fidelity"
_OPTION = "--inception"
Distance = Callable[[Values, Values], float]


def load_inception(path: Path) -> nn.Module:
    """Build the network with the weights of a file. Raises ``UsageError`` if it cannot be."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-untyped]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise without_extra(_OPTION) from error
    weights = read_weights(_OPTION, path)
    with tempfile.TemporaryDirectory(prefix="imgtranslate-") as folder:
        # It unpickles what it is given, so it is given a file of tensors that we wrote.
        copy = Path(folder, "weights.pth")
        torch.save(weights, copy)
        try:
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(copy)
            )
        except RuntimeError as error:
            raise unfit(_OPTION, path, wanted=WANTED) from error
    return network.eval()


@torch.inference_mode()
def inception_features(network: nn.Module, read: Callable[[int], Pixels], count: int) -> Values:
    """The features of ``count`` pictures of 3 channels: (count, 2048)."""
    rows = []
    for number in range(count):
        pixels = torch.from_numpy(np.ascontiguousarray(read(number).transpose(2, 0, 1)))
        rows.append(network(pixels[None])[0][0].double().numpy())
    return np.stack(rows)


def inception_distances(real: Values, fake: Values, *, seed: int = 0) -> dict[str, Estimate]:
    """FID and KID of as many features of both sets, (count, features) each."""
    return {
        "fid": _estimated(frechet_distance, real, fake, seed=seed, least=0.0),
        "kid": _estimated(kernel_distance, real, fake, seed=seed, least=-np.inf),
    }


def frechet_distance(real: Values, fake: Values) -> float:
    """Between normal distributions of the same mean and covariance.

    The trace of the root of a product of covariances is the sum of the singular values of one
    small matrix: there are fewer pictures than features.
    """
    means = real.mean(0) - fake.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (real, fake))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(means @ means + (x**2).sum() + (y**2).sum() - 2 * shared)


def kernel_distance(real: Values, fake: Values) -> float:
    """The unbiased squared maximum mean discrepancy; kernel (x·y / features + 1)³. May be < 0."""

    def kernel(x: Values, y: Values) -> Values:
        cubes: Values = (x @ y.T / x.shape[1] + 1) ** 3
        return cubes

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
        for k in (kernel(real, real), kernel(fake, fake))
    ]
    return float(within[0] + within[1] - 2 * kernel(real, fake).mean())


def _estimated(
    distance: Distance, real: Values, fake: Values, *, seed: int, least: float
) -> Estimate:
    halves: NDArray[np.bool_] = half_samples(len(real), seed=seed)
    parts = [distance(real[mine], fake[theirs]) for mine, theirs in halves]
    return distance_of(np.array([distance(real, fake), *parts]), len(real), least=least)
