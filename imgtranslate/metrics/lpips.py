"""LPIPS (arXiv 1801.03924), the perceptual distance of two pictures by AlexNet.

The linear layers (version 0.1) come with torchmetrics; the user provides the weights of AlexNet.
"""

from pathlib import Path

import torch
from torch import nn

from imgtranslate.errors import CheckpointError, needs_extra
from imgtranslate.images import Pixels, to_network
from imgtranslate.model_files.foreign_weights import read_weights

WANTED = "alexnet-owt-7be5be79.pth of torchvision"
SMALLEST = 64  # px; smaller pictures do not reach the last layers of AlexNet
_OPTION = "`lpips`"


def load_lpips(path: Path) -> nn.Module:
    """Build the network with the weights of AlexNet. Raises ``UsageError`` if that fails."""
    with needs_extra("metrics", what=_OPTION):
        import torchmetrics.functional.image.lpips as published
    weights = read_weights(path, wanted=WANTED, option=_OPTION)
    # Built without weights: torchmetrics would download those of AlexNet and unpickle the others.
    network: nn.Module = published._NoTrainLpips(pretrained=False, net="alex", pnet_rand=True)
    linear = Path(published.__file__).with_name("lpips_models") / "alex.pth"
    network.load_state_dict(read_weights(linear, wanted="a whole torchmetrics"), strict=False)
    backbone = network.get_submodule("net")
    names = {name: f"features.{name.partition('.')[2]}" for name in backbone.state_dict()}
    try:
        backbone.load_state_dict({name: weights[theirs] for name, theirs in names.items()})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{_OPTION} {path}: contains the weights of another network. Give {WANTED}"
        ) from error
    return network


@torch.inference_mode()
def lpips(network: nn.Module, x: Pixels, y: Pixels) -> float:
    """Return the distance of two pictures (h, w, 3) of the same size; 0 if they are equal."""
    pair = [torch.from_numpy(to_network(pixels))[None] for pixels in (x, y)]
    return float(network(*pair))
