"""The pictures of a run: those it was trained on, those it held out, and how each is read.

Every command that reads the pictures of a run uses this module.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domain, Domains, find_domains, halves_of_held_out, without
from imgtranslate.data.pairs import halves_of
from imgtranslate.errors import DataError
from imgtranslate.images.tar_archive import is_there
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, is_paired


def run_of_model(path: Path) -> Run | None:
    """Find the run of a model file: its folder, or the parent folder of ``best/``."""
    runs = (Run(folder) for folder in (path.parent, path.parent.parent))
    return next((run for run in runs if run.config.is_file()), None)


def domains_of_run(settings: Settings, record: Mapping[str, Any]) -> Domains:
    """List the pictures with which a run with this ``config.toml`` was started, in the same order.

    Raises ``DataError`` if a folder or a held-out picture is missing.
    """
    held_out = tuple(_held_out(record, letter) for letter in "ab")
    for letter, files in zip("ab", held_out, strict=True):
        for file in files:
            if not is_there(file):
                raise DataError(
                    f"{file}: a held-out picture that is missing. Restore it, or remove it from "
                    f"record.held_out_{letter}"
                )
    paired = is_paired(settings.method)
    found = find_domains(settings.data, paired=paired, held_out=(held_out[0], held_out[1]))
    gone = [[d.folder / name for name in _names(record, f"left_out_{d.letter}")] for d in found]
    return without(found, (gone[0], gone[1]))


def held_out_of_run(settings: Settings, record: Mapping[str, Any]) -> Domains:
    """Return both sides with the held-out pictures alone, without listing a folder.

    It works even if the training pictures have been moved away. Raises ``DataError`` if the record
    is damaged.
    """
    data = settings.data
    pairs = Path(data.pairs) if data.pairs else None
    halves = halves_of(pairs, order=data.pair_order) if pairs else ("whole", "whole")
    held_out_halves = halves_of_held_out(data)

    def domain(side: int, letter: str, name: str, folder: str) -> Domain:
        return Domain(
            letter=letter,
            name=name,
            folder=pairs or Path(folder),
            files=(),
            held_out=_held_out(record, letter),
            half=halves[side],
            held_out_half=held_out_halves[side],
            aligned=is_paired(settings.method) or pairs is not None,
        )

    return domain(0, "a", data.name_a, data.a), domain(1, "b", data.name_b, data.b)


def fingerprints(domains: Iterable[Domain]) -> dict[str, str]:
    """Return the fingerprint of each side, as stored in the record of a run."""
    return {f"fingerprint_{domain.letter}": domain.fingerprint() for domain in domains}


def has_changed(domain: Domain, record: Mapping[str, Any]) -> bool:
    """Return whether the training pictures differ from those with which the run was started."""
    return domain.fingerprint() != record.get(f"fingerprint_{domain.letter}")


def _held_out(record: Mapping[str, Any], letter: str) -> tuple[Path, ...]:
    return tuple(Path(name) for name in _names(record, f"held_out_{letter}"))


def _names(record: Mapping[str, Any], key: str) -> list[str]:
    """Read a list of file names from the record, which may have been edited."""
    names = record.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"record.{key}: not a list of file names. Write one, such as []")
    return names
