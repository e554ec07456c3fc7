"""The subjects of an evaluation: a model, its inputs, and real pictures to compare with."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imgtranslate.data.folders import Domain
from imgtranslate.data.loader import resize_shorter
from imgtranslate.data.pairs import Listing, list_folder, list_pairs, match_by_name
from imgtranslate.errors import DataError, UsageError
from imgtranslate.images import Pixels
from imgtranslate.model_files.checkpoint import Direction, ModelHeader
from imgtranslate.runs.data import read_run_data
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Resample, Settings, is_paired
from imgtranslate.translation.translator import Translator, find_model, load


@dataclass(frozen=True, kw_only=True)
class Places:
    """Pictures of the user's own, instead of those that a run held out."""

    a: Path | None = None
    b: Path | None = None
    pairs: Path | None = None
    pair_order: Literal["ab", "ba"] = "ab"
    paired: bool = False  # the pictures of ``a`` and ``b`` with equal names belong together

    @property
    def given(self) -> bool:
        """Tell whether any are given."""
        return bool(self.a or self.b or self.pairs)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures of a domain in their order, read one by one and resized alike."""

    domain: Domain  # tells which half of each file
    files: tuple[Path, ...]
    channels: int
    side: int = 0  # px, of the shorter side after reading; 0: as in the file
    resample: Resample = "bicubic"

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> Pixels:
        """Read one picture: uint8 (h, w, channels). Raises ``ImageError``."""
        pixels = self.domain.read(self.files[number], channels=self.channels)
        if not self.side:
            return pixels
        return resize_shorter(pixels, self.side, resample=self.resample)

    def pictures(self) -> Iterator[Pixels]:
        """Read one after another."""
        return (self.read(number) for number in range(len(self)))

    def only(self, numbers: Iterable[int]) -> "Gallery":
        """Return some of the pictures, in the order given."""
        return replace(self, files=tuple(self.files[number] for number in numbers))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One direction of one model, with its pictures."""

    name: str
    translator: Translator
    source: Gallery
    target: Gallery | None  # real ones; of pairs the n-th belongs to the n-th of ``source``
    paired: bool
    learnt: tuple[Gallery, Gallery] | None = None  # source and target, of a run's training

    @property
    def header(self) -> ModelHeader:
        """The header of the model."""
        return self.translator.header


def subjects_of_run(
    folder: Path,
    places: Places,
    *,
    directions: Sequence[Direction] = ("ab", "ba"),
    resize: int = 0,
    device: str = "auto",
) -> list[Subject]:
    """List the directions that a run has learnt. Raises ``UsageError`` if pictures are missing."""
    refuse_unclear(places)
    run = Run(folder)
    settings, _ = run.read_config()
    paired = is_paired(settings.method) or bool(settings.data.pairs)
    learnt = _domains(run, places)
    domains = _own_domains(places, settings, paired=paired) if places.given else learnt
    found = [d for d in directions if d == "ab" or run.model(d).is_file()]
    return [
        _subject(
            str(folder),
            load(find_model(folder, direction=direction), device=device),
            domains,
            learnt=learnt,
            paired=places.paired or bool(places.pairs) or paired,
            settings=settings,
            resize=resize,
        )
        for direction in found
    ]


def subjects_of_model(
    file: Path, places: Places, *, resize: int = 0, device: str = "auto"
) -> list[Subject]:
    """Return the one direction of a model file, on pictures that the user names."""
    refuse_unclear(places)
    if not places.given:
        raise UsageError(
            "--a: not given, and a model file has no held-out pictures. "
            "Name folders with --a and --b, or --pairs"
        )
    translator = load(file, device=device)
    header = translator.header
    paired = header.method != "cyclegan" and bool(places.a and places.b)
    domains = _own_domains(places, header, paired=paired)
    paired = paired or places.paired or bool(places.pairs)
    return [
        _subject(
            str(file), translator, domains, learnt=None, paired=paired, settings=None, resize=resize
        )
    ]


def refuse_unclear(places: Places) -> None:
    """Raise ``UsageError`` for places that contradict each other."""
    if places.pairs and (places.a or places.b):
        raise UsageError("--pairs: given together with --a or --b. Give one or the other")
    if places.paired and not (places.a and places.b):
        raise UsageError("--paired: needs both --a and --b. Give both, or --pairs")
    if places.pairs and not places.pairs.exists():
        raise DataError(
            f"--pairs {places.pairs}: no such folder or file. Name a folder of pictures side by "
            "side, or a CSV file"
        )


def _domains(run: Run, places: Places) -> tuple[Domain, Domain] | None:
    """List a run's own pictures; None if they are gone and others are named."""
    try:
        return read_run_data(run)
    except DataError:
        if places.given:
            return None
        raise


Sides = tuple[Domain | None, Domain | None]


def _own_domains(places: Places, of: Settings | ModelHeader, *, paired: bool) -> Sides:
    """Return domains whose held-out pictures are those that the user names."""
    names, channels = _names(of), _channels(of)
    if places.pairs:
        a, b = list_pairs("--pairs", places.pairs, order=places.pair_order, channels=max(channels))
        return _domain("a", names[0], a), _domain("b", names[1], b)
    side_a = list_folder("--a", places.a, channels=channels[0]) if places.a else None
    side_b = list_folder("--b", places.b, channels=channels[1]) if places.b else None
    if side_a and side_b and (paired or places.paired):
        side_a, side_b = match_by_name(side_a, side_b)
    return (
        _domain("a", names[0], side_a) if side_a else None,
        _domain("b", names[1], side_b) if side_b else None,
    )


def _domain(letter: str, name: str, listing: Listing) -> Domain:
    return Domain(
        letter=letter,
        name=name,
        folder=listing.folder,
        files=(),
        held_out=listing.files,
        half=listing.half,
    )


def _names(of: Settings | ModelHeader) -> tuple[str, str]:
    if isinstance(of, Settings):
        return of.data.name_a, of.data.name_b
    return (of.source, of.target) if of.direction == "ab" else (of.target, of.source)


def _channels(of: Settings | ModelHeader) -> tuple[int, int]:
    if isinstance(of, Settings):
        return of.data.channels_a, of.data.channels_b
    sides = of.in_channels, of.out_channels
    return sides if of.direction == "ab" else sides[::-1]


def _subject(
    name: str,
    translator: Translator,
    domains: Sides | None,
    *,
    learnt: tuple[Domain, Domain] | None,
    paired: bool,
    settings: Settings | None,
    resize: int,
) -> Subject:
    order = (0, 1) if translator.header.direction == "ab" else (1, 0)

    def gallery(domain: Domain, files: tuple[Path, ...]) -> Gallery:
        of = settings or translator.header
        data = settings.data if settings else None
        return Gallery(
            domain=domain,
            files=files,
            channels=_channels(of)["ab".index(domain.letter)],
            side=resize,
            resample=(data.resample_a, data.resample_b)["ab".index(domain.letter)]
            if data
            else "bicubic",
        )

    source, target = (domains[place] if domains else None for place in order)
    if source is None or not source.held_out:
        raise _without_pictures(name, "ab"[order[0]], held_out=domains is learnt)
    trained = [gallery(learnt[place], learnt[place].files) for place in order] if learnt else None
    return Subject(
        name=name,
        translator=translator,
        source=gallery(source, source.held_out),
        target=gallery(target, target.held_out) if target and target.held_out else None,
        paired=paired and target is not None,
        learnt=(trained[0], trained[1]) if trained else None,
    )


def _without_pictures(name: str, letter: str, *, held_out: bool) -> UsageError:
    if held_out:
        return UsageError(
            f"{name}: no pictures of {letter.upper()} were held out in this run. "
            "Name some with --a and --b, or --pairs"
        )
    return UsageError(
        f"--{letter}: not given, and the model translates pictures of {letter.upper()}. "
        f"Name a folder of them with --{letter}"
    )
