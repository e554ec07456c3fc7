"""The pictures that files, folders, glob patterns and lists name."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
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


def list_inputs(
    names: Sequence[str | Path],
    *,
    channels: int = 3,
    ignore: Callable[[Path], bool] = lambda _: False,
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
        path = Path(name)
        if name == PIPE:
            if not pipe:
                raise UsageError(
                    "-: this command does not read from a pipe. Name a file or a folder"
                )
            found.append(Input(path=PIPE_NAME, relative=PIPE_NAME, found="piped"))
        elif os.path.lexists(name) and not path.is_dir():
            found.append(Input(path=path, relative=Path(path.name), found="named"))
        else:
            if path.is_dir():
                base, pictures = path, _in_folder(path, Path(), channels)
                fault = "no pictures in this folder. Name one that holds some"
            else:
                base, pictures = _matching(str(name), channels)
                fault = "nothing matches this pattern. Check it"
            in_output = _test_of_folder(output, base=base)
            kept = [p for p in pictures if not (ignore(p.path) or in_output(p.path.parent))]
            if not kept:
                raise UsageError(f"{name}: {fault}")
            found += kept
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


def _in_folder(folder: Path, place: Path, channels: int) -> Iterator[Input]:
    for path in list_images(folder, channels=channels):
        yield Input(path=path, relative=place / path.relative_to(folder), found="folder")


def _matching(pattern: str, channels: int) -> tuple[Path, Iterator[Input]]:
    """Expand a pattern as a shell does; return the folder above its first wildcard, too.

    The tree below that folder is kept. A matching folder stands for its pictures, unless ``**``
    has matched them already.
    """
    if not glob.has_magic(pattern):
        raise UsageError(f"{pattern}: no such file or folder. Check the name")
    base = Path(re.split(r"[^/]*[*?[]", pattern.replace(os.sep, "/"), maxsplit=1)[0])

    def pictures() -> Iterator[Input]:
        for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - absolute ones too
            match = Path(name)
            place = below_root(match.relative_to(base))
            if not match.is_dir():
                yield Input(path=match, relative=place, found="pattern")
            elif "**" not in pattern:
                yield from _in_folder(match, place, channels)

    return base, pictures()


def _test_of_folder(output: Path | None, *, base: Path) -> Callable[[Path], bool]:
    """Give a test for folders in the output folder, if that lies below ``base``."""
    if output is None or real(base) not in real(output).parents:
        return lambda _: False
    place = real(output)
    return lru_cache(maxsize=1024)(lambda folder: real(folder).is_relative_to(place))
