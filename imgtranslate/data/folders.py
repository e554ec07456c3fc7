"""The two sides of a training: their training pictures, held-out pictures and names."""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path

from imgtranslate.data.pairs import (
    Half,
    Listing,
    halves_of,
    list_folder,
    list_pairs,
    match_by_name,
)
from imgtranslate.data.shards import names_shards, plain_shard
from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import Picture, Pixels, eight_bits, read_image
from imgtranslate.images.tar_archive import size_of
from imgtranslate.settings.config import DataSettings, Tree

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
        picture = eight_bits(read_image(path, channels=channels))
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
    domain_a, domain_b = (
        Domain(
            letter=letter,
            name=name,
            folder=listing.folder,
            files=rest,
            held_out=out,
            half=listing.half,
            held_out_half=held_out_half,
            aligned=aligned,
        )
        for letter, name, listing, rest, out, held_out_half in zip(
            "ab",
            (settings.name_a, settings.name_b),
            (a, b),
            files,
            held_out,
            halves_of_held_out(settings),
            strict=True,
        )
    )
    return domain_a, domain_b


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


def folder_settings(
    *, a: Path | None, b: Path | None, data: Path | None, pairs: Path | None = None
) -> Tree:
    """Convert the folders of a training to settings, with names for both sides."""
    if data is not None:
        if a or b or pairs:
            raise DataError("`data`: cannot be combined with `a`, `b` or `pairs`. Give one of them")
        return _layout_of(data)
    if pairs is not None and not (pairs.exists() or names_shards(pairs)):
        raise DataError(
            f"`pairs` {pairs}: no such folder or file. Name a folder of pictures side by side, "
            "or a CSV file"
        )
    given = (("a", a), ("b", b), ("pairs", pairs))
    tree: Tree = {key: str(path.absolute()) for key, path in given if path}
    if a and b:
        tree["name_a"], tree["name_b"] = _domain_names(_real(a), _real(b))
    return {"data": tree}


def plain_name(name: str) -> str:
    """Reduce a name to 40 characters that are safe in file names on every system."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:40]


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


def _layout_of(data: Path) -> Tree:
    """Find trainA and trainB (testA, testB), or train (val, test) with pictures side by side."""
    root = data.absolute()
    if (root / "train").is_dir() and not (root / "trainA").is_dir():
        held_out = next((root / n for n in ("val", "test") if _has_files(root / n)), None)
        tree = {"pairs": str(root / "train")}
        return {"data": tree | ({"held_out_pairs": str(held_out)} if held_out else {})}
    for part in ("trainA", "trainB"):
        if not (root / part).is_dir():
            raise DataError(
                f"`data` {data}: no folder {part} in it. Name a folder with trainA and trainB, or "
                "with train of pictures side by side, or give two folders with `a` and `b`"
            )
    tree = {"a": str(root / "trainA"), "b": str(root / "trainB")}
    for letter, part in (("a", "testA"), ("b", "testB")):
        if _has_files(root / part):
            tree[f"held_out_{letter}"] = str(root / part)
    match = re.fullmatch(r"([a-zA-Z]+)2([a-zA-Z]+)", _real(data).name)  # the layout of horse2zebra
    tree["name_a"], tree["name_b"] = (match[1], match[2]) if match else ("a", "b")
    return {"data": tree}


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _domain_names(a: Path, b: Path) -> tuple[str, str]:
    """Return the names of the two folders, or of their nearest parents that differ."""
    for part_a, part_b in zip(reversed(a.parts), reversed(b.parts), strict=False):
        name_a, name_b = plain_name(plain_shard(part_a)), plain_name(plain_shard(part_b))
        if name_a and name_b and name_a != name_b:
            return name_a, name_b
    return "a", "b"


def _real(path: Path) -> Path:
    """Resolve links, including circular ones, for which ``Path.resolve`` raises RuntimeError."""
    return Path(os.path.realpath(path))
