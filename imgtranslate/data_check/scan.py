"""The scan of the training data, which reads every picture once for all parts of the check."""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain, Domains
from imgtranslate.data_check.near_duplicates import FLAT, SIDE
from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels, eight_bits
from imgtranslate.images.reading import Stored, read_stored
from imgtranslate.images.tar_archive import content_of
from imgtranslate.settings.config import DataSettings

_AHEAD = 1024  # files in the queue of the threads; a queue of all files would take 2 KB for each
_SAMPLED = 256  # px of the shorter side whose range of values is measured
_SAME = 8  # levels of 255 by which a picture of one colour may vary, as JPEG makes it


@dataclass(frozen=True, kw_only=True, eq=False)
class ScannedPicture:
    """The properties of a picture that the check needs, or the reason why it cannot be read."""

    letter: str  # of the domain
    path: Path
    size: tuple[int, int] = (0, 0)  # width, height in px, upright
    grey: bool = False
    one_colour: bool = False
    low: float = 1.0  # least value, as a fraction of white
    high: float = 0.0  # greatest value below white
    white: float = 255.0  # the value of white in the file
    has_white: bool = False
    opacity: float = 1.0  # mean of alpha
    thumbnail: Pixels | None = None  # (32, 32), grey; None if there is a fault
    stored: Stored = field(default_factory=Stored)
    digest: str = ""  # SHA-256 of the file
    warning: str = ""  # what is faulty beside the pixels
    fault: str = ""


Scans = Mapping[tuple[str, Path], ScannedPicture]  # by letter of the domain and file


def scan_pictures(domains: Domains, settings: DataSettings) -> Iterator[ScannedPicture]:
    """Read every training and held-out picture of both domains, in threads."""
    channels = (settings.channels_a, settings.channels_b)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for domain, count in zip(domains, channels, strict=True):
            files = (*domain.files, *domain.held_out)
            for start in range(0, len(files), _AHEAD):
                part = files[start : start + _AHEAD]
                yield from pool.map(functools.partial(_scan, domain, channels=count), part)


def thumbnails(scans: Iterable[ScannedPicture]) -> Pixels:
    """Stack the thumbnails of readable pictures: (n, 32, 32)."""
    return np.stack([scan.thumbnail for scan in scans if scan.thumbnail is not None])


def _scan(domain: Domain, path: Path, *, channels: int) -> ScannedPicture:
    try:
        deep = domain.read_deep(path, channels=channels)
        digest = hashlib.sha256(content_of(path) + domain.half_of(path).encode()).hexdigest()
    except (ImageError, OSError) as error:
        return ScannedPicture(letter=domain.letter, path=path, fault=str(error))
    picture = eight_bits(deep)
    pixels = picture.pixels
    step = max(1, min(pixels.shape[:2]) // _SAMPLED)
    stored = deep.pixels[::step, ::step]
    thumbnail = _thumbnail(pixels)
    varied = thumbnail.std() >= FLAT or (np.ptp(pixels, axis=(0, 1)) > _SAME).any()
    return ScannedPicture(
        letter=domain.letter,
        path=path,
        size=(pixels.shape[1], pixels.shape[0]),
        grey=channels == 3 and bool((pixels[..., :1] == pixels).all()),
        one_colour=not varied,
        low=float(stored.min()) / deep.white,
        high=float(np.max(stored, where=stored < deep.white, initial=0)) / deep.white,
        white=deep.white,
        has_white=bool((stored >= deep.white).any()),
        opacity=1.0 if picture.alpha is None else float(picture.alpha.mean()) / 255,
        thumbnail=thumbnail,
        stored=read_stored(path),
        warning=picture.warning,
        digest=digest,
    )


def _thumbnail(pixels: Pixels) -> Pixels:
    """Average a picture of any size over a grid to a grey thumbnail (32, 32)."""
    match pixels.shape[2]:
        case 3 | 4:
            image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).convert("L")
        case 1 | 2:
            image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
        case _:
            image = Image.fromarray(np.rint(pixels.mean(axis=2)).astype(np.uint8))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
