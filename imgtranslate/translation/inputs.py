"""The inputs of a translation: the pictures in files, folders, globs and lists."""

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
    """A picture to read, and its relative path in an output folder."""

    path: Path  # a placeholder for stdin
    relative: Path
    found: Found  # how the user named it

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
    """List the pictures in files, folders and globs, in the given order.

    Pictures that ``ignore`` accepts are skipped unless they are named directly, and so are pictures
    in the folder ``output`` inside of a named folder or glob. ``pipe``: allow ``-`` for stdin.
    Raises ``UsageError`` for a name without pictures.
    """
    found: list[Input] = []
    for name in names:
        path = Path(name)
        if name == PIPE:
            if not pipe:
                raise UsageError("-: this command does not read stdin. Name a file or a folder")
            found.append(Input(path=PIPE_NAME, relative=PIPE_NAME, found="piped"))
        elif os.path.lexists(name) and not path.is_dir():
            found.append(Input(path=path, relative=Path(path.name), found="named"))
        else:
            if path.is_dir():
                base, pictures = path, _in_folder(path, Path(), channels)
                fault = "no pictures in this folder. Name a folder with pictures"
            else:
                base, pictures = _matching(str(name), channels)
                fault = "no file matches this glob. Check it"
            in_output = _test_of_folder(output, base=base)
            kept = [p for p in pictures if not (ignore(p.path) or in_output(p.path.parent))]
            if not kept:
                raise UsageError(f"{name}: {fault}")
            found += kept
    return found


def read_list(source: BinaryIO, *, zero: bool) -> list[Input]:
    """Read the paths of pictures, one per line or each terminated by a null byte.

    The files are not checked: a missing one fails on its own when it is read. In an output folder a
    picture keeps its listed path, without a root or ``..`` that would leave the folder. Raises
    ``UsageError`` for unexpected null bytes.
    """
    content = source.read()
    if not zero and b"\0" in content:
        raise UsageError(
            "`files_from`: null bytes between the paths. Add `zero`, or write one path per line"
        )
    names = content.split(b"\0") if zero else content.replace(b"\r\n", b"\n").split(b"\n")
    paths = (Path(os.fsdecode(name)) for name in names if name)
    return [Input(path=path, relative=below_root(path), found="listed") for path in paths]


def below_root(path: Path) -> Path:
    """Remove the root and ``..`` from a path, so that it stays inside of an output folder."""
    if path.name and not path.anchor and ".." not in path.parts:
        return path
    parts = [part for part in path.parts if part not in (path.anchor, "..")]
    return Path(*parts or ["unnamed"])


def real(path: Path) -> Path:
    """Resolve links, circular ones as far as possible."""
    return Path(os.path.realpath(path))


def _in_folder(folder: Path, place: Path, channels: int) -> Iterator[Input]:
    for path in list_images(folder, channels=channels):
        yield Input(path=path, relative=place / path.relative_to(folder), found="folder")


def _matching(pattern: str, channels: int) -> tuple[Path, Iterator[Input]]:
    """Expand a glob like a shell; also return the folder above the first wildcard.

    Outputs keep the tree below that folder. A matching folder gives its pictures, unless ``**``
    matches them anyway.
    """
    if not glob.has_magic(pattern):
        raise UsageError(f"{pattern}: no such file or folder. Check the name")
    base = Path(re.split(r"[^/]*[*?[]", pattern.replace(os.sep, "/"), maxsplit=1)[0])

    def pictures() -> Iterator[Input]:
        for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - also absolute patterns
            match = Path(name)
            place = below_root(match.relative_to(base))
            if not match.is_dir():
                yield Input(path=match, relative=place, found="pattern")
            elif "**" not in pattern:
                yield from _in_folder(match, place, channels)

    return base, pictures()


def _test_of_folder(output: Path | None, *, base: Path) -> Callable[[Path], bool]:
    """Return a test for folders in the output folder, if that is inside of ``base``."""
    if output is None or real(base) not in real(output).parents:
        return lambda _: False
    place = real(output)
    return lru_cache(maxsize=1024)(lambda folder: real(folder).is_relative_to(place))
