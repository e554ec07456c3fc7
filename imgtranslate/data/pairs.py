"""Pairs of pictures of A and B in their three forms.

They are two folders with equal names, a folder of pictures side by side, or a CSV file.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imgtranslate.data.shards import key_of, names_shards
from imgtranslate.errors import DataError, counted
from imgtranslate.images import IMAGE_SUFFIXES
from imgtranslate.images.arrays import ARRAY_SUFFIX
from imgtranslate.images.listing import as_stored, same_text

Half = Literal["whole", "left", "right"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The pictures of one side in order; in paired data the n-th pictures of both are a pair."""

    folder: Path
    files: tuple[Path, ...]
    half: Half = "whole"  # of each file


def match_by_name(a: Listing, b: Listing) -> tuple[Listing, Listing]:
    """Match the pictures of two folders by their relative paths without suffixes.

    Names that differ in their Unicode form alone are equal.
    Raises ``DataError`` for a picture without a partner and for two pictures of one name.
    """
    names_a, names_b = _by_stem(a), _by_stem(b)
    for here, there, folder in ((names_a, names_b, b.folder), (names_b, names_a, a.folder)):
        missing = sorted(here.keys() - there.keys())
        if missing:
            raise DataError(
                f"{here[missing[0]]}: no partner named {missing[0]} in {folder}; "
                f"{counted(len(missing), 'picture')} without a partner. Add or remove them: pairs "
                "have equal names"
            )
    stems = sorted(names_a, key=lambda stem: _stem(names_a[stem], a.folder))
    return (
        Listing(folder=a.folder, files=tuple(names_a[stem] for stem in stems)),
        Listing(folder=b.folder, files=tuple(names_b[stem] for stem in stems)),
    )


def halves_of(place: Path, *, order: Literal["ab", "ba"]) -> tuple[Half, Half]:
    """Return the parts of each file of pairs that belong to A and to B.

    No files are listed, so this works even if the pairs have been moved away.
    """
    if is_table(place) or (place.suffix.lower() == ".csv" and not place.exists()):
        return "whole", "whole"
    return ("left", "right") if order == "ab" else ("right", "left")


def is_table(place: Path) -> bool:
    """Return whether pairs are given by a file of their names, such as a CSV file."""
    return place.is_file() and not names_shards(place)


def read_table(setting: str, file: Path) -> tuple[Listing, Listing]:
    """Read two columns of paths relative to the file; a first row without files is a heading.

    Commas, semicolons or tabs separate the columns, as spreadsheet programs write them.
    Errors begin with ``setting``, which gives the file. Raises ``DataError``.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            text = lines.read()
        rows = max((_rows(text, delimiter) for delimiter in ",;\t"), key=_count_pairs)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{setting} {file}: neither a folder nor a readable CSV file: {error}. Name a folder of"
            " pictures side by side, or a CSV file in UTF-8 with two columns"
        ) from error
    if rows and not any(_names_picture(_path_in(cell, file)) for cell in rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise DataError(f"{setting} {file}: contains no pairs. Write two paths in each row")
    pairs = []
    for number, row in rows:
        place = f"{setting} {file}: row {number}"
        if len(row) != 2:
            raise DataError(
                f"{place} has {counted(len(row), 'column')}, not 2, separated by commas, "
                "semicolons or tabs. Correct that row"
            )
        pair = [_path_in(cell, file) for cell in row]
        for path in pair:
            if not _is_file(path):
                raise DataError(f"{place}: {path}: no such file. Correct that row")
        pairs.append(pair)
    a, b = zip(*pairs, strict=True)
    return Listing(folder=file.parent, files=a), Listing(folder=file.parent, files=b)


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, with their numbers from 1."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [(number, row) for number, row in enumerate(rows, 1) if any(row)]


def _count_pairs(rows: list[tuple[int, list[str]]]) -> int:
    return sum(len(row) == 2 for _, row in rows)


def _path_in(cell: str, table: Path) -> Path:
    return as_stored(table.parent / cell.strip())


def _by_stem(listing: Listing) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in listing.files:
        stem = same_text(_stem(file, listing.folder))
        other = found.setdefault(stem, file)
        if other != file:
            raise DataError(f"{file}: another picture has this name, {other}. Remove one of them")
    return found


def _stem(file: Path, folder: Path) -> str:
    return key_of(file) or file.relative_to(folder).with_suffix("").as_posix()


def _names_picture(path: Path) -> bool:
    """Return whether a cell is a file, or looks like a misspelt one by its suffix."""
    return path.suffix.lower() in {*IMAGE_SUFFIXES, ARRAY_SUFFIX} or _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long, or a circular link
        return False
