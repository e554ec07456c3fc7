"""What is doubtful about training pictures, in words and with examples to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data.folders import Domain

SHOWN = 3  # how many lines of one kind, and how many examples a line names


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture to look at, and the side that it is read for."""

    domain: Domain
    path: Path
    held_out: bool = False


Group = tuple[Example, ...]  # pictures that are looked at together


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Lines with what was found and what to do; the pictures that show it."""

    lines: tuple[str, ...]
    title: str = ""  # of its pictures, a few words
    groups: tuple[Group, ...] = ()
    doubtful: bool = True  # else a fact


def some(paths: Sequence[Path], one: str, many: str) -> str:
    """The first by its name and how many there are, with the verb for one or for many."""
    first = paths[0].name
    if len(paths) == 1:
        return f"{first} {one}"
    return f"{len(paths)} pictures, {first} the first, {many}"


def single(domain: Domain, paths: Sequence[Path]) -> tuple[Group, ...]:
    """Each picture by itself."""
    return tuple((Example(domain=domain, path=path),) for path in paths)


def limited(lines: Sequence[str]) -> tuple[str, ...]:
    """The first lines of a kind, and how many more there are."""
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"and {more} more like the one before"] if more > 0 else []))
