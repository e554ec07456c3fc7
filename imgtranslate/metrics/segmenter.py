"""The segmenter, a network that reads classes from photos: its training, use and file.

The file is safetensors with a JSON header, like a model: the torchvision network and the colours of
its classes. Nothing is downloaded; the initial weights are random.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from annotated_types import Interval, Len
from torch import Tensor, nn

from imgtranslate.errors import CheckpointError
from imgtranslate.images import Pixels, to_network
from imgtranslate.metrics.palette import MOST_COLOURS, Palette
from imgtranslate.metrics.segmentation import Classes
from imgtranslate.model_files.checkpoint import METADATA_KEY, load_tensors, save
from imgtranslate.settings.config import Section

Pair = tuple[Pixels, Classes]  # a photo (h, w, 3) and its classes (h, w)
Level = Annotated[int, Interval(ge=0, le=255)]

SIDE = 128  # px, side of the crops that the network sees
_BATCH = 8
_RATE = 2e-3
_MOMENTUM = 0.1  # of batch norm; the 0.01 of MobileNetV3 is too slow for a short training
_SMALLEST_CROP = 0.75  # share of the shorter side


@dataclass(frozen=True, kw_only=True)
class SegmenterHeader(Section):
    """The header of a segmenter file."""

    kind: Literal["segmenter"] = "segmenter"
    network: Literal["lraspp_mobilenet_v3_large"] = "lraspp_mobilenet_v3_large"
    colours: Annotated[tuple[tuple[Level, ...], ...], Len(2, MOST_COLOURS)]  # of the classes
    side: Annotated[int, Interval(ge=32, le=4096)]  # px, shorter side of the training pictures


@final
class Segmenter:
    """A trained segmentation network."""

    def __init__(self, network: nn.Module, header: SegmenterHeader) -> None:
        self._network = network.eval()
        self.header = header

    @property
    def palette(self) -> Palette:
        """The colours of the classes."""
        return Palette(self.header.colours)

    @torch.inference_mode()
    def classes(self, photo: Pixels, *, size: tuple[int, int]) -> Classes:
        """Classify each pixel: (h, w, 3) to ``size``; logits are resized as published."""
        values = torch.from_numpy(to_network(photo))[None]
        scale = self.header.side / min(photo.shape[:2])
        sides = [max(round(side * scale), self.header.side) for side in photo.shape[:2]]
        logits = self._network(_resized(values, (sides[0], sides[1])))["out"]
        found: Classes = _resized(logits, size)[0].argmax(0).numpy()
        return found

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        save(path, self._network.state_dict(), self.header)


def load_segmenter(path: Path) -> Segmenter:
    """Read a segmenter. Raises ``CheckpointError`` if the file is missing, damaged or foreign."""
    from pydantic import TypeAdapter, ValidationError
    from safetensors import safe_open

    tensors = load_tensors(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    try:
        header = TypeAdapter(SegmenterHeader).validate_json(metadata.get(METADATA_KEY, ""))
    except ValidationError as error:
        raise CheckpointError(
            f"`segmenter` {path}: not a segmenter of imgtranslate. "
            "Train one on a run with `train_segmenter`"
        ) from error
    network = _build(classes=len(header.colours))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"`segmenter` {path}: its weights do not fit {header.network}. "
            "Use another copy of the file"
        ) from error
    return Segmenter(network, header)


def train_segmenter(
    pair: Callable[[int], Pair],
    *,
    count: int,
    palette: Palette,
    steps: int,
    seed: int = 0,
    tell: Callable[[int, float], None],
) -> Segmenter:
    """Train a network to read classes from ``count`` real photos.

    Square crops of 3/4 to the whole of the shorter side are mirrored at random and resized to
    ``SIDE``; the learning rate decays linearly to 0. ``tell`` is called after each step with its
    loss.
    """
    header = SegmenterHeader(colours=palette.colours, side=SIDE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(classes=len(palette)).train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _MOMENTUM
        optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
        rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        for step, (photos, truth) in enumerate(_batches(pair, count, steps=steps, seed=seed), 1):
            loss = F.cross_entropy(network(photos)["out"], truth)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
            tell(step, loss.item())
    return Segmenter(network, header)


def _batches(
    pair: Callable[[int], Pair], count: int, *, steps: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield photos (8, 3, SIDE, SIDE) and classes (8, SIDE, SIDE)."""
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        samples = [_sample(*pair(int(n)), rng) for n in rng.integers(count, size=_BATCH)]
        yield torch.cat([photo for photo, _ in samples]), torch.cat([t for _, t in samples])


def _sample(photo: Pixels, truth: Classes, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crop the same square of both: (1, 3, SIDE, SIDE) and (1, SIDE, SIDE)."""
    height, width = truth.shape
    side = max(round(min(height, width) * rng.uniform(_SMALLEST_CROP, 1)), 1)
    top, left = (int(rng.integers(room - side + 1)) for room in (height, width))
    place = np.s_[top : top + side, left : left + side]
    values = torch.from_numpy(to_network(photo[place]))[None]
    classes = torch.from_numpy(truth[place].astype(np.float32))[None, None]
    values = _resized(values, (SIDE, SIDE))
    classes = F.interpolate(classes, size=(SIDE, SIDE), mode="nearest")[0].long()
    return (values.flip(-1), classes.flip(-1)) if rng.integers(2) else (values, classes)


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=True)


def _build(*, classes: int) -> nn.Module:
    from torchvision.models import segmentation  # type: ignore[import-untyped]

    network: nn.Module = segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=classes
    )
    return network
