"""The two sides of a training: which pictures are trained on, which are set aside, their names."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from imgtranslate.data.pairs import Half, Listing, list_folder, list_pairs, match_by_name
from imgtranslate.data.shards import names_shards, plain_shard
from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import Picture, Pixels, eight_bits, read_image
from imgtranslate.images.tar_archive import size_of
from imgtranslate.settings.config import DataSettings, Tree

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The pictures of one side; training never sees those that are held out."""

    letter: str  # "a" or "b"
    name: str
    folder: Path
    files: tuple[Path, ...]
    held_out: tuple[Path, ...]
    half: Half = "whole"  # of each file

    def read(self, path: Path, *, channels: int) -> Pixels:
        """Read a picture of this side: uint8 (h, w, channels). Raises ``ImageError``."""
        return self.read_picture(path, channels=channels).pixels

    def read_picture(self, path: Path, *, channels: int) -> Picture:
        """The same with its alpha and what its file says. Raises ``ImageError``."""
        picture = eight_bits(read_image(path, channels=channels))
        if self.half == "whole":
            return picture
        middle = picture.pixels.shape[1] // 2
        if middle == 0:
            raise ImageError(f"{path}: one pixel wide, so it has no halves. Remove it")
        # of an odd width the middle column is nobody's
        columns = slice(None, middle) if self.half == "left" else slice(-middle, None)
        alpha = None if picture.alpha is None else picture.alpha[:, columns]
        return replace(picture, pixels=picture.pixels[:, columns], alpha=alpha)

    def fingerprint(self) -> str:
        """A digest of names and sizes: it changes when the training pictures do."""
        lines = (f"{relative_name(f, self.folder)}\0{size_of(f)}" for f in self.files)
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


HeldOut = tuple[tuple[Path, ...], tuple[Path, ...]]


def find_domains(
    settings: DataSettings, *, paired: bool, held_out: HeldOut | None = None
) -> tuple[Domain, Domain]:
    """List both sides and set held-out pictures aside: ``held_out`` if given (of A, of B).

    Where the sides are pairs, the n-th files of both belong together, held-out ones too. Raises
    ``DataError`` for a folder that is missing or has no pictures, and for a missing partner.
    """
    aligned = paired or bool(settings.pairs)
    a, b = _list_sides(settings, aligned=aligned)
    aside_a, aside_b = held_out or _set_aside(settings, a, b, aligned=aligned)
    _refuse_unrecordable((*aside_a, *aside_b))
    files_a, files_b = _kept(a, b, (aside_a, aside_b), aligned=aligned)
    return (
        _domain("a", settings.name_a, a, files=files_a, held_out=aside_a),
        _domain("b", settings.name_b, b, files=files_b, held_out=aside_b),
    )


def folder_settings(
    *, a: Path | None, b: Path | None, data: Path | None, pairs: Path | None = None
) -> Tree:
    """Turn ``--a`` and ``--b``, ``--pairs`` or ``--data`` into settings, with the sides' names."""
    if data is not None:
        if a or b or pairs:
            raise DataError("--data: given together with --a, --b or --pairs. Give one of them")
        return _layout_of(data)
    if pairs is not None and not (pairs.exists() or names_shards(pairs)):
        raise DataError(
            f"--pairs {pairs}: no such folder or file. Name a folder of pictures side by side, "
            "or a CSV file"
        )
    given = (("a", a), ("b", b), ("pairs", pairs))
    tree: Tree = {key: str(path.absolute()) for key, path in given if path}
    if a and b:  # not resolve(), which raises RuntimeError where links go in a circle
        tree["name_a"], tree["name_b"] = _domain_names(_real(a), _real(b))
    return {"data": tree}


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Pick at most ``count`` items in their order, evenly spaced from the first to the last."""
    if len(items) <= count:
        return list(items)
    if count < 2:
        return list(items[:count])
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]


def relative_name(path: Path, folder: Path) -> str:
    """A picture's name below its folder, with forward slashes on every system.

    The whole path if it lies elsewhere, as the rows of a CSV file may.
    """
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def without(domain: Domain, unwanted: Iterable[Path]) -> Domain:
    """The same domain without some of its pictures."""
    gone = set(unwanted)
    return replace(
        domain,
        files=tuple(file for file in domain.files if file not in gone),
        held_out=tuple(file for file in domain.held_out if file not in gone),
    )


def without_pairs(
    domains: tuple[Domain, Domain], unwanted: tuple[Iterable[Path], Iterable[Path]]
) -> tuple[Domain, Domain]:
    """The same domains without the pairs of which one picture is unwanted."""
    gone_a, gone_b = (set(paths) for paths in unwanted)

    def kept(files_a: Sequence[Path], files_b: Sequence[Path]) -> HeldOut:
        pairs = [
            (a, b)
            for a, b in zip(files_a, files_b, strict=True)
            if a not in gone_a and b not in gone_b
        ]
        return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)

    a, b = domains
    files, held_out = kept(a.files, b.files), kept(a.held_out, b.held_out)
    return (
        replace(a, files=files[0], held_out=held_out[0]),
        replace(b, files=files[1], held_out=held_out[1]),
    )


def _list_sides(settings: DataSettings, *, aligned: bool) -> tuple[Listing, Listing]:
    if settings.pairs:
        return list_pairs(
            "--pairs",
            Path(settings.pairs),
            order=settings.pair_order,
            channels=max(settings.channels_a, settings.channels_b),
        )
    a = list_folder("--a", Path(settings.a), channels=settings.channels_a)
    b = list_folder("--b", Path(settings.b), channels=settings.channels_b)
    return match_by_name(a, b) if aligned else (a, b)


def _set_aside(settings: DataSettings, a: Listing, b: Listing, *, aligned: bool) -> HeldOut:
    """The held-out pictures: given ones, or some of each side, chosen by their names alone."""
    if settings.held_out_pairs:
        place = Path(settings.held_out_pairs)
        most = max(settings.channels_a, settings.channels_b)
        aside = list_pairs("data.held_out_pairs", place, order=settings.pair_order, channels=most)
        return aside[0].files, aside[1].files
    given = [
        list_folder(f"data.held_out_{letter}", Path(place), channels=channels) if place else None
        for letter, place, channels in (
            ("a", settings.held_out_a, settings.channels_a),
            ("b", settings.held_out_b, settings.channels_b),
        )
    ]
    if aligned:
        if given[0] and given[1]:
            aside = match_by_name(given[0], given[1])
            return aside[0].files, aside[1].files
        places = _choose(a, settings.held_out)
        return tuple(a.files[n] for n in places), tuple(b.files[n] for n in places)
    chosen = [
        listing.files if listing else tuple(side.files[n] for n in _choose(side, settings.held_out))
        for listing, side in zip(given, (a, b), strict=True)
    ]
    return chosen[0], chosen[1]


def _choose(listing: Listing, count: int) -> list[int]:
    """Some places, a tenth at most, by name alone, so that new pictures do not change them much."""
    files = listing.files

    def key(place: int) -> bytes:
        name = relative_name(files[place], listing.folder).encode(errors="surrogateescape")
        return hashlib.sha256(name).digest()

    recordable = [place for place, file in enumerate(files) if _is_text(file)]
    chosen = sorted(recordable, key=key)[: min(count, len(files) // 10)]
    return sorted(chosen)


def _kept(a: Listing, b: Listing, aside: HeldOut, *, aligned: bool) -> HeldOut:
    """What is left to train on: files, or pairs, that are not held out under any of their names.

    One picture may stand in several pairs (one outline, many colours); the others of them stay.
    """
    real_a, real_b, aside_a, aside_b = (
        [os.path.realpath(file) for file in files] for files in (a.files, b.files, *aside)
    )
    if aligned:
        held_out = set(zip(aside_a, aside_b, strict=True))
        rows = [n for n, row in enumerate(zip(real_a, real_b, strict=True)) if row not in held_out]
        return tuple(a.files[n] for n in rows), tuple(b.files[n] for n in rows)
    gone_a, gone_b = set(aside_a), set(aside_b)
    return (
        tuple(file for file, real in zip(a.files, real_a, strict=True) if real not in gone_a),
        tuple(file for file, real in zip(b.files, real_b, strict=True) if real not in gone_b),
    )


def _domain(
    letter: str,
    name: str,
    listing: Listing,
    *,
    files: tuple[Path, ...],
    held_out: tuple[Path, ...],
) -> Domain:
    return Domain(
        letter=letter,
        name=name,
        folder=listing.folder,
        files=files,
        held_out=held_out,
        half=listing.half,
    )


def _refuse_unrecordable(held_out: Iterable[Path]) -> None:
    """A run writes down what it holds out, so that a resume holds out the same."""
    for path in held_out:
        if not _is_text(path):
            raise DataError(f"{path}: held out, but its name is not UTF-8. Rename it")


def _is_text(path: Path) -> bool:
    """Whether a name can be written down; Linux allows any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _layout_of(data: Path) -> Tree:
    """Folders trainA and trainB (testA, testB), or train (val, test) of pictures side by side."""
    root = data.absolute()
    if (root / "train").is_dir() and not (root / "trainA").is_dir():
        held_out = next((root / n for n in ("val", "test") if _has_files(root / n)), None)
        tree = {"pairs": str(root / "train")}
        return {"data": tree | ({"held_out_pairs": str(held_out)} if held_out else {})}
    for part in ("trainA", "trainB"):
        if not (root / part).is_dir():
            raise DataError(
                f"--data {data}: no folder {part} in it. Name a folder with trainA and trainB, or "
                "with train of pictures side by side, or give two folders with --a and --b"
            )
    tree = {"a": str(root / "trainA"), "b": str(root / "trainB")}
    for letter, part in (("a", "testA"), ("b", "testB")):
        if _has_files(root / part):
            tree[f"held_out_{letter}"] = str(root / part)
    tree["name_a"], tree["name_b"] = _names_of_data(_real(data).name)
    return {"data": tree}


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _names_of_data(name: str) -> tuple[str, str]:
    """``horse2zebra`` names both of its domains; other names name neither."""
    match = re.fullmatch(r"([a-zA-Z]+)2([a-zA-Z]+)", name)
    return (match[1], match[2]) if match else ("a", "b")


def _domain_names(a: Path, b: Path) -> tuple[str, str]:
    """Take the folders' own names, or those of their nearest parents that differ."""
    for part_a, part_b in zip(reversed(a.parts), reversed(b.parts), strict=False):
        name_a, name_b = plain_name(plain_shard(part_a)), plain_name(plain_shard(part_b))
        if name_a and name_b and name_a != name_b:
            return name_a, name_b
    return "a", "b"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def plain_name(name: str) -> str:
    """What of a folder's name is safe in file names everywhere, at most 40 characters."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:40]
