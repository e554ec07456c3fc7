"""Feature maps of a whole picture of which only the rows asked for are computed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imgtranslate.engines.engine import ReadPixels
from imgtranslate.networks.layers import BlurDown, BlurUp, ResizeConv

Rows = Callable[[int, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Map:
    """(1, channels, height, width); ``rows(start, stop)`` computes (1, channels, n, width).

    ``row_bytes``: the memory that one row takes, its own or that of the rows it is computed from,
    whichever is more.
    """

    channels: int
    height: int
    width: int
    rows: Rows
    row_bytes: int

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return self.channels * self.height * self.width


@dataclass(frozen=True, kw_only=True)
class Local:
    """What a module makes of places: ``down`` rows become ``up``, seen from ``reach`` places.

    ``channels``: of what comes out; None: as many as came in.
    """

    down: int = 1
    up: int = 1
    reach: int
    channels: int | None = None


def picture(read: ReadPixels, *, channels: int, size: tuple[int, int], device: torch.device) -> Map:
    """The picture itself; ``size``: height and width."""
    height, width = size

    def rows(start: int, stop: int) -> Tensor:
        return torch.from_numpy(read(slice(start, stop), slice(0, width)))[None].to(device)

    return Map(
        channels=channels, height=height, width=width, rows=rows, row_bytes=4 * channels * width
    )


def pointwise(x: Map, function: Callable[[Tensor], Tensor]) -> Map:
    """``function`` of every value by itself, which may work in place on none of them."""
    return Map(
        channels=x.channels,
        height=x.height,
        width=x.width,
        rows=lambda start, stop: function(x.rows(start, stop)),
        row_bytes=x.row_bytes,
    )


def combined(a: Map, b: Map, function: Callable[[Tensor, Tensor], Tensor], *, channels: int) -> Map:
    """``function`` of the same rows of two maps of one size."""
    return Map(
        channels=channels,
        height=a.height,
        width=a.width,
        rows=lambda start, stop: function(a.rows(start, stop), b.rows(start, stop)),
        row_bytes=max(a.row_bytes + b.row_bytes, 4 * channels * a.width),
    )


def joined(a: Map, b: Map) -> Map:
    """The channels of a, then those of b."""
    return combined(a, b, lambda x, y: torch.cat((x, y), 1), channels=a.channels + b.channels)


def added(a: Map, b: Map) -> Map:
    """The sum."""
    return combined(a, b, torch.add, channels=a.channels)


def local(x: Map, module: nn.Module) -> Map:
    """What ``module`` makes of the map, with the padding it has at the borders of the picture.

    A window is taken with the rows that its module reaches to, and run as a picture of its own;
    then the rows go that saw the padding at a border which is none of the picture's.
    """
    form = local_form(module)
    channels, width = form.channels or x.channels, x.width * form.up // form.down
    places = x.height // form.down

    def rows(start: int, stop: int) -> Tensor:
        first = max(start // form.up - form.reach, 0)
        last = min(-(-stop // form.up) + form.reach, places)
        y: Tensor = module(x.rows(form.down * first, form.down * last))
        return y[:, :, start - form.up * first : stop - form.up * first]

    return Map(
        channels=channels,
        height=places * form.up,
        width=width,
        rows=rows,
        row_bytes=max(4 * channels * width, -(-x.row_bytes * form.down // form.up)),
    )


def local_form(module: nn.Module) -> Local:
    """How far a module of the generators sees. Raises ``TypeError`` for any other."""
    match module:
        case nn.ConvTranspose2d():
            return Local(up=2, reach=1, channels=module.out_channels)
        case nn.Conv2d() if module.stride[0] == 2:
            return Local(down=2, reach=1, channels=module.out_channels)
        case nn.Conv2d():
            return Local(reach=module.kernel_size[0] // 2, channels=module.out_channels)
        case ResizeConv():
            return Local(up=2, reach=1, channels=module.conv.out_channels)
        case BlurDown():
            return Local(down=2, reach=1)
        case BlurUp():
            return Local(up=2, reach=1)
        case _:
            raise TypeError(f"{type(module).__name__}: not known to be local")
