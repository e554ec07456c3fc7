"""What every method is without a setting of one's own: section by section, as the papers say."""

from typing import Any

import pytest

from imgtranslate.settings.config import Settings, Tree, is_paired, to_tree
from imgtranslate.settings.parsing import build_settings, merge
from imgtranslate.settings.presets import METHODS

COMMON: Tree = {
    "data": {"load_size": 286, "crop_size": 256, "flip": True, "rotate": False},
    "init": {"kind": "normal", "gain": 0.02},
    "optimizer": {"kind": "adam", "lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "max_grad_norm": 0.0},
    "schedule": {"kind": "linear", "epochs": 100, "decay_epochs": 100},
    "train": {"batch_size": 1, "ema_decay": 0.0},
    "discriminator": {
        "kind": "patchgan",
        "base_channels": 64,
        "num_layers": 3,
        "norm": "instance",
        "conv_bias": "by_norm",
    },
}
CYCLEGAN: Tree = {
    "method": {
        "kind": "cyclegan",
        "update": "joint",
        "gan_mode": "lsgan",
        "lambda_gan_ab": 1.0,
        "lambda_gan_ba": 1.0,
        "lambda_a": 10.0,
        "lambda_b": 10.0,
        "lambda_identity": 0.5,
        "pool_size": 50,
    },
    "generator": {
        "kind": "resnet",
        "base_channels": 64,
        "num_blocks": 9,
        "norm": "instance",
        "dropout": False,
        "upsample": "transpose",
        "padding": "reflect",
        "antialias": False,
    },
}
UNET: Tree = {
    "kind": "unet",
    "base_channels": 64,
    "depth": 8,
    "norm": "instance",
    "dropout": False,
    "upsample": "transpose",
    "skip_order": "skip_first",
    "conv_bias": "by_norm",
    "latent_dim": 0,
    "z_at": "none",
}
PIX2PIX: Tree = {
    "method": {
        "kind": "pix2pix",
        "gan_mode": "vanilla",
        "lambda_gan": 1.0,
        "lambda_l1": 100.0,
        "conditional": True,
        "pool_size": 0,
    },
    "generator": UNET,
}
WITH_CODE: Tree = {
    "generator": {
        **UNET,
        "skip_order": "up_first",
        "conv_bias": "always",
        "latent_dim": 8,
        "z_at": "all",
    },
    "discriminator": {"kind": "multiscale", "num_scales": 2, "conv_bias": "always"},
    "init": {"kind": "xavier"},
    "train": {"batch_size": 2},
}
BICYCLEGAN: Tree = {
    **WITH_CODE,
    "method": {
        "kind": "bicyclegan",
        "paths": "both",
        "gan_mode": "lsgan",
        "lambda_gan": 1.0,
        "lambda_l1": 10.0,
        "lambda_latent": 0.5,
        "lambda_kl": 0.01,
        "conditional": False,
        "shared_discriminator": False,
    },
    "encoder": {"kind": "residual", "base_channels": 64, "num_blocks": 4, "norm": "instance"},
}
CUT: Tree = {
    "method": {
        "kind": "cut",
        "gan_mode": "lsgan",
        "lambda_gan": 1.0,
        "lambda_nce": 1.0,
        "nce_identity": True,
        "nce_patches": 256,
        "nce_temperature": 0.07,
        "flip_equivariance": False,
        "nce_supervised": False,
    },
    "generator": {**CYCLEGAN["generator"], "antialias": True},
    "discriminator": {"antialias": True},
    "init": {"kind": "xavier"},
    "data": {"crop_size_in_decay": True},
    "schedule": {"epochs": 200, "decay_epochs": 200},
}
TABLE: dict[str, Tree] = {
    "cyclegan": CYCLEGAN,
    "pix2pix": PIX2PIX,
    "pix2pix-paper": merge(
        PIX2PIX,
        {"generator": {"norm": "batch", "dropout": True}, "discriminator": {"norm": "batch"}},
    ),
    "bicyclegan": BICYCLEGAN,
    "cvae-gan": merge(BICYCLEGAN, {"method": {"paths": "cvae"}}),
    "clr-gan": merge(BICYCLEGAN, {"method": {"paths": "clr"}}),
    "pix2pix-noise": merge(
        PIX2PIX,
        WITH_CODE,
        {"method": {"gan_mode": "lsgan", "lambda_l1": 10.0, "conditional": False}},
    ),
    "dualgan": merge(
        CYCLEGAN,
        {
            "method": {
                "gan_mode": "wgangp",
                "lambda_a": 20.0,
                "lambda_b": 20.0,
                "lambda_identity": 0.0,
                "pool_size": 0,
            },
            "optimizer": {"kind": "rmsprop", "lr": 5e-5},
        },
    )
    | {"generator": {**UNET, "dropout": True}},
    "cut": CUT,
    "fastcut": merge(
        CUT,
        {
            "method": {"lambda_nce": 10.0, "nce_identity": False, "flip_equivariance": True},
            "schedule": {"epochs": 150, "decay_epochs": 50},
        },
    ),
}
UNPAIRED = ("cyclegan", "dualgan", "cut", "fastcut")


def build(method: str, **data: Any) -> Settings:
    return build_settings(method=method, layers=[{"data": {"a": "a", "b": "b", **data}}])


def part_of(found: Tree, wanted: Tree) -> Tree:
    """What ``found`` says where ``wanted`` says something."""
    return {
        key: part_of(found[key], value) if isinstance(value, dict) else found.get(key)
        for key, value in wanted.items()
    }


def test_the_table_has_every_method() -> None:
    assert TABLE.keys() == METHODS.keys()


@pytest.mark.parametrize("method", TABLE)
def test_defaults(method: str) -> None:
    found, wanted = to_tree(build(method)), merge(COMMON, TABLE[method])
    assert part_of(found, wanted) == wanted
    assert ("encoder" in found) == ("encoder" in wanted)
    assert found["generator"].keys() == wanted["generator"].keys()


@pytest.mark.parametrize("method", TABLE)
def test_which_methods_need_pairs(method: str) -> None:
    assert is_paired(build(method).method) == (method not in UNPAIRED)
    if "cut" in method:
        layers: list[Tree] = [{"data": {"pairs": "p"}, "method": {"nce_supervised": True}}]
        assert is_paired(build_settings(method=method, layers=layers).method)


@pytest.mark.parametrize("encoder", ["residual", "resnet18"])
def test_bicyclegan_at_128_px(encoder: str) -> None:
    layers: list[Tree] = [
        {"data": {"a": "a", "b": "b", "crop_size": 128}, "encoder": {"kind": encoder}}
    ]
    found = to_tree(build_settings(method="bicyclegan", layers=layers))
    assert found["generator"]["depth"] == 7
    assert found["discriminator"]["num_layers"] == 2
    assert found["encoder"].get("num_blocks", 3) == 3
