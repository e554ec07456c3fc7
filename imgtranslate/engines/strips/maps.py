"""Feature maps of a whole picture, which compute only the requested rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from imgtranslate.engines.engine import ReadPixels
from imgtranslate.networks.layers import BlurDown, BlurUp, ResizeConv

Rows = Callable[[int, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Map:
    """A map (1, channels, height, width); ``rows(start, stop)`` computes (1, channels, n, width).

    ``row_bytes``: the memory for one row, or for the rows from which it is computed if larger.
    """

    channels: int
    height: int
    width: int
    rows: Rows
    row_bytes: int

    @property
    def numel(self) -> int:
        """The number of values."""
        return self.channels * self.height * self.width


@dataclass(frozen=True, kw_only=True)
class Local:
    """The geometry of a local module, which maps ``down`` rows to ``up`` rows.

    A row of the output depends on ``reach`` rows around its position. ``channels``: of the output;
    None for those of the input.
    """

    down: int = 1
    up: int = 1
    reach: int
    channels: int | None = None


def picture(read: ReadPixels, *, channels: int, size: tuple[int, int], device: torch.device) -> Map:
    """Make a map of the picture itself; ``size``: height and width."""
    height, width = size

    def rows(start: int, stop: int) -> Tensor:
        return torch.from_numpy(read(slice(start, stop), slice(0, width)))[None].to(device)

    return Map(
        channels=channels, height=height, width=width, rows=rows, row_bytes=4 * channels * width
    )


def pointwise(x: Map, function: Callable[[Tensor], Tensor]) -> Map:
    """Apply ``function``, which must not work in place, to every value."""
    return replace(x, rows=lambda start, stop: function(x.rows(start, stop)))


def combined(a: Map, b: Map, function: Callable[[Tensor, Tensor], Tensor], *, channels: int) -> Map:
    """Apply ``function`` to the same rows of two maps of one size."""
    return replace(
        a,
        channels=channels,
        rows=lambda start, stop: function(a.rows(start, stop), b.rows(start, stop)),
        row_bytes=max(a.row_bytes + b.row_bytes, 4 * channels * a.width),
    )


def joined(a: Map, b: Map) -> Map:
    """Concatenate the channels of a and b."""
    return combined(a, b, lambda x, y: torch.cat((x, y), 1), channels=a.channels + b.channels)


def added(a: Map, b: Map) -> Map:
    """Add two maps."""
    return combined(a, b, torch.add, channels=a.channels)


def local(x: Map, module: nn.Module) -> Map:
    """Apply a module to the map, with its padding at the borders of the picture.

    A window with all the rows that the module needs runs like a separate picture. Rows that depend
    on padding inside the picture are then removed.
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
    """Return the geometry of a module of a generator. Raises ``TypeError`` for other modules."""
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
            raise TypeError(f"{type(module).__name__}: not a known local module")
