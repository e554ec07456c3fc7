"""From what a person names, files, folders and patterns, to pictures."""

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.errors import UsageError
from imgtranslate.images import list_images


@dataclass(frozen=True, kw_only=True)
class Input:
    """A picture to read and its place below an output folder."""

    path: Path
    relative: Path
    in_folder: bool  # found in a folder that was named, not named itself


def _nothing(_: Path) -> bool:
    return False


def list_inputs(
    names: Sequence[str | Path],
    *,
    channels: int = 3,
    ignore: Callable[[Path], bool] = _nothing,
) -> list[Input]:
    """List the pictures that files, folders and patterns name, in their order.

    What ``ignore`` says yes to is left out unless it was named itself. Raises ``UsageError`` for
    a name that leads to no picture.
    """
    return [
        picture
        for name in names
        for path in _matches(str(name), ignore)
        for picture in _pictures(path, ignore, channels)
    ]


def _matches(text: str, ignore: Callable[[Path], bool]) -> list[Path]:
    """The path itself, or what a shell would have made of a pattern."""
    if text == "-":
        raise UsageError("-: reading from a pipe is not supported yet. Name a file or a folder")
    if os.path.lexists(text):
        return [Path(text)]
    if not glob.has_magic(text):
        raise UsageError(f"{text}: no such file or folder. Check the name")
    names = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - takes absolute patterns too
    matches = [path for path in map(Path, names) if path.is_dir() or not ignore(path)]
    if "**" in text:
        matches = [match for match in matches if not match.is_dir()]
    if not matches:
        raise UsageError(f"{text}: nothing matches this pattern. Check it")
    return matches


def _pictures(path: Path, ignore: Callable[[Path], bool], channels: int) -> list[Input]:
    if not path.is_dir():
        return [Input(path=path, relative=Path(path.name), in_folder=False)]
    pictures = [
        Input(path=found, relative=found.relative_to(path), in_folder=True)
        for found in list_images(path, channels=channels)
        if not ignore(found)
    ]
    if not pictures:
        raise UsageError(f"{path}: no pictures in this folder. Name one that holds some")
    return pictures
