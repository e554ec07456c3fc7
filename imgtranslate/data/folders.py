"""The two sides of a training: their training pictures, held-out pictures and names."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Literal

from imgtranslate.data.pairs import Half, Listing, halves_of, is_table, match_by_name, read_table
from imgtranslate.data.shards import list_shards, names_shards
from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import Picture, Pixels, eight_bits, list_images, read_image
from imgtranslate.images.tar_archive import size_of
from imgtranslate.settings.config import DataSettings

Files = tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The pictures of one side; held-out pictures are never used for training."""

    letter: str  # "a" or "b"
    name: str
    folder: Path
    files: Files
    held_out: Files
    half: Half = "whole"  # part of each training file that belongs to this side
    held_out_half: Half = "whole"  # part of each held-out file, which may have another form
    aligned: bool = False  # whether the n-th files of both sides are a pair, held-out ones too

    def read(self, path: Path, *, channels: int) -> Pixels:
        """Read a picture of this side: uint8 (h, w, channels). Raises ``ImageError``."""
        return self.read_picture(path, channels=channels).pixels

    def read_picture(self, path: Path, *, channels: int) -> Picture:
        """Read a picture of this side with its alpha and metadata. Raises ``ImageError``."""
        return eight_bits(self.read_deep(path, channels=channels))

    def read_deep(self, path: Path, *, channels: int) -> Picture:
        """Read a picture like ``read_picture``, but in the depth of its file."""
        picture = read_image(path, channels=channels)
        half = self.half_of(path)
        if half == "whole":
            return picture
        middle = picture.pixels.shape[1] // 2
        if middle == 0:
            raise ImageError(f"{path}: too narrow for a pair side by side: 1 px wide. Remove it")
        # The middle column of an odd width belongs to neither half.
        columns = slice(None, middle) if half == "left" else slice(-middle, None)
        alpha = None if picture.alpha is None else picture.alpha[:, columns]
        return replace(picture, pixels=picture.pixels[:, columns], alpha=alpha)

    def half_of(self, path: Path) -> Half:
        """Return the part of a file that belongs to this side."""
        return self.held_out_half if path in self._held_out else self.half

    @cached_property
    def _held_out(self) -> frozenset[Path]:
        return frozenset(self.held_out)

    def fingerprint(self) -> str:
        """Return a digest of the names and sizes of all training files, in order."""
        lines = (f"{relative_name(f, self.folder)}\0{size_of(f)}" for f in self.files)
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


Domains = tuple[Domain, Domain]  # A and B
HeldOut = tuple[Files, Files]


def find_domains(
    settings: DataSettings, *, paired: bool, held_out: HeldOut | None = None
) -> Domains:
    """List both sides, and hold out ``held_out`` (of A, of B) or else chosen pictures.

    In paired data the n-th files of both sides are a pair, held-out ones too. Raises ``DataError``
    for a folder that is missing or has no pictures, and for a missing partner.
    """
    aligned = paired or bool(settings.pairs)
    if settings.pairs:
        a, b = _list_pairs("data.pairs", settings.pairs, settings)
    else:
        a = list_folder("data.a", Path(settings.a), channels=settings.channels_a)
        b = list_folder("data.b", Path(settings.b), channels=settings.channels_b)
        a, b = match_by_name(a, b) if aligned else (a, b)
    held_out = held_out or _choose_held_out(settings, a, b, aligned=aligned)
    for path in (*held_out[0], *held_out[1]):
        if not _is_text(path):  # a run records its held-out pictures by name
            raise DataError(f"{path}: held out, but its name is not UTF-8. Rename it")
    files = _training_files(a, b, held_out, aligned=aligned)
    halves = halves_of_held_out(settings)

    def domain(side: int, letter: str, name: str, listing: Listing) -> Domain:
        return Domain(
            letter=letter,
            name=name,
            folder=listing.folder,
            files=files[side],
            held_out=held_out[side],
            half=listing.half,
            held_out_half=halves[side],
            aligned=aligned,
        )

    return domain(0, "a", settings.name_a, a), domain(1, "b", settings.name_b, b)


def list_folder(setting: str, folder: Path, *, channels: int) -> Listing:
    """List the pictures in a folder and its sub-folders, or in shards.

    Errors begin with ``setting``, which gives the folder. Raises ``DataError`` if there are no
    pictures.
    """
    if folder.is_dir():
        files = tuple(list_images(folder, channels=channels))
        if not files:
            raise DataError(
                f"{setting} {folder}: contains no pictures. Name a folder of JPEG, PNG, WebP, "
                "TIFF or other pictures"
            )
        return Listing(folder=folder, files=files)
    if names_shards(folder):
        place, files = list_shards(setting, folder)
        return Listing(folder=place, files=files)
    why = "a file, not a folder" if folder.exists() else "no such folder"
    raise DataError(f"{setting} {folder}: {why}. Name a folder of pictures")


def list_pairs(
    setting: str, place: Path, *, order: Literal["ab", "ba"], channels: int
) -> tuple[Listing, Listing]:
    """List the pairs in a folder of pictures side by side, or in the rows of a CSV file.

    ``order``: ``ab`` if the left half, or the first column, is A. Raises ``DataError``.
    """
    if is_table(place):
        first, second = read_table(setting, place)
        return (first, second) if order == "ab" else (second, first)
    whole = list_folder(setting, place, channels=channels)
    half_a, half_b = halves_of(place, order=order)
    return replace(whole, half=half_a), replace(whole, half=half_b)


def halves_of_held_out(settings: DataSettings) -> tuple[Half, Half]:
    """Return the parts of each held-out file that belong to A and to B, without listing files.

    Held-out pairs may be side by side although training pairs are two files each, and vice versa.
    """
    apart = settings.held_out_a and settings.held_out_b
    pairs = settings.held_out_pairs or ("" if apart else settings.pairs)
    return halves_of(Path(pairs), order=settings.pair_order) if pairs else ("whole", "whole")


def without(domains: Domains, unwanted: tuple[Iterable[Path], Iterable[Path]]) -> Domains:
    """Remove unwanted pictures of A and of B; in paired data, their partners too."""
    a, b = domains
    gone_a, gone_b = (set(paths) for paths in unwanted)

    def rest(files_a: Files, files_b: Files) -> HeldOut:
        keep_a = [file not in gone_a for file in files_a]
        keep_b = [file not in gone_b for file in files_b]
        if a.aligned and b.aligned:
            keep_a = keep_b = [all(keep) for keep in zip(keep_a, keep_b, strict=True)]
        return tuple(compress(files_a, keep_a)), tuple(compress(files_b, keep_b))

    files, held_out = rest(a.files, b.files), rest(a.held_out, b.held_out)
    return (
        replace(a, files=files[0], held_out=held_out[0]),
        replace(b, files=files[1], held_out=held_out[1]),
    )


def relative_name(path: Path, folder: Path) -> str:
    """Return the path of a picture relative to its folder, with forward slashes on every system.

    Returns the whole path if the picture is outside of the folder, as a CSV file allows.
    """
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _list_pairs(setting: str, place: str, settings: DataSettings) -> tuple[Listing, Listing]:
    channels = max(settings.channels_a, settings.channels_b)
    return list_pairs(setting, Path(place), order=settings.pair_order, channels=channels)


def _choose_held_out(settings: DataSettings, a: Listing, b: Listing, *, aligned: bool) -> HeldOut:
    """List the given held-out pictures, or choose some of each side."""
    if settings.held_out_pairs:
        pairs = _list_pairs("data.held_out_pairs", settings.held_out_pairs, settings)
        return pairs[0].files, pairs[1].files
    given_a, given_b = (
        list_folder(f"data.held_out_{letter}", Path(place), channels=channels) if place else None
        for letter, place, channels in (
            ("a", settings.held_out_a, settings.channels_a),
            ("b", settings.held_out_b, settings.channels_b),
        )
    )
    if aligned and given_a and given_b:
        given_a, given_b = match_by_name(given_a, given_b)
    elif aligned:  # one side alone cannot be pairs
        given_a = given_b = None
    rows_a = _choose_held_out_rows(a, settings.held_out)
    rows_b = rows_a if aligned else _choose_held_out_rows(b, settings.held_out)
    return (
        given_a.files if given_a else tuple(a.files[n] for n in rows_a),
        given_b.files if given_b else tuple(b.files[n] for n in rows_b),
    )


def _choose_held_out_rows(listing: Listing, count: int) -> list[int]:
    """Choose ``count`` pictures, at most a tenth, by the hashes of their names.

    Pictures that are added later therefore change the choice little.
    """
    files = listing.files

    def key(index: int) -> bytes:
        name = relative_name(files[index], listing.folder).encode(errors="surrogateescape")
        return hashlib.sha256(name).digest()

    recordable = [index for index, file in enumerate(files) if _is_text(file)]
    return sorted(sorted(recordable, key=key)[: min(count, len(files) // 10)])


def _training_files(a: Listing, b: Listing, held_out: HeldOut, *, aligned: bool) -> HeldOut:
    """List the files, or pairs, that are not held out, also under another name by a link.

    A picture may belong to several pairs (one outline, many colours); only the held-out pairs are
    removed.
    """
    real_a, real_b, out_a, out_b = (
        [os.path.realpath(file) for file in files] for files in (a.files, b.files, *held_out)
    )
    if aligned:
        gone = set(zip(out_a, out_b, strict=True))
        keep_a = keep_b = [pair not in gone for pair in zip(real_a, real_b, strict=True)]
    else:
        gone_a, gone_b = set(out_a), set(out_b)
        keep_a = [real not in gone_a for real in real_a]
        keep_b = [real not in gone_b for real in real_b]
    return tuple(compress(a.files, keep_a)), tuple(compress(b.files, keep_b))


def _is_text(path: Path) -> bool:
    """Return whether a path can be written as UTF-8; Linux allows any bytes in names."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
