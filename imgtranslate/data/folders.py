"""The two sides of a training: which pictures are trained on, which are set aside, their names."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imgtranslate.config import DataSettings, Tree
from imgtranslate.errors import DataError
from imgtranslate.images import Pixels, list_images, read_image

Half = Literal["whole", "left", "right"]


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
        pixels = read_image(path, channels=channels).pixels
        middle = pixels.shape[1] // 2
        match self.half:
            case "whole":
                return pixels
            case "left":
                return pixels[:, :middle]
            case "right":
                return pixels[:, -middle:]  # of an odd width the middle column is nobody's

    def fingerprint(self) -> str:
        """A digest of names and sizes: it changes when the training pictures do."""
        lines = (f"{relative_name(f, self.folder)}\0{f.stat().st_size}" for f in self.files)
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


HeldOut = tuple[tuple[Path, ...], tuple[Path, ...]]


def find_domains(
    settings: DataSettings, *, held_out: HeldOut | None = None
) -> tuple[Domain, Domain]:
    """List both folders and set held-out pictures aside: ``held_out`` if given (of A, of B).

    Raises ``DataError`` for a folder that is missing or has no pictures.
    """
    a = _list("--a", Path(settings.a))
    b = _list("--b", Path(settings.b))
    aside_a, aside_b = held_out or (
        _held_out("a", a, Path(settings.a), settings.held_out_a, settings.held_out),
        _held_out("b", b, Path(settings.b), settings.held_out_b, settings.held_out),
    )
    return (
        _domain("a", settings.name_a, Path(settings.a), a, aside_a),
        _domain("b", settings.name_b, Path(settings.b), b, aside_b),
    )


def folder_settings(*, a: Path | None, b: Path | None, data: Path | None) -> Tree:
    """Turn ``--a``, ``--b`` or ``--data`` into settings: folders, held-out folders, names."""
    if data is not None:
        if a or b:
            raise DataError("--data: given together with --a or --b. Give one or the other")
        return _train_a_train_b(data)
    tree: Tree = {key: str(path.absolute()) for key, path in (("a", a), ("b", b)) if path}
    if a and b:
        tree["name_a"], tree["name_b"] = _domain_names(a.resolve(), b.resolve())
    return {"data": tree}


def relative_name(path: Path, folder: Path) -> str:
    """A picture's name below its folder, with forward slashes on every system."""
    return path.relative_to(folder).as_posix()


def _domain(
    letter: str, name: str, folder: Path, files: tuple[Path, ...], held_out: tuple[Path, ...]
) -> Domain:
    aside = set(held_out)
    kept = tuple(file for file in files if file not in aside)
    return Domain(letter=letter, name=name, folder=folder, files=kept, held_out=held_out)


def _held_out(
    letter: str, files: tuple[Path, ...], folder: Path, given: str, count: int
) -> tuple[Path, ...]:
    if given:
        return _list(f"data.held_out_{letter}", Path(given))
    return _set_aside(files, folder, min(count, len(files) // 10))


def _list(option: str, folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        why = "a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{option} {folder}: {why}. Name a folder of pictures")
    files = tuple(list_images(folder))
    if not files:
        raise DataError(
            f"{option} {folder}: no pictures in it or below it. Name a folder of JPEG, PNG, WebP, "
            "TIFF or other pictures"
        )
    return files


def _set_aside(files: Sequence[Path], folder: Path, count: int) -> tuple[Path, ...]:
    """Choose ``count`` pictures by name alone, so that new ones do not change the choice much."""

    def key(path: Path) -> bytes:
        name = relative_name(path, folder).encode(errors="surrogateescape")
        return hashlib.sha256(name).digest()

    recordable = [file for file in files if _is_text(file)]
    return tuple(sorted(sorted(recordable, key=key)[:count]))


def _is_text(path: Path) -> bool:
    """Whether a name can be written down; Linux allows any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _train_a_train_b(data: Path) -> Tree:
    for part in ("trainA", "trainB"):
        if not (data / part).is_dir():
            raise DataError(
                f"--data {data}: no folder {part} in it. Name a folder with trainA and trainB, "
                "or give two folders with --a and --b"
            )
    root = data.absolute()
    tree = {"a": str(root / "trainA"), "b": str(root / "trainB")}
    for letter, part in (("a", "testA"), ("b", "testB")):
        if (data / part).is_dir() and any((data / part).iterdir()):
            tree[f"held_out_{letter}"] = str(root / part)
    tree["name_a"], tree["name_b"] = _names_of_data(data.resolve().name)
    return {"data": tree}


def _names_of_data(name: str) -> tuple[str, str]:
    """``horse2zebra`` names both of its domains; other names name neither."""
    match = re.fullmatch(r"([a-zA-Z]+)2([a-zA-Z]+)", name)
    return (match[1], match[2]) if match else ("a", "b")


def _domain_names(a: Path, b: Path) -> tuple[str, str]:
    """Take the folders' own names, or those of their nearest parents that differ."""
    for part_a, part_b in zip(reversed(a.parts), reversed(b.parts), strict=False):
        name_a, name_b = _plain(part_a), _plain(part_b)
        if name_a and name_b and name_a != name_b:
            return name_a, name_b
    return "a", "b"


def _plain(name: str) -> str:
    """What of a folder's name is safe in file names everywhere, at most 40 characters."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:40]


def without(domain: Domain, unwanted: Iterable[Path]) -> Domain:
    """The same domain without some of its pictures."""
    gone = set(unwanted)
    return replace(
        domain,
        files=tuple(file for file in domain.files if file not in gone),
        held_out=tuple(file for file in domain.held_out if file not in gone),
    )
