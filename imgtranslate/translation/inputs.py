"""From what a person names, files, folders, patterns and lists, to pictures."""

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

    path: Path  # of one that is piped, a made up name
    relative: Path
    found: Found  # how it came here

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

    What ``ignore`` says yes to is left out unless it was named itself, and so is what lies in the
    folder ``output``, where a folder or pattern reaches down to it. ``pipe``: whether ``-`` may
    stand for stdin. Raises ``UsageError`` for a name that leads to no picture.
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

    Nothing is looked up: a name that leads nowhere fails alone, when its turn comes. Below an
    output folder a picture keeps the path that it is listed with; what would lead out of it
    (a root, ``..``) is dropped. Raises ``UsageError`` for zero bytes where there should be none.
    """
    content = source.read()
    if not zero and b"\0" in content:
        raise UsageError("--files-from: zero bytes between its names. Add -0, or list one a line")
    names = content.split(b"\0") if zero else content.replace(b"\r\n", b"\n").split(b"\n")
    paths = (Path(os.fsdecode(name)) for name in names if name)
    return [Input(path=path, relative=below_root(path), found="listed") for path in paths]


def below_root(path: Path) -> Path:
    """The path without what would lead out of the folder that it is put in."""
    if path.name and not path.anchor and ".." not in path.parts:
        return path
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    return Path(*parts or ["unnamed"])


def real(path: Path) -> Path:
    """The path without links; where they lead in a circle, as far as they go."""
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
    """What a shell would have made of a pattern; below its first wildcard the tree is kept."""
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
    """A matching file, or what is in a folder; ``**`` has matched that already."""
    place = below_root(match.relative_to(base))
    if not match.is_dir():
        return [Input(path=match, relative=place, found="pattern")]
    return _pictures(match, place, channels) if whole else ()


def _pictures(folder: Path, place: Path, channels: int) -> Iterator[Input]:
    for path in list_images(folder, channels=channels):
        yield Input(path=path, relative=place / path.relative_to(folder), found="folder")


def _fixed_part(pattern: str) -> Path:
    """The folder above the first wildcard."""
    return Path(re.split(r"[^/]*[*?[]", pattern.replace(os.sep, "/"), maxsplit=1)[0])


def _left_out(picture: Input, ignore: Callable[[Path], bool], own: Callable[[Path], bool]) -> bool:
    return ignore(picture.path) or own(picture.path.parent)


def _inside(output: Path | None, *, base: Path) -> Callable[[Path], bool]:
    """Whether a folder lies in the output folder, where that is below ``base``."""
    if output is None or real(base) not in real(output).parents:
        return _nothing
    place = real(output)
    return lru_cache(maxsize=1024)(lambda folder: real(folder).is_relative_to(place))
