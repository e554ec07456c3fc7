import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from imgtranslate.data.loader import SampleDataset, batches
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.demo.scenes import draw_scene, render_painting, render_stitches
from imgtranslate.images import to_pixels
from imgtranslate.methods.learner import Learner
from imgtranslate.metrics import ssim as metrics
from imgtranslate.metrics import validation_distance
from imgtranslate.metrics.pixels import mean_absolute_error
from imgtranslate.runs.data import domains_of_run
from imgtranslate.settings.parsing import build_settings, nested
from imgtranslate.training.health import Health
from imgtranslate.training.validation import Validation, rounded, ssim

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "data.crop_size": 64,
    "data.load_size": 64,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
}


class Fixed(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def always(answer: Tensor) -> Callable[[Tensor], Tensor]:
    def function(_: Tensor) -> Tensor:
        return answer

    return function


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def random_image(*, seed: int, size: int = 32, channels: int = 3) -> Tensor:
    rng = np.random.default_rng(seed)
    return tensor(rng.integers(0, 256, (size, size, channels), np.uint8))


# The measures


@pytest.mark.parametrize("size", [3, 6, 16, 33])
@pytest.mark.parametrize("spread", [0, 5, 255])
def test_ssim_is_that_of_the_metrics(size: int, spread: int) -> None:
    rng = np.random.default_rng(size)
    x, y = rng.integers(0, spread + 1, (2, size, size, 3)).astype(np.uint8)
    assert float(ssim(tensor(x), tensor(y))) == pytest.approx(metrics.ssim(x, y), abs=1e-4)


def test_rounded_is_what_a_saved_picture_keeps() -> None:
    values = torch.linspace(-1.1, 1.1, 5000).view(1, 1, 50, 100)
    saved = to_pixels(values[0].numpy())
    assert torch.equal(rounded(values), tensor(saved))


def scenes(group: str, *, count: int = 8, seed: int = 0) -> list[Tensor]:
    draw = render_painting if group == "paintings" else render_stitches
    return [tensor(draw(draw_scene(seed, group, index))) for index in range(count)]


def far(fakes: list[Tensor], reals: list[Tensor]) -> float:
    return validation_distance.distance(
        validation_distance.describe(fakes), validation_distance.describe(reals)
    )


def test_the_distance_is_of_sets_not_of_their_order() -> None:
    reals = scenes("stitches")
    assert far(reals[::-1], reals) == 0
    assert far(reals[:5], reals) < 0.2  # unequal counts


def test_the_distance_grows_with_what_is_wrong() -> None:
    reals, others = scenes("stitches"), scenes("stitches", seed=1)
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(real.shape, generator=generator) for real in reals]
    found = [
        far([real + much * n for real, n in zip(others, noise, strict=True)], reals)
        for much in (0.0, 0.05, 0.1, 0.2, 0.4)
    ]
    assert found == sorted(found)
    assert found[0] < 0.3
    flat = far([real.mean(dim=(2, 3), keepdim=True).expand_as(real) for real in reals], reals)
    assert 0.7 < flat < 1.3
    assert found[0] < far(scenes("paintings"), reals) < flat


@pytest.mark.parametrize("size", [5, 8, 24, 70, 300])
@pytest.mark.parametrize("channels", [1, 4])
def test_the_distance_takes_any_size_and_flat_pictures(size: int, channels: int) -> None:
    reals = [random_image(seed=seed, size=size, channels=channels) for seed in range(2)]
    flat = [torch.zeros_like(real) for real in reals]
    assert far(reals, reals) == 0
    assert 0.5 < far(flat, reals) < 2
    assert math.isfinite(far(reals, flat))
    assert far(flat, flat) == 0


# The number of a run


def make_run(folder: Path, method: str = "cyclegan", **changes: Any) -> tuple[Learner, Validation]:
    """A learner and its validation on eight scenes of each side; of pairs, in both styles."""
    for side, draw in (("paintings", render_painting), ("stitches", render_stitches)):
        for part, first in (("train", 50), ("aside", 0)):
            (folder / part / side).mkdir(parents=True)
            group = side if method == "cyclegan" else "held_out"
            for index in range(first, first + 8):
                pixels = draw(draw_scene(0, group, index))
                Image.fromarray(pixels).save(folder / part / side / f"{index:03d}.png")
    places = {
        "data.a": str(folder / "train/paintings"),
        "data.b": str(folder / "train/stitches"),
        "data.held_out_a": str(folder / "aside/paintings"),
        "data.held_out_b": str(folder / "aside/stitches"),
    }
    aside = [sorted(map(str, (folder / "aside" / s).iterdir())) for s in ("paintings", "stitches")]
    chosen = {**SMALL, **places, **changes}
    if method != "cyclegan":
        chosen |= {"generator.depth": 5}
        del chosen["generator.num_blocks"]
    settings = build_settings(method=method, layers=[nested(chosen)])
    domains = domains_of_run(settings, {"held_out_a": aside[0], "held_out_b": aside[1]})
    return Learner(settings, CPU), Validation(settings=settings, domains=domains)


def measured(
    learner: Learner,
    validation: Validation,
    monkeypatch: pytest.MonkeyPatch,
    ab: Callable[[Tensor], Tensor],
    ba: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """What a run says of networks that are these functions."""
    models = {"ab": (Fixed(ab), None)} | ({"ba": (Fixed(ba), None)} if ba else {})
    monkeypatch.setattr(learner, "models", lambda: models)
    return validation.measure(learner)


def oracle(given: list[Tensor], truths: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """Look the nearest of the given pictures up."""

    def answer(x: Tensor) -> Tensor:
        errors = [float((x - other).abs().mean()) for other in given]
        return truths[int(np.argmin(errors))]

    return answer


def honest(group: str) -> tuple[Tensor, ...]:
    ours, theirs = (render_painting, render_stitches)
    drawn = [draw_scene(0, group, index) for index in range(8)]
    return tuple(tensor(draw(scene)) for draw in (ours, theirs) for scene in drawn)


def test_only_the_honest_pair_gets_a_good_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, validation = make_run(tmp_path)
    a, b = honest("paintings"), honest("stitches")
    paintings, stitches = [*a[:8], *b[:8]], [*a[8:], *b[8:]]
    generator = torch.Generator().manual_seed(0)
    lost = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    pairs: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
        "honest": (oracle(paintings, stitches), oracle(stitches, paintings)),
        "identity": (lambda x: x, lambda x: x),
        "constant": (lambda x: x * 0, lambda x: x * 0),
        "one_picture": (always(stitches[0]), always(paintings[0])),
        "inverting": (lambda x: -x, lambda x: -x),
        "noise": (always(lost), always(lost)),
        "hiding": (lambda x: stitches[0] + x / 1000, lambda y: (y - stitches[0]) * 1000),
    }
    found = {
        name: measured(learner, validation, monkeypatch, *pair) for name, pair in pairs.items()
    }
    numbers = {name: row["validation"] for name, row in found.items()}
    assert min(numbers, key=lambda name: numbers[name]) == "honest"
    assert numbers["honest"] * 2 < min(v for name, v in numbers.items() if name != "honest")
    assert found["identity"]["validation_cycle"] == 0
    assert found["hiding"]["validation_cycle"] > 0.5  # in floats it comes back whole

    said = {
        name: set(Health(settings=validation.settings).see({"step": 500, **row}))
        for name, row in found.items()
    }
    collapsed, inverted = (
        {f"{word}_{way}" for way in ("ab", "ba")} for word in ("collapsed", "inverted")
    )
    assert said["honest"] == said["identity"] == set()
    assert said["constant"] == said["one_picture"] == said["noise"] == collapsed
    assert said["inverting"] == inverted


def test_one_way_neither_lost_content_nor_doing_nothing_scores_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, validation = make_run(tmp_path)
    both = honest("paintings")
    paintings, stitches = [*both[:8]], [*both[8:]]
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    generators: dict[str, Callable[[Tensor], Tensor]] = {
        "honest": oracle(paintings, stitches),
        "shuffled": oracle(paintings, stitches[1:] + stitches[:1]),
        "identity": lambda x: x,
        "constant": lambda x: x * 0,
        "one_picture": always(stitches[0]),
        "noise": always(noise),
        "negative": lambda x: -x,
    }
    found = {
        name: measured(learner, validation, monkeypatch, generator)
        for name, generator in generators.items()
    }
    numbers = {name: row["validation"] for name, row in found.items()}
    assert numbers["honest"] * 1.25 < min(v for name, v in numbers.items() if name != "honest")
    distances = {name: row["validation_distance"] for name, row in found.items()}
    assert distances["shuffled"] == distances["honest"]  # the content alone tells them apart
    assert found["identity"]["validation_content"] == pytest.approx(0, abs=1e-9)
    assert found["negative"]["validation_content"] == pytest.approx(0, abs=1e-9)
    assert found["constant"]["validation_content"] == 1
    assert found["identity"]["change_ab"] == 0
    changes = zip(paintings, stitches, strict=True)
    mean = np.mean([float((a - b).abs().mean()) / 2 for a, b in changes])
    assert found["honest"]["change_ab"] == pytest.approx(mean, rel=0.01)
    for row in found.values():
        parts = row["validation_distance"], row["validation_content"]
        assert row["validation"] == pytest.approx(math.hypot(*parts))

    said = {
        name: set(Health(settings=validation.settings).see({"step": 500, **row}))
        for name, row in found.items()
    }
    assert said["honest"] == set()
    assert said["identity"] == {"does_nothing_ab"}
    assert said["constant"] == said["noise"] == {"collapsed_ab", "lost_content_ab"}
    assert said["one_picture"] == {"collapsed_ab"}
    assert said["negative"] == {"inverted_ab"}


def test_one_way_takes_one_flat_picture_and_channels_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, grey in (("a", 90), ("b", 40)):
        (tmp_path / side).mkdir()
        for name in ("0", "1"):
            Image.new("L", (64, 64), grey).save(tmp_path / side / f"{name}.png")
    places = {"data.a": str(tmp_path / "a"), "data.b": str(tmp_path / "b"), "data.channels_a": 1}
    settings = build_settings(layers=[nested({**SMALL, **places})])
    aside = {f"held_out_{side}": [str(tmp_path / side / "0.png")] for side in "ab"}
    learner = Learner(settings, CPU)
    validation = Validation(settings=settings, domains=domains_of_run(settings, aside))
    row = measured(learner, validation, monkeypatch, lambda x: x.repeat(1, 3, 1, 1))
    assert row["validation_content"] == 0  # nothing to lose
    assert math.isfinite(row["validation"])


def test_pairs_are_measured_as_saved_pictures_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, validation = make_run(tmp_path, "pix2pix")
    row = measured(learner, validation, monkeypatch, lambda x: 0.7 * x)
    drawn = [draw_scene(0, "held_out", index) for index in range(8)]
    fakes = [to_pixels((0.7 * tensor(render_painting(scene)))[0].numpy()) for scene in drawn]
    truths = [render_stitches(scene) for scene in drawn]
    pairs = list(zip(fakes, truths, strict=True))
    error = np.mean([mean_absolute_error(x, y) for x, y in pairs])
    likeness = np.mean([metrics.ssim(x, y) for x, y in pairs])
    assert row["validation_l1"] == pytest.approx(error, abs=1e-6)
    assert row["validation_ssim"] == pytest.approx(likeness, abs=1e-4)
    assert row["validation"] == pytest.approx((error + 1 - likeness) / 2, abs=1e-4)


def test_the_averaged_generators_are_measured(tmp_path: Path) -> None:
    learner, validation = make_run(tmp_path, **{"train.ema_decay": 0.9})
    first = validation.measure(learner)
    for network in learner.networks.values():
        for parameter in network.parameters():
            parameter.data.mul_(2)
    assert validation.measure(learner) == first
    for network in learner.averages.values():
        for parameter in network.parameters():
            parameter.data.mul_(2)
    assert validation.measure(learner) != first


# Whether it ranks as the truth does


def ranks(values: list[float]) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


def spearman(x: list[float], y: list[float]) -> float:
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def true_errors(ab: nn.Module, ba: nn.Module) -> tuple[float, float]:
    """1 - SSIM and the mean absolute error on other scenes, whose truth is known, both ways."""
    unlike, errors = [], []
    for index in range(16):
        scene = draw_scene(0, "held_out", 100 + index)
        painting, stitches = render_painting(scene), render_stitches(scene)
        for network, real, truth in ((ab, painting, stitches), (ba, stitches, painting)):
            fake = to_pixels(network(tensor(real))[0].numpy())
            unlike.append(1 - metrics.ssim(fake, truth))
            errors.append(mean_absolute_error(fake, truth))
    return float(np.mean(unlike)), float(np.mean(errors))


@pytest.mark.slow
def test_checkpoints_are_ranked_as_the_truth_ranks_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early ones, late ones, ones past the best, a pair that does nothing, collapsed ones."""
    for side, draw in (("paintings", render_painting), ("stitches", render_stitches)):
        (tmp_path / side).mkdir()
        for index in range(100):
            pixels = draw(draw_scene(0, side, index))
            Image.fromarray(pixels).save(tmp_path / side / f"{index:03d}.png")
    folders = {"a": str(tmp_path / "paintings"), "b": str(tmp_path / "stitches")}
    data = {**folders, "load_size": 64}
    settings = build_settings(preset="tiny", layers=[{"data": data, "train": {"ema_decay": 0.0}}])
    aside = {f"held_out_{k}": sorted(map(str, Path(v).iterdir()))[:8] for k, v in folders.items()}
    domains = domains_of_run(settings, aside)
    learner, validation = Learner(settings, CPU), Validation(settings=settings, domains=domains)

    numbers: list[float] = []
    truths: list[tuple[float, float]] = []

    def look() -> None:
        models = learner.models()
        numbers.append(validation.measure(learner)["validation"])
        with torch.inference_mode():
            truths.append(true_errors(models["ab"][0], models["ba"][0]))

    dataset = SampleDataset(*domains, settings, paired=False)
    looked = (25, 50, 100, 150, 200, 300, 400, 500, 600, 700, 800)
    past = (802, 805, 810)  # at a rate that is far too high
    stream = batches(
        dataset,
        first_position=0,
        split=BatchSplit(batch_size=1),
        num_batches=past[-1],
        workers=0,
        device=CPU,
    )
    for step, batch in enumerate(stream, start=1):
        learner.step(batch, learning_rate=1e-3 if step <= looked[-1] else 5e-3)
        if step in looked + past:
            look()
    mean_a, mean_b = (torch.stack(scenes(s)).mean(dim=(0, 3, 4)) for s in ("paintings", "stitches"))
    flat_a, flat_b = (m.view(1, 3, 1, 1).expand(1, 3, 64, 64) for m in (mean_a, mean_b))
    for ab, ba in (
        (Fixed(lambda x: x), Fixed(lambda x: x)),
        (Fixed(always(flat_b)), Fixed(always(flat_a))),
        (Fixed(lambda x: x * 0), Fixed(lambda x: x * 0)),
    ):
        models = {"ab": (ab, None), "ba": (ba, None)}
        monkeypatch.setattr(learner, "models", lambda models=models: models)
        look()

    best = min(range(len(truths)), key=lambda n: truths[n])
    assert 5 < best < len(looked)  # not an early one, and there are ones past it
    for truth in zip(*truths, strict=True):
        assert spearman(numbers, list(truth)) >= 0.9, (numbers, truth)
