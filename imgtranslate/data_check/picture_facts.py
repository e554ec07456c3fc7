"""What each training picture is like, by reading it once."""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.near_duplicates import FLAT, SIDE
from imgtranslate.errors import ImageError
from imgtranslate.images import Picture, Pixels, Stored, read_stored
from imgtranslate.images.tar_archive import content_of
from imgtranslate.settings.config import DataSettings

_SAME = 8  # levels of 255: within it all pixels are one colour, saved as JPEG perhaps


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureFacts:
    """One file as found: its upright size in px and a digest of its bytes, or its fault."""

    letter: str
    path: Path
    size: tuple[int, int] = (0, 0)  # width, height
    grey: bool = False
    one_colour: bool = False
    opaque: float = 1.0  # the mean of its alpha
    thumbnail: Pixels | None = None  # (32, 32), grey; None where there is a fault
    stored: Stored = field(default_factory=Stored)
    digest: str = ""
    fault: str = ""


Facts = Mapping[tuple[str, Path], PictureFacts]  # by the domain's letter and the file


def read_facts(domains: tuple[Domain, Domain], settings: DataSettings) -> Iterator[PictureFacts]:
    """Read every picture of both sides, those that are held out too."""
    channels = (settings.channels_a, settings.channels_b)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for domain, count in zip(domains, channels, strict=True):
            files = (*domain.files, *domain.held_out)
            yield from pool.map(functools.partial(_facts_of, domain, channels=count), files)


def _facts_of(domain: Domain, path: Path, *, channels: int) -> PictureFacts:
    try:
        picture = domain.read_picture(path, channels=channels)
        digest = hashlib.sha256(content_of(path) + domain.half.encode()).hexdigest()
    except (ImageError, OSError) as error:
        return PictureFacts(letter=domain.letter, path=path, fault=str(error))
    pixels = picture.pixels
    small = _thumbnail(pixels)
    return PictureFacts(
        letter=domain.letter,
        path=path,
        size=(pixels.shape[1], pixels.shape[0]),
        grey=channels == 3 and bool((pixels[..., :1] == pixels).all()),
        one_colour=small.std() < FLAT and _is_one_colour(pixels),
        opaque=_opaque(picture),
        thumbnail=small,
        stored=read_stored(path),
        digest=digest,
    )


def _thumbnail(pixels: Pixels) -> Pixels:
    """Grey (32, 32), averaged over a grid, whatever the sides."""
    match pixels.shape[2]:
        case 3 | 4:
            image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).convert("L")
        case 1 | 2:
            image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
        case _:
            image = Image.fromarray(np.rint(pixels.mean(axis=2)).astype(np.uint8))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def _is_one_colour(pixels: Pixels) -> bool:
    return bool((np.ptp(pixels, axis=(0, 1)) <= _SAME).all())


def _opaque(picture: Picture) -> float:
    return 1.0 if picture.alpha is None else float(picture.alpha.mean()) / 255
