"""The blind study: a page on which people judge real against fake, or one model against another."""

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.evaluation.report.pictures import Progress, most_pixels, shrunk
from imgtranslate.evaluation.study_answers import Mode
from imgtranslate.files import write_text
from imgtranslate.images import Pixels
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.pages import render, shown
from imgtranslate.pages.embed import displayed, to_address, to_webp
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction, is_paired
from imgtranslate.translation.translator import Translator, load

COUNT, PRACTICE = 40, 10  # pairs, as in the papers
SIDE, QUALITY = 256, 90  # px, side of a picture on the page, and WebP quality
Trial = tuple[Pixels, ...]  # the right answer, the wrong one, and for two models the input
Read = Callable[
    [Domain, int, int], Pixels
]  # reads the n-th held-out picture with this number of channels


def write_study(
    run: Path | str,
    *,
    compare: Path | str | None = None,
    output: Path | str | None = None,
    count: int = COUNT,
    direction: Direction = "ab",
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Write the page of a study on the held-out pictures of a run, ``RUN/study.html``.

    It has up to 10 practice pairs, and up to ``count`` scored pairs in an order drawn by ``seed``.
    With ``compare``, a run or a model, the page is ``RUN/study-compare.html`` and asks for the
    better model. Raises ``UsageError`` without held-out pictures, or if the models do not fit.
    """
    folder = Run(Path(run))
    mode: Mode = "fooled" if compare is None else "better"
    name = "study.html" if mode == "fooled" else "study-compare.html"
    page = Path(output) if output is not None else folder.folder / name
    if page.is_dir():
        raise UsageError(f"`output` {page}: a folder. Name a file, as in `output` {name}")

    settings, record = folder.read_config()
    a, b = domains_of_run(settings, record)
    if not (a.held_out and b.held_out):
        raise UsageError(
            f"{folder.folder}: has no held-out pictures, and the study needs pictures that are new "
            "to the models. Train with data.held_out of 1 or more"
        )
    source, target = (a, b) if direction == "ab" else (b, a)
    read = partial(_read, limit=most_pixels(settings))
    model = load(folder.folder, device=device, direction=direction)
    if compare is None:
        wanted, paired = count + PRACTICE, is_paired(settings.method)
        trials = _against_real(model, source, target, read, paired=paired, seed=seed)
    else:
        other = load(compare, device=device, direction=direction)
        _refuse_unlike(model.header, other.header, compare)
        wanted, trials = count, _against_other(model, other, source, read, seed=seed)
    made: list[Trial] = []
    for trial in itertools.islice(trials, wanted):
        made.append(trial)
        if progress is not None:
            progress(len(made), wanted)
    if not made:
        raise UsageError(f"{folder.folder}: no held-out picture can be read. Restore them")

    # The pairs beyond ``count`` are for practice, or one in five if there are few
    practice = max(len(made) - count, min(PRACTICE, len(made) // 5)) if mode == "fooled" else 0
    names = [str(folder.folder), str(compare or "")]
    data = _page(made, mode, practice, model.header, names=names, seed=seed)
    title = f"{model.header.source} to {model.header.target}: a blind study"
    write_text(page, render("study", data, title=title))
    return page


def _refuse_unlike(header: ModelHeader, other: ModelHeader, path: Path | str) -> None:
    ways = [(h.direction, h.in_channels, h.out_channels) for h in (header, other)]
    if ways[0] != ways[1]:
        raise UsageError(
            f"`compare` {path}: translates {other.source} to {other.target} ({other.direction}), "
            f"but the run {header.source} to {header.target} ({header.direction}). "
            "Name a model with the same direction and channels"
        )


def _against_real(
    model: Translator, source: Domain, target: Domain, read: Read, *, paired: bool, seed: int
) -> Iterator[Trial]:
    """Yield a real picture of the target and a fake; in paired data, of the same scene."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(source.held_out))
    order_real = order if paired else rng.permutation(len(target.held_out))
    for x, y in zip(order, order_real, strict=False):
        try:
            truth = read(target, y, model.header.out_channels)
            fake = model.translate_pixels(read(source, x, model.header.in_channels))
        except ImgTranslateError:
            continue  # unreadable pictures are skipped
        yield truth, fake


def _against_other(
    model: Translator, other: Translator, source: Domain, read: Read, *, seed: int
) -> Iterator[Trial]:
    """Yield the translations of a picture by two models, and the picture itself."""
    for place in np.random.default_rng(seed).permutation(len(source.held_out)):
        try:
            real = read(source, place, model.header.in_channels)
            yield model.translate_pixels(real), other.translate_pixels(real), real
        except ImgTranslateError:
            continue


def _read(domain: Domain, place: int, channels: int, *, limit: int) -> Pixels:
    return shrunk(domain.read(domain.held_out[place], channels=channels), limit=limit)


def _page(
    trials: list[Trial],
    mode: Mode,
    practice: int,
    header: ModelHeader,
    *,
    names: list[str],
    seed: int,
) -> dict[str, Any]:
    """Return the data of the page; neither order nor size of the pictures reveals the answers."""
    rng = np.random.default_rng([seed, len(trials)])
    pictures = [_square(pixels) for trial in trials for pixels in trial]
    places = rng.permutation(len(pictures))  # position of the n-th picture on the page
    longest = max(map(len, pictures))
    addresses = [""] * len(pictures)
    for place, content in zip(places, pictures, strict=True):
        addresses[place] = to_address(content.ljust(longest, b"\0"))
    sides = rng.integers(0, 2, len(trials))  # 0: the right answer is on the left
    mask = rng.integers(0, 256, len(sides), np.uint8)  # hides the answers in the page source
    masked = mask ^ sides.astype(np.uint8)
    shown_at = places.reshape(len(trials), -1).tolist()
    seen = "".join([*addresses, mode, *names, str(sides)])
    return {
        "mode": mode,
        "study": hashlib.sha256(seen.encode(errors="surrogateescape")).hexdigest()[:12],
        "source": shown(header.source),
        "target": shown(header.target),
        "models": [shown(name) for name in names],
        "practice": practice,
        "pictures": addresses,
        "trials": [
            [first, second, *rest] if side == 0 else [second, first, *rest]
            for (first, second, *rest), side in zip(shown_at, sides, strict=True)
        ],
        "key": [base64.b64encode(part.tobytes()).decode() for part in (mask, masked)],
    }


def _square(pixels: Pixels) -> bytes:
    """Crop the largest centred square and resize it to ``SIDE`` px."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = displayed(pixels[top : top + side, left : left + side])
    resized = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return to_webp(resized, side=SIDE, most_bytes=SIDE**2 * 3, quality=QUALITY)
