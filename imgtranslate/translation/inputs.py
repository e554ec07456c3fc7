"""The pictures that files, folders, glob patterns and lists name."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from imgtranslate.errors import UsageError
from imgtranslate.images import list_images

Pipe = Literal["-"]  # stdin as an input, stdout as an output
PIPE: Pipe = "-"
Place = Path | Pipe
PIPE_NAME = Path("stdin")

Found = Literal["named", "listed", "pattern", "folder", "piped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A picture to read and its place below an output folder."""

    path: Path  # a made-up name for stdin
    relative: Path
    found: Found  # the way it was named

    @property
    def place(self) -> Place:
        """The path, or stdin."""
        return PIPE if self.found == "piped" else self.path


def _nothing(_: Path) -> bool:
    return False


def list_inputs(
    names: Sequence[str | Path],
    *,
    channels: int = 3,
    ignore: Callable[[Path], bool] = _nothing,
    output: Path | None = None,
    pipe: bool = False,
) -> list[Input]:
    """List the pictures that files, folders and patterns name, in their order.

    Leaves out pictures that ``ignore`` accepts, unless they are named themselves, and pictures in
    the folder ``output`` below a named folder or pattern. ``pipe``: ``-`` may stand for stdin.
    Raises ``UsageError`` for a name that leads to no picture.
    """
    found: list[Input] = []
    for name in names:
        if name == PIPE:
            found.append(_piped(pipe=pipe))
        elif os.path.lexists(name):
            found += _existing(Path(name), ignore, output, channels)
        else:
            found += _matching(str(name), ignore, output, channels)
    return found


def read_list(source: BinaryIO, *, zero: bool) -> list[Input]:
    """Read the names of pictures, one a line or each ended by a zero byte.

    The files are not looked up: a missing one fails alone when it is read. Below an output folder
    a picture keeps its listed path, without a root or ``..`` that would lead out. Raises
    ``UsageError`` for unexpected zero bytes.
    """
    content = source.read()
    if not zero and b"\0" in content:
        raise UsageError("--files-from: zero bytes between its names. Add -0, or list one a line")
    names = content.split(b"\0") if zero else content.replace(b"\r\n", b"\n").split(b"\n")
    paths = (Path(os.fsdecode(name)) for name in names if name)
    return [Input(path=path, relative=below_root(path), found="listed") for path in paths]


def below_root(path: Path) -> Path:
    """Drop the root and ``..`` of a path, so that it stays in the folder that it is put in."""
    if path.name and not path.anchor and ".." not in path.parts:
        return path
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    return Path(*parts or ["unnamed"])


def real(path: Path) -> Path:
    """Resolve links; where they form a circle, as far as possible."""
    return Path(os.path.realpath(path))


def _piped(*, pipe: bool) -> Input:
    if not pipe:
        raise UsageError("-: this command does not read from a pipe. Name a file or a folder")
    return Input(path=PIPE_NAME, relative=PIPE_NAME, found="piped")


def _existing(
    path: Path, ignore: Callable[[Path], bool], output: Path | None, channels: int
) -> list[Input]:
    if not path.is_dir():
        return [Input(path=path, relative=Path(path.name), found="named")]
    own = _inside(output, base=path)
    pictures = [p for p in _pictures(path, Path(), channels) if not _left_out(p, ignore, own)]
    if not pictures:
        raise UsageError(f"{path}: no pictures in this folder. Name one that holds some")
    return pictures


def _matching(
    pattern: str, ignore: Callable[[Path], bool], output: Path | None, channels: int
) -> list[Input]:
    """Expand a pattern as a shell does; the tree below its first wildcard is kept."""
    if not glob.has_magic(pattern):
        raise UsageError(f"{pattern}: no such file or folder. Check the name")
    base = _fixed_part(pattern)
    own = _inside(output, base=base)
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute ones too
    found = [
        picture
        for match in map(Path, matches)
        for picture in _matched(match, base, channels, whole="**" not in pattern)
        if not _left_out(picture, ignore, own)
    ]
    if not found:
        raise UsageError(f"{pattern}: nothing matches this pattern. Check it")
    return found


def _matched(match: Path, base: Path, channels: int, *, whole: bool) -> Iterable[Input]:
    """List a matching file, or a folder's pictures unless ``**`` has matched them already."""
    place = below_root(match.relative_to(base))
    if not match.is_dir():
        return [Input(path=match, relative=place, found="pattern")]
    return _pictures(match, place, channels) if whole else ()


def _pictures(folder: Path, place: Path, channels: int) -> Iterator[Input]:
    for path in list_images(folder, channels=channels):
        yield Input(path=path, relative=place / path.relative_to(folder), found="folder")


def _fixed_part(pattern: str) -> Path:
    """Return the folder above the first wildcard."""
    return Path(re.split(r"[^/]*[*?[]", pattern.replace(os.sep, "/"), maxsplit=1)[0])


def _left_out(picture: Input, ignore: Callable[[Path], bool], own: Callable[[Path], bool]) -> bool:
    return ignore(picture.path) or own(picture.path.parent)


def _inside(output: Path | None, *, base: Path) -> Callable[[Path], bool]:
    """Give a test for folders in the output folder, if that lies below ``base``."""
    if output is None or real(base) not in real(output).parents:
        return _nothing
    place = real(output)
    return lru_cache(maxsize=1024)(lambda folder: real(folder).is_relative_to(place))
