"""FID, KID and LPIPS on random weights of the right shape; no network is asked for anything."""

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.metrics.inception import (
    frechet_distance,
    inception_distances,
    inception_features,
    kernel_distance,
    load_inception,
)
from imgtranslate.metrics.lpips import load_lpips, lpips
from imgtranslate.model_files.foreign_weights import read_weights

torchmetrics = pytest.importorskip("torchmetrics")


class Features(torch.nn.Module):
    num_features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_fid_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(30, 8)), rng.normal(0.2, 1.3, size=(30, 8))
    metric = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    metric.update(torch.tensor(real), real=True)
    metric.update(torch.tensor(fake), real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(metric.compute()), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kid_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(30, 8)), rng.normal(0.2, 1.3, size=(30, 8))
    metric = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=30)
    metric.update(torch.tensor(real), real=True)
    metric.update(torch.tensor(fake), real=False)
    assert kernel_distance(real, fake) == pytest.approx(float(metric.compute()[0]), rel=1e-5)


def test_lpips_with_weights_of_a_file(tmp_path: Path) -> None:
    from torchvision.models import alexnet

    torch.manual_seed(0)
    torch.save(alexnet(weights=None).features.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"another network. Give alexnet-owt"):
        load_lpips(tmp_path / "bare.pth")
    torch.save(alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    network = load_lpips(tmp_path / "alexnet.pth")
    x = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert lpips(network, x, x) == 0
    assert lpips(network, x, x // 2) > lpips(network, x, x - x // 16) > 0


@pytest.mark.parametrize(
    ("load", "package", "parameter"),
    [
        (load_lpips, "torchmetrics.functional.image.lpips", "lpips"),
        (load_inception, "torch_fidelity.feature_extractor_inceptionv3", "inception"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(
    load: Callable[[Path], nn.Module],
    package: str,
    parameter: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"^`{parameter}`: needs .*'imgtranslate\[metrics\]'$"):
        load(Path("weights.pth"))


def test_a_file_of_weights_cannot_run_anything(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    (tmp_path / "w.pth").write_bytes(pickle.dumps(Hostile()))
    torch.save({"state": Hostile()}, tmp_path / "v.pth")
    for name in ("w.pth", "v.pth"):
        for load in (load_inception, load_lpips):
            with pytest.raises(CheckpointError, match="not a file of plain weights"):
                load(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="more than the weights of one network"):
        read_weights(tmp_path / "list.pth", wanted="weights", option="`lpips`")


@pytest.fixture
def no_pickles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing but tensors may be read while a test runs, and nothing pickled be written."""
    load = torch.load

    def only_weights(*arguments: Any, weights_only: bool = False, **options: Any) -> Any:
        assert weights_only
        return load(*arguments, weights_only=True, **options)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a pickle is written")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", only_weights)
        patch.setattr(torch, "save", refused)
        patch.setattr(torch.hub, "load_state_dict_from_url", refused)
        yield


@pytest.fixture
def alexnet_file(tmp_path: Path) -> Path:
    from torchvision.models import alexnet

    torch.save(alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def test_lpips_has_the_published_linear_layers_and_unpickles_nothing(
    alexnet_file: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("no_pickles")
    published = pytest.importorskip("torchmetrics.functional.image.lpips")
    file = Path(published.__file__).with_name("lpips_models") / "alex.pth"
    wanted = read_weights(file, wanted="weights")
    found = load_lpips(alexnet_file).state_dict()
    assert len(wanted) == 5
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor)


@pytest.fixture
def inception_file(tmp_path: Path) -> tuple[Path, nn.Module]:
    """Weights as torch-fidelity has them, and its own network with them."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    extractor = module.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(extractor, "load_state_dict", lambda *_: None)
        network = extractor("random", ["2048"])
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("bn.bias"):  # else the features of random weights are nearly 0
            tensor.uniform_(-0.5, 0.5, generator=generator)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth", network


@pytest.mark.slow  # Inception is large
def test_fid_and_kid_with_weights_of_a_file(
    inception_file: tuple[Path, nn.Module], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("no_pickles")
    file, theirs = inception_file
    network = load_inception(file)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 40, 3), np.uint8)
    features = inception_features(network, pictures.__getitem__, 4)
    assert features.shape == (4, 2048)
    wanted = theirs(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))[0].numpy()
    assert features.std() > 0.01
    assert features == pytest.approx(wanted, abs=1e-5)
    found = inception_distances(features, features)
    assert found["fid"].value == pytest.approx(0, abs=1e-6)
    assert set(found) == {"fid", "kid"}
