"""The findings of the check: lines that describe them, and pictures that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data.folders import Domain

SHOWN = 3  # lines of one kind, and examples in one line


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture and the domain that it belongs to."""

    domain: Domain
    path: Path
    held_out: bool = False


Group = tuple[Example, ...]  # pictures to look at together


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Lines that describe a finding and its remedy, and the pictures that show it."""

    lines: tuple[str, ...]
    title: str = ""  # a few words above its pictures
    groups: tuple[Group, ...] = ()
    doubtful: bool = True  # True for a warning, False for a plain fact


def count_and_first(paths: Sequence[Path], one: str, many: str) -> str:
    """Write the number of pictures and the first name, with the verb for one or for many."""
    first = paths[0].name
    if len(paths) == 1:
        return f"{first} {one}"
    return f"{len(paths)} pictures, such as {first}, {many}"


def limited(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the first lines, and a last one with the number of the others."""
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"and {more} more of this kind"] if more > 0 else []))
