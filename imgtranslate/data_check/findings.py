"""The findings of the check: lines that tell them, and pictures that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data.folders import Domain

SHOWN = 3  # lines of one kind, and examples in a line


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, and the domain that it is read for."""

    domain: Domain
    path: Path
    held_out: bool = False


Group = tuple[Example, ...]  # pictures to look at together


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Lines that say what was found and what to do, and the pictures that show it."""

    lines: tuple[str, ...]
    title: str = ""  # of its pictures, a few words
    groups: tuple[Group, ...] = ()
    doubtful: bool = True  # a warning, else a fact


def count_and_first(paths: Sequence[Path], one: str, many: str) -> str:
    """Name the first picture and the number of all, with the verb for one or for many."""
    first = paths[0].name
    if len(paths) == 1:
        return f"{first} {one}"
    return f"{len(paths)} pictures, {first} the first, {many}"


def limited(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the first lines, and one that says how many more there are."""
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"and {more} more like the one before"] if more > 0 else []))
