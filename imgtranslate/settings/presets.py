"""Methods and presets: the settings in which each differs from the defaults.

The preset (size and schedule) overrides the method, and the user's settings override both. Named
variants of a method are methods here; ``docs/`` describes them.
"""

from collections.abc import Mapping

from imgtranslate.settings.config import Settings, Tree, to_tree

_UNET: Tree = {"generator": {"kind": "unet"}}
_BICYCLEGAN: Tree = {
    "generator": {
        "kind": "unet",
        "skip_order": "up_first",
        "conv_bias": "always",
        "latent_dim": 8,
        "z_at": "all",
    },
    "init": {"kind": "xavier"},
    "train": {"batch_size": 2},
}


_CUT: Tree = {
    "data": {"crop_size_in_decay": True},
    "schedule": {"epochs": 200, "decay_epochs": 200},
}


def _bicyclegan(paths: str) -> Tree:
    return {
        **_BICYCLEGAN,
        "method": {"kind": "bicyclegan", "paths": paths},
        "discriminator": {"kind": "multiscale"},
        "encoder": {"kind": "residual"},
    }


METHODS: Mapping[str, Tree] = {
    "cyclegan": {"method": {"kind": "cyclegan"}},
    "pix2pix": {**_UNET, "method": {"kind": "pix2pix"}},
    "bicyclegan": _bicyclegan("both"),
    "cut": {**_CUT, "method": {"kind": "cut"}},
    # Variants
    "fastcut": {
        **_CUT,
        "method": {
            "kind": "cut",
            "lambda_nce": 10.0,
            "nce_identity": False,
            "flip_equivariance": True,
        },
        "schedule": {"epochs": 150, "decay_epochs": 50},
    },
    "dualgan": {
        "method": {
            "kind": "cyclegan",
            "gan_mode": "wgangp",
            "lambda_a": 20.0,
            "lambda_b": 20.0,
            "lambda_identity": 0.0,
            "pool_size": 0,
        },
        "generator": {"kind": "unet", "dropout": True},
        "optimizer": {"kind": "rmsprop", "lr": 5e-5},
    },
    "pix2pix-paper": {
        "method": {"kind": "pix2pix"},
        "generator": {"kind": "unet", "norm": "batch", "dropout": True},
        "discriminator": {"norm": "batch"},
    },
    "pix2pix-noise": {
        **_BICYCLEGAN,
        "method": {
            "kind": "pix2pix",
            "gan_mode": "lsgan",
            "lambda_l1": 10.0,
            "conditional": False,
        },
        "discriminator": {"kind": "multiscale"},
    },
    "cvae-gan": _bicyclegan("cvae"),
    "clr-gan": _bicyclegan("clr"),
}

PRESETS: Mapping[str, Tree] = {
    "paper": {},
    "fast": {
        "data": {"crop_size": 128},
        "generator": {"base_channels": 32, "num_blocks": 6},
        "discriminator": {"base_channels": 32},
        "encoder": {"base_channels": 32},
        "schedule": {"epochs": 10, "decay_epochs": 10},
    },
    "tiny": {
        "data": {"crop_size": 64},
        "generator": {"base_channels": 16, "num_blocks": 3},
        "discriminator": {"base_channels": 32, "num_layers": 2},
        "encoder": {"base_channels": 16, "num_blocks": 3},
        "optimizer": {"lr": 1e-3},
        "schedule": {"constant_steps": 1000, "decay_steps": 1000},
    },
}

_NETWORKS = ("generator", "discriminator", "encoder")


def name_of_method(settings: Settings) -> str:
    """Name the method of settings: a variant if they have its losses and networks, else the kind.

    Numbers such as the weights of losses are left out: a variant with other weights keeps its name.
    """
    tree = to_tree(settings)

    def matches(variant: Tree) -> bool:
        return all(
            tree[section][name] == value
            for section in ("method", *_NETWORKS)
            for name, value in variant.get(section, {}).items()
            if not isinstance(value, float)
        )

    def defined(name: str) -> int:
        return sum(len(METHODS[name].get(section, {})) for section in ("method", *_NETWORKS))

    names = [name for name, variant in METHODS.items() if matches(variant)]
    return max(names, key=defined, default=settings.method.kind)


def kind_of_method(name: str) -> str:
    """Return the kind of a method or variant; a name that is neither is its own kind."""
    return str(METHODS[name]["method"]["kind"]) if name in METHODS else name
