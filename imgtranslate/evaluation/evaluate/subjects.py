"""The subjects of an evaluation: a model, its inputs, and real pictures to compare with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imgtranslate.data.folders import Domain, Domains, Files, list_folder, list_pairs
from imgtranslate.data.loader import resize_shorter
from imgtranslate.data.pairs import Listing, match_by_name
from imgtranslate.errors import DataError, UsageError
from imgtranslate.images import Pixels
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import DataSettings, Direction, Resample, is_paired
from imgtranslate.settings.presets import kind_of_method
from imgtranslate.translation.translator import Translator, load

Sides = tuple[Domain | None, Domain | None]


@dataclass(frozen=True, kw_only=True)
class Places:
    """The pictures that the user gives in place of the held-out ones of a run.

    Raises ``UsageError`` if they contradict each other.
    """

    a: Path | None = None
    b: Path | None = None
    pairs: Path | None = None
    pair_order: Literal["ab", "ba"] = "ab"
    paired: bool = False  # pictures of equal names in ``a`` and ``b`` are pairs

    def __post_init__(self) -> None:
        """Refuse places that contradict each other."""
        if self.pairs and (self.a or self.b):
            raise UsageError(
                "`pairs`: cannot be combined with `a` or `b`. Give pairs or two folders, not both"
            )
        if self.paired and not (self.a and self.b):
            raise UsageError("`paired`: needs both `a` and `b`. Give both, or `pairs`")
        if self.pairs and not self.pairs.exists():
            raise DataError(
                f"`pairs` {self.pairs}: no such folder or file. Name a folder of pictures side by "
                "side, or a CSV file"
            )

    @property
    def given(self) -> bool:
        """True if any pictures are given."""
        return bool(self.a or self.b or self.pairs)

    @property
    def pairs_given(self) -> bool:
        """True if the given pictures are pairs."""
        return self.paired or bool(self.pairs)


class StoppedError(Exception):
    """Raised by ``Gallery.read`` once its ``stop`` returns True."""


def never() -> bool:
    """Do not stop."""
    return False


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pictures of a domain in order, read one at a time and resized in the same way."""

    domain: Domain  # defines which half of a file is read
    files: Files
    channels: int
    side: int = 0  # px, shorter side after reading; 0 keeps the size of the file
    resample: Resample = "bicubic"
    stop: Callable[[], bool] = never  # called before each picture

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> Pixels:
        """Read one picture: uint8 (h, w, channels). Raises ``ImageError`` or ``StoppedError``."""
        if self.stop():
            raise StoppedError
        pixels = self.domain.read(self.files[number], channels=self.channels)
        if not self.side:
            return pixels
        return resize_shorter(pixels, self.side, resample=self.resample)

    def pictures(self) -> Iterator[Pixels]:
        """Yield the pictures in order."""
        return (self.read(number) for number in range(len(self)))

    def only(self, numbers: Iterable[int]) -> "Gallery":
        """Return some of the pictures, in the given order."""
        return replace(self, files=tuple(self.files[number] for number in numbers))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One direction of one model, with its pictures."""

    name: str
    translator: Translator
    source: Gallery
    target: Gallery | None  # real pictures; if paired, the truths of ``source`` in its order
    paired: bool
    learnt: tuple[Gallery, Gallery] | None = None  # source and target of the training
    held_out: bool = False  # the pictures are those that were held out in this training

    @property
    def header(self) -> ModelHeader:
        """The header of the model."""
        return self.translator.header

    @property
    def pictures(self) -> list[tuple[Files, int, str]]:
        """The files of both sides, how many channels are read, and which part of each file."""
        sides = (self.source, self.target) if self.target is not None else (self.source,)
        return [(side.files, side.channels, side.domain.held_out_half) for side in sides]


def subjects_of_run(
    folder: Path,
    places: Places,
    *,
    directions: Sequence[Direction] = ("ab", "ba"),
    resize: int = 0,
    device: str = "auto",
) -> list[Subject]:
    """List the directions of a run as subjects. Raises ``UsageError`` if pictures are missing."""
    run = Run(folder)
    settings, record = run.read_config()
    paired = is_paired(settings.method) or bool(settings.data.pairs)
    learnt: Domains | None = None
    try:
        learnt = domains_of_run(settings, record)
    except DataError:  # needed only if the user gives no pictures
        if not places.given:
            raise
    domains = _own_domains(places, settings.data, paired=paired) if places.given else learnt
    ways = [way for way in directions if way == "ab" or run.model(way).is_file()]
    return [
        _subject(
            str(folder),
            load(folder, device=device, direction=way),
            domains or (None, None),
            learnt=learnt,
            paired=paired or places.pairs_given,
            data=settings.data,
            resize=resize,
            held_out=not places.given,
        )
        for way in ways or directions  # without models, loading raises the error
    ]


def subjects_of_model(
    file: Path, places: Places, *, resize: int = 0, device: str = "auto"
) -> list[Subject]:
    """Return the direction of a model file as a subject, on pictures that the user gives."""
    if not places.given:
        raise UsageError(
            "`a`: not given, and a model file has no held-out pictures. "
            "Name folders with `a` and `b`, or `pairs`"
        )
    translator = load(file, device=device)
    header = translator.header
    sides = [(header.source, header.in_channels), (header.target, header.out_channels)]
    (name_a, channels_a), (name_b, channels_b) = sides if header.direction == "ab" else sides[::-1]
    data = DataSettings(name_a=name_a, name_b=name_b, channels_a=channels_a, channels_b=channels_b)
    unpaired = kind_of_method(header.method) in ("cyclegan", "cut")
    paired = not unpaired and bool(places.a and places.b)
    return [
        _subject(
            str(file),
            translator,
            _own_domains(places, data, paired=paired),
            learnt=None,
            paired=paired or places.pairs_given,
            data=data,
            resize=resize,
        )
    ]


def refuse_incomparable(columns: Sequence[Sequence[Subject]]) -> None:
    """Raise ``UsageError`` if runs share no direction, or if three or more differ in pictures.

    ``columns``: the directions of each run. Two runs may be compared on different pictures.
    """
    by_way = [{subject.header.direction: subject for subject in column} for column in columns]
    shared = [way for way in by_way[0] if all(way in ways for ways in by_way)]
    if not shared:
        raise UsageError(
            "RUN: they translate in opposite directions. Name runs with a direction in common"
        )
    if len(columns) < 3:
        return
    for way in shared:
        first, *others = (ways[way] for ways in by_way)
        for other in others:
            if other.pictures != first.pictures:
                raise UsageError(
                    f"{other.name}: would be measured on other pictures than {first.name}. Name "
                    "the pictures for all with `a` and `b`, or `pairs`"
                )


def _own_domains(places: Places, data: DataSettings, *, paired: bool) -> Sides:
    """Return domains with the pictures of the user as held-out pictures."""
    a: Listing | None
    b: Listing | None
    if places.pairs:
        channels = max(data.channels_a, data.channels_b)
        a, b = list_pairs("`pairs`", places.pairs, order=places.pair_order, channels=channels)
    else:
        a = list_folder("`a`", places.a, channels=data.channels_a) if places.a else None
        b = list_folder("`b`", places.b, channels=data.channels_b) if places.b else None
        if a and b and (paired or places.paired):
            a, b = match_by_name(a, b)
    return (
        _domain("a", data.name_a, a) if a else None,
        _domain("b", data.name_b, b) if b else None,
    )


def _domain(letter: str, name: str, listing: Listing) -> Domain:
    return Domain(
        letter=letter,
        name=name,
        folder=listing.folder,
        files=(),
        held_out=listing.files,
        held_out_half=listing.half,
    )


def _subject(
    name: str,
    translator: Translator,
    domains: Sides,
    *,
    learnt: Domains | None,
    paired: bool,
    data: DataSettings,
    resize: int,
    held_out: bool = False,
) -> Subject:
    first, second = (0, 1) if translator.header.direction == "ab" else (1, 0)
    source, target = domains[first], domains[second]
    if source is None:
        letter = "ab"[first]
        raise UsageError(
            f"`{letter}`: not given, but the model translates pictures of {letter.upper()}. "
            f"Name a folder of them with `{letter}`"
        )
    if not source.held_out:  # pictures of the user are never empty
        raise UsageError(
            f"{name}: no pictures of {source.letter.upper()} were held out in this run. "
            "Name some with `a` and `b`, or `pairs`"
        )
    real = None
    if target is not None and target.held_out:
        real = _gallery(target, target.held_out, data, resize)
    trained = [_gallery(domain, domain.files, data, resize) for domain in learnt or ()]
    return Subject(
        name=name,
        translator=translator,
        source=_gallery(source, source.held_out, data, resize),
        target=real,
        paired=paired and target is not None,
        learnt=(trained[first], trained[second]) if trained else None,
        held_out=held_out,
    )


def _gallery(domain: Domain, files: Files, data: DataSettings, resize: int) -> Gallery:
    if domain.letter == "a":
        channels, resample = data.channels_a, data.resample_a
    else:
        channels, resample = data.channels_b, data.resample_b
    return Gallery(domain=domain, files=files, channels=channels, side=resize, resample=resample)
