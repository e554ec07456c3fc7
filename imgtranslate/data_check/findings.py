"""The findings of the check: lines that describe them, and pictures that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domain
from imgtranslate.errors import DataError

SHOWN = 3  # lines of one kind, and examples in one line


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture and the domain that it belongs to."""

    domain: Domain
    path: Path
    held_out: bool = False

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {"side": self.domain.letter, "path": str(self.path), "held_out": self.held_out}


Group = tuple[Example, ...]  # pictures to look at together


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Lines that describe a finding and its remedy, and the pictures that show it."""

    lines: tuple[str, ...]
    title: str = ""  # a few words above its pictures
    groups: tuple[Group, ...] = ()
    reasons: tuple[str, ...] = ()  # of each group; the title if there are none
    doubtful: bool = True  # True for a warning, False for a plain fact

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values, with all pictures."""
        reasons = self.reasons or (self.title,) * len(self.groups)
        return {
            "finding": self.title or self.lines[0],
            "warning": self.doubtful,
            "lines": list(self.lines),
            "groups": [
                {"reason": reason, "pictures": [each.to_json() for each in group]}
                for reason, group in zip(reasons, self.groups, strict=True)
            ],
        }


class RefusedPicturesError(DataError):
    """Pictures that cannot be trained on; the finding has all of them."""

    def __init__(self, message: str, finding: Finding) -> None:
        """Give the message for the user, and the finding."""
        super().__init__(message)
        self.finding = finding


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
