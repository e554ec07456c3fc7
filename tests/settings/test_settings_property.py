"""Settings of a method, all of them drawn at once: two steps, or one line that says why not.

``test_any_settings.py`` sets a few, right or wrong, and trains from files. Here every setting is
one that its network or method knows, so that most combinations learn.
"""

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import imgtranslate
from imgtranslate.data.loader import Batch
from imgtranslate.errors import UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.schedule import Schedule
from imgtranslate.settings.config import Settings, Tree
from imgtranslate.settings.parsing import build_settings

LAMBDA = (10.0, 0.5, 0.0)
NORM = ("instance", "batch", "none", "instance_affine")
GAN: dict[str, tuple[Any, ...]] = {
    "gan_mode": ("lsgan", "vanilla", "hinge", "wgangp"),
    "lambda_penalty": (0.0, 10.0),
}
METHOD: dict[str, dict[str, tuple[Any, ...]]] = {
    "cyclegan": {
        **GAN,
        "update": ("joint", "alternating"),
        "lambda_gan_ab": LAMBDA,
        "lambda_gan_ba": LAMBDA,
        "lambda_a": LAMBDA,
        "lambda_b": LAMBDA,
        "lambda_identity": LAMBDA,
        "pool_size": (0, 1, 3),
    },
    "pix2pix": {
        **GAN,
        "lambda_gan": LAMBDA,
        "lambda_l1": LAMBDA,
        "conditional": (True, False),
        "pool_size": (0, 1, 3),
    },
    "bicyclegan": {
        **GAN,
        "paths": ("both", "cvae", "clr"),
        "lambda_gan": LAMBDA,
        "lambda_l1": LAMBDA,
        "lambda_latent": LAMBDA,
        "lambda_kl": LAMBDA,
        "conditional": (True, False),
        "shared_discriminator": (True, False),
    },
}
ALTERNATING: dict[str, tuple[Any, ...]] = {"d_ratio": (1, 2), "cycle_from_identity": (False, True)}
NETWORK: dict[str, tuple[Any, ...]] = {
    "base_channels": (1, 2, 3),
    "norm": NORM,
}
UP: dict[str, tuple[Any, ...]] = {**NETWORK, "dropout": (True, False)}
UP["upsample"] = ("transpose", "resize")
GENERATOR: dict[str, dict[str, tuple[Any, ...]]] = {
    "resnet": {
        **UP,
        "num_blocks": (0, 1),
        "padding": ("reflect", "zero"),
        "antialias": (True, False),
    },
    "unet": {
        **UP,
        "depth": (5, 5, 5, 6),
        "skip_order": ("skip_first", "up_first"),
        "conv_bias": ("by_norm", "always"),
    },
}
PATCHES: dict[str, tuple[Any, ...]] = {
    **NETWORK,
    "num_layers": (1, 2, 3),
    "conv_bias": ("by_norm", "always"),
}
DISCRIMINATOR = {
    "patchgan": PATCHES,
    "averaging": PATCHES,
    "pixel": NETWORK,
    "multiscale": {**PATCHES, "num_scales": (1, 2)},
}
ENCODER = {"residual": {**NETWORK, "num_blocks": (1, 3)}, "resnet18": {}}
CODE = {"latent_dim": (1, 3), "z_at": ("input", "all", "middle", "plane")}
OTHERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "data": {
        "crop_size": (32, 32, 32, 32, 64, 64, 48, 31),
        "channels_a": (3, 1),
        "channels_b": (3, 1),
    },
    "init": {"kind": ("normal", "xavier", "kaiming", "orthogonal"), "gain": (0.02, 0.1)},
    "optimizer": {
        "kind": ("adam", "rmsprop"),
        "lr": (1e-3, 1e-4),
        "beta1": (0.0, 0.5),
        "max_grad_norm": (0.0, 1.0),
    },
    "schedule": {
        "kind": ("linear", "step", "multistep", "cosine", "constant"),
        "every": (1, 50),
        "milestones": ([1, 2],),
        "epochs": (0, 1),
        "decay_epochs": (1, 2),
    },
    "train": {"batch_size": (1, 2, 3), "ema_decay": (0.0, 0.9), "seed": (0, 7)},
}


def one_of(choices: dict[str, tuple[Any, ...]], **fixed: Any) -> st.SearchStrategy[Tree]:
    drawn = {name: st.sampled_from(values) for name, values in choices.items()}
    return st.fixed_dictionaries({**{k: st.just(v) for k, v in fixed.items()}, **drawn})


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    kind = draw(st.sampled_from(sorted(METHOD)))
    method = draw(one_of(METHOD[kind], kind=kind))
    if method.get("update") == "alternating":
        method |= draw(one_of(ALTERNATING))
    generator = "unet" if kind == "bicyclegan" else draw(st.sampled_from(sorted(GENERATOR)))
    discriminator = draw(st.sampled_from(sorted(DISCRIMINATOR)))
    tree: Tree = {
        "method": method,
        "generator": draw(one_of(GENERATOR[generator], kind=generator)),
        "discriminator": draw(one_of(DISCRIMINATOR[discriminator], kind=discriminator)),
        **{name: draw(one_of(choices)) for name, choices in OTHERS.items()},
    }
    if kind == "bicyclegan" or (kind == "pix2pix" and generator == "unet" and draw(st.booleans())):
        tree["generator"] |= draw(one_of(CODE))
    if kind == "bicyclegan":
        encoder = draw(st.sampled_from(["residual", "residual", "residual", "resnet18"]))
        tree["encoder"] = draw(one_of(ENCODER[encoder], kind=encoder))
    return tree


def settings_of(tree: Tree, **data: Any) -> Settings | None:
    """The settings, or nothing where one line said why not."""
    try:
        return build_settings(layers=[tree, {"data": data or {"a": "a", "b": "b"}}])
    except UsageError as error:
        said = str(error)
        assert "\n" not in said
        assert ". " in said
        return None


def random_batch(found: Settings) -> Batch:
    side, count = found.data.crop_size, found.train.batch_size
    a, b = (
        torch.rand(count, c, side, side) * 2 - 1
        for c in (found.data.channels_a, found.data.channels_b)
    )
    return Batch(a, b)


def takes_two_steps(found: Settings) -> None:
    torch.manual_seed(0)
    ours, schedule = Learner(found, torch.device("cpu")), Schedule(settings=found, longer_side=4)
    generators = {name for name in ours.networks if name.startswith("generator")}
    before = {
        f"{name}.{key}": p.clone()
        for name in generators
        for key, p in ours.networks[name].named_parameters()
    }
    for number in range(2):
        ours.step(random_batch(found), learning_rate=schedule.learning_rate(number))
    losses = ours.take_mean_losses()
    assert losses
    assert all(math.isfinite(loss) for loss in losses.values()), losses
    assert all(0 <= value <= 1 for value in ours.measures(random_batch(found)).values())
    after = {
        f"{name}.{key}": p
        for name in generators
        for key, p in ours.networks[name].named_parameters()
    }
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(bool(p.isfinite().all()) for p in after.values())

    again = Learner(found, torch.device("cpu"))
    state = {name: tensor.clone() for name, tensor in ours.state_tensors().items()}
    again.restore(state, steps_done=2)
    batch = random_batch(found)
    for each in (ours, again):
        each.step(batch, learning_rate=1e-4)
    assert ours.take_mean_losses() == again.take_mean_losses()


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(trees())
def test_all_settings_at_once_learn_or_say_why(tree: Tree) -> None:
    found = settings_of(tree)
    if found is not None:
        takes_two_steps(found)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=QUIET)
@given(trees())
def test_many_at_once_learn_or_say_why(tree: Tree) -> None:
    found = settings_of(tree)
    if found is not None:
        takes_two_steps(found)


def test_most_of_what_is_drawn_learns() -> None:
    counts: Counter[bool] = Counter()

    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=QUIET)
    @given(trees())
    def count(tree: Tree) -> None:
        counts[settings_of(tree) is not None] += 1

    count()
    assert counts[True] > 30
    assert counts[False] > 10


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for index in range(11):
        pixels = rng.integers(0, 256, (40, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=QUIET)
@given(tree=trees(), plateau=st.booleans())
def test_many_at_once_train_from_files(pairs: Path, tree: Tree, plateau: bool) -> None:
    tree["train"] |= {"steps": 2, "log_every": 1, "validate_every": 1}
    if plateau:
        tree["schedule"]["kind"] = "plateau"
    if settings_of(tree, pairs=str(pairs)) is None:
        return
    names = {
        f"{section}.{key}": value for section, part in tree.items() for key, value in part.items()
    }
    with tempfile.TemporaryDirectory() as out:
        run = Path(out) / "run"
        result = imgtranslate.train(pairs=pairs, out=run, device="cpu", settings=names)
        assert result.finished
        for direction in ("ab", "ba") if tree["method"]["kind"] == "cyclegan" else ("ab",):
            model = imgtranslate.load(run / f"{direction}.safetensors", device="cpu")
            assert model(Image.new("RGB", (9, 7))).size == (9, 7)


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        (
            {
                "method": {"update": "alternating", "cycle_from_identity": True},
                "data": {"channels_a": 1},
            },
            "method.cycle_from_identity true: needs the same number of channels",
        ),
        (
            {
                "method": {"kind": "cyclegan", "lambda_a": 0, "lambda_b": 0}
                | {"lambda_gan_ab": 0, "lambda_gan_ba": 0},
            },
            "method: lambda_gan_ab, lambda_gan_ba, lambda_a, lambda_b are all 0",
        ),
        (
            {"method": {"kind": "bicyclegan", "paths": "cvae", "lambda_gan": 0, "lambda_l1": 0}},
            "method: lambda_gan, lambda_l1 are all 0",
        ),
        (
            {"method": {"kind": "bicyclegan", "paths": "clr", "lambda_gan": 0}}
            | {"schedule": {"epochs": 1}},
            None,
        ),
        (
            {"method": {"kind": "bicyclegan", "paths": "clr", "lambda_gan": 0, "lambda_latent": 0}},
            "method: lambda_gan, lambda_latent are all 0",
        ),
    ],
)
def test_a_generator_that_nothing_teaches_is_refused(tree: Tree, named: str | None) -> None:
    layers: list[Tree] = [{"data": {"a": "a", "b": "b"}}, tree]
    if named is None:
        assert build_settings(layers=layers).method.gan_mode
        return
    with pytest.raises(UsageError) as caught:
        build_settings(layers=layers)
    assert str(caught.value).startswith(named)
