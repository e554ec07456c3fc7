"""Whatever is set, a training makes its steps or says in one line why it cannot."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import imgtranslate
from imgtranslate.errors import UsageError
from imgtranslate.settings.presets import METHODS, PRESETS

CHOICES: dict[str, tuple[Any, ...]] = {
    "data.crop_size": (16, 24, 32, 33, 48, 64),
    "data.channels_a": (1, 3),
    "data.channels_b": (1, 3),
    "data.resample_a": ("nearest", "bicubic"),
    "data.flip": (True, False),
    "data.rotate": (True, False),
    "data.colour_b": (0.0, 0.5),
    "data.pair_order": ("ab", "ba"),
    "method.gan_mode": ("lsgan", "vanilla", "hinge", "wgangp"),
    "method.pool_size": (0, 2),
    "method.update": ("joint", "alternating"),
    "method.d_ratio": (1, 2),
    "method.cycle_from_identity": (True, False),
    "method.lambda_gan_ab": (0.0, 1.0),
    "method.lambda_gan_ba": (0.0, 1.0),
    "method.lambda_a": (0.0, 10.0),
    "method.lambda_b": (0.0, 10.0),
    "method.lambda_identity": (0.0, 0.5),
    "method.lambda_gan": (0.0, 1.0),
    "method.lambda_l1": (0.0, 10.0),
    "method.lambda_latent": (0.0, 0.5),
    "method.lambda_kl": (0.0, 0.01),
    "method.conditional": (True, False),
    "method.paths": ("both", "cvae", "clr"),
    "method.shared_discriminator": (True, False),
    "generator.kind": ("resnet", "unet"),
    "generator.num_blocks": (0, 1),
    "generator.depth": (5, 6),
    "generator.norm": ("instance", "batch", "none", "instance_affine"),
    "generator.dropout": (True, False),
    "generator.upsample": ("transpose", "resize"),
    "generator.padding": ("reflect", "zero"),
    "generator.antialias": (True, False),
    "generator.latent_dim": (0, 3),
    "generator.z_at": ("none", "input", "all", "middle", "plane"),
    "discriminator.kind": ("patchgan", "multiscale", "averaging", "pixel"),
    "discriminator.num_layers": (1, 2, 5),
    "discriminator.num_scales": (1, 3),
    "discriminator.norm": ("instance", "batch", "none", "instance_affine"),
    "encoder.kind": ("residual", "resnet18"),
    "encoder.num_blocks": (1, 4),
    "init.kind": ("normal", "xavier", "kaiming", "orthogonal"),
    "optimizer.kind": ("adam", "rmsprop"),
    "optimizer.max_grad_norm": (0.0, 1.0),
    "schedule.kind": ("linear", "step", "multistep", "cosine", "plateau", "constant"),
    "schedule.milestones": ((), (1,)),
    "schedule.epochs": (0, 1),
    "schedule.decay_epochs": (0, 1),
    "schedule.constant_steps": (0, 2),
    "schedule.decay_steps": (0, 2),
    "train.batch_size": (1, 2, 3),
    "train.ema_decay": (0.0, 0.9),
    "train.validate_every": (1, 5),
}
SMALL = {"generator.base_channels": 2, "discriminator.base_channels": 2, "train.steps": 2}
ANY = st.fixed_dictionaries(
    {
        "method": st.sampled_from(sorted(METHODS)),
        "preset": st.sampled_from(sorted(PRESETS)),
        "settings": st.lists(
            st.sampled_from(sorted(CHOICES)).flatmap(
                lambda name: st.tuples(st.just(name), st.sampled_from(CHOICES[name]))
            ),
            max_size=7,
        ).map(dict),
    }
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for index in range(11):
        pixels = rng.integers(0, 256, (40, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def trains_or_says_why(pairs: Path, options: dict[str, Any]) -> None:
    out = Path(tempfile.mkdtemp())
    chosen = {"data.crop_size": 32, "train.log_every": 1, **SMALL, **options["settings"]}
    try:
        result = imgtranslate.train(
            pairs=pairs,
            out=out / "run",
            device="cpu",
            method=options["method"],
            preset=options["preset"],
            settings=chosen,
        )
        assert result.finished
        assert (out / "run/ab.safetensors").exists()
        imgtranslate.load(out / "run", device="cpu")(Image.new("RGB", (9, 7)))
    except UsageError as error:
        said = str(error)
        assert "\n" not in said
        assert ". " in said  # what, why, what to do
        assert not (out / "run").exists()
    finally:
        shutil.rmtree(out)


QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(options=ANY)
def test_any_settings_train_or_say_why(pairs: Path, options: dict[str, Any]) -> None:
    trains_or_says_why(pairs, options)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_trains(method: str, pairs: Path) -> None:
    wide = {"encoder.base_channels": 2} if method in ("bicyclegan", "cvae-gan", "clr-gan") else {}
    scales = {"discriminator.num_layers": 1}
    trains_or_says_why(pairs, {"method": method, "preset": "paper", "settings": {**wide, **scales}})
