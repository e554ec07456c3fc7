"""Thirteen wrong forms that circulate in tutorials: where each would be noticed.

Most by the steps held to the papers (``test_*_step.py``: every loss, gradient and weight) or by the
test of the part, which is then named here and not repeated.

1.  The backward direction scored by D_b, its identity made by G_ab: test_cyclegan_step.py and
    test_alternating_step.py, ``test_losses_gradients_and_weights``.
2.  A GAN loss on images in place of logits: the same. BCE without a sigmoid:
    test_losses.py, ``test_vanilla_takes_logits_of_any_size``.
3.  One map of labels for several scales: test_losses.py, ``test_scales_of_different_sizes_are_``
    ``summed_each_by_its_mean``. Patches of three halvings: test_patchgan.py, ``test_patch_sizes``,
    ``test_one_logit_sees_one_patch``.
4.  Terms dropped from the sum: ``test_every_term_that_is_logged_is_learnt_from``, below.
5.  The latent loss teaching the encoder, or read from a sample: test_bicyclegan_step.py,
    ``test_the_encoder_learns_from_the_latent_term_only_where_it_has_no_other`` and the steps.
6.  ``BatchNorm2d(c, 0.8)``: ``test_batch_norm_has_the_usual_eps_and_momentum`` of test_resnet.py,
    test_unet.py, test_patchgan.py; of the encoders ``test_no_network_sets_eps_in_place_of_...``,
    below.
7.  An average pool of as many pixels as channels: test_patchgan.py, ``test_the_first_scale_sees_``
    ``the_image_and_the_next_the_mean_of_its_neighbourhoods``.
8.  A pooling that fits 128 px only: test_encoder.py, ``test_any_size_trains_at_batch_1``.
9.  Labels in place of pictures, a lost tail, one side unshuffled:
    ``test_an_epoch_shows_every_picture_of_both_sides_in_orders_of_their_own`` and
    ``test_an_epoch_is_as_long_as_the_longer_side``, below.
10. No weights, no pool, no decay: the steps; test_image_pool.py; test_learning_rates.py. A square
    resize: ``test_resizing_keeps_the_aspect``, below.
11. Targets that broadcast, and the mean before the square: test_losses.py,
    ``test_one_logit_per_image_is_not_broadcast``, ``test_averaging_the_map_before_the_square_is_``
    ``another_loss``.
12. ``wgangp`` without its penalty: the steps. On the sum of the map: test_losses.py. Plateau on a
    constant, a last epoch at 0: test_learning_rates.py. Resume of weights only:
    test_resume_exact.py. The other domain's channels: ``test_domains_of_different_channels``. The
    rest below.
13. Truncated pixels: test_images.py, ``test_values_are_rounded_to_nearest_not_truncated``.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods.textbook import learner, random_batch
from PIL import Image
from torch import Tensor, nn

import imgtranslate
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches, resize_shorter
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import backward, noise, update
from imgtranslate.networks import ResidualEncoder, Resnet18Encoder
from imgtranslate.settings.config import Settings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.settings.presets import METHODS

UPDATES: dict[str, tuple[str, dict[str, Any]]] = {
    **{method: (method, {}) for method in METHODS},
    "alternating": ("cyclegan", {"method__update": "alternating"}),
}


def test_every_term_that_is_logged_is_learnt_from() -> None:  # form 4
    weights = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([weights], lr=1.0)
    backward({f"term_{k}": (k + 1) * weights[k] for k in range(4)})
    update(optimizer)
    assert weights.tolist() == [-1, -2, -3, -4]


@pytest.mark.parametrize("encoder", ["residual", "resnet18"])
def test_no_network_sets_eps_in_place_of_the_momentum(encoder: str) -> None:  # form 6
    network = (
        ResidualEncoder(in_channels=3, base_channels=4, num_blocks=3, latent_dim=8, norm="batch")
        if encoder == "residual"
        else Resnet18Encoder(in_channels=3, latent_dim=8)
    )
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}


@pytest.mark.parametrize("count", [4, 12])
def test_an_epoch_shows_every_picture_of_both_sides_in_orders_of_their_own(
    count: int, tmp_path: Path
) -> None:  # form 9
    settings = folders(tmp_path, count, 12)
    shown = [
        tuple(round(float(side.mean() * 127.5 + 127.5)) // 20 for side in (b.real_a, b.real_b))
        for b in batches(
            SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False),
            first_position=0,
            split=BatchSplit(batch_size=1),
            num_batches=12,
            workers=0,
            device=torch.device("cpu"),
        )
    ]
    a, b = zip(*shown, strict=True)
    assert Counter(b) == Counter(range(12))
    assert Counter(a) == Counter(dict.fromkeys(range(count), 12 // count))
    assert list(b) != sorted(b)
    assert list(a[:count]) != sorted(a[:count])
    assert a != b


def test_an_epoch_is_as_long_as_the_longer_side(tmp_path: Path) -> None:  # form 9
    short = {"data.held_out": 0, "data.crop_size": 24, "schedule.epochs": 1}
    tiny = {"generator.base_channels": 1, "generator.num_blocks": 0, "method.lambda_gan_ab": 0.0}
    folders(tmp_path, 2, 5)
    result = imgtranslate.train(
        a=tmp_path / "a",
        b=tmp_path / "b",
        out=tmp_path / "run",
        device="cpu",
        settings={**short, **tiny, "schedule.decay_epochs": 0, "method.lambda_gan_ba": 0.0},
    )
    assert result.total_steps == result.step == 5


def folders(root: Path, *counts: int) -> Settings:
    """Two folders of flat pictures, the n-th of grey 20 n."""
    for side, count in zip("ab", counts, strict=True):
        (root / side).mkdir()
        for index in range(count):
            grey = np.full((40, 40, 3), 20 * index, np.uint8)
            Image.fromarray(grey).save(root / side / f"{index:02}.png")
    data = {"a": str(root / "a"), "b": str(root / "b"), "crop_size": 32, "held_out": 0}
    return build_settings(layers=[{"data": data}])


@pytest.mark.parametrize("resample", ["bicubic", "nearest"])
def test_resizing_keeps_the_aspect(resample: Any) -> None:  # form 10
    wide = np.zeros((50, 100, 3), np.uint8)
    assert resize_shorter(wide, 25, resample=resample).shape == (25, 50, 3)
    assert resize_shorter(wide.transpose(1, 0, 2), 75, resample=resample).shape == (150, 75, 3)


@pytest.mark.parametrize("update", UPDATES)
def test_who_judges_or_reads_a_fake_does_not_learn_from_it(update: str) -> None:  # form 12
    """A fake with a history is the generator's business; one without, the judge's."""
    method, changes = UPDATES[update]
    ours = small(method, **changes)
    learns: set[tuple[str, bool, bool]] = set()
    for name in ours.networks:
        if name.startswith(("discriminator", "encoder")):

            def look(network: nn.Module, images: tuple[Tensor, ...], name: str = name) -> None:
                learning = all(p.requires_grad for p in network.parameters())
                frozen = not any(p.requires_grad for p in network.parameters())
                assert learning != frozen
                learns.add((name.partition("_")[0], images[0].grad_fn is not None, learning))

            ours.networks[name].register_forward_pre_hook(look)
    ours.step(random_batch(0), learning_rate=1e-3)
    judges = {("discriminator", True, False), ("discriminator", False, True)}
    reads = {
        "bicyclegan": {("encoder", True, False), ("encoder", False, True)},
        "cvae-gan": {("encoder", False, True)},
        "clr-gan": {("encoder", True, True)},
    }
    # a penalty asks at a mixture, which is a leaf; what D sees of a pool has no history
    assert learns == judges | reads.get(method, set())


def test_noise_is_drawn_where_it_is_needed() -> None:  # form 12
    like = torch.empty(1, device="meta", dtype=torch.float64)
    z = noise(np.random.default_rng(0), 2, 8, like=like)
    assert (z.device.type, z.dtype, z.shape) == ("meta", torch.float64, (2, 8))
    here = noise(np.random.default_rng(0), 2000, 8, like=torch.empty(1))
    assert abs(float(here.mean())) < 0.05
    assert abs(float(here.std()) - 1) < 0.05


def small(method: str, **changes: Any) -> Learner:
    norms = {"generator__norm": "instance", "discriminator__norm": "instance"}
    return learner(method, **{**norms, **changes})
