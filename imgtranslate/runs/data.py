"""The data of a run: which pictures it was trained on, and which were held out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domain, find_domains, without, without_pairs
from imgtranslate.errors import DataError
from imgtranslate.images.tar_archive import is_there
from imgtranslate.settings.config import Settings, is_paired


def domains_of_run(settings: Settings, record: Mapping[str, Any]) -> tuple[Domain, Domain]:
    """List the pictures that the run was begun with, in their order."""
    held_out = tuple(_held_out(record, letter) for letter in "ab")
    paired = is_paired(settings.method)
    found = find_domains(settings.data, paired=paired, held_out=(held_out[0], held_out[1]))
    gone = [[d.folder / name for name in _names(record, f"left_out_{d.letter}")] for d in found]
    if paired or settings.data.pairs:
        return without_pairs(found, (gone[0], gone[1]))
    return without(found[0], gone[0]), without(found[1], gone[1])


def _held_out(record: Mapping[str, Any], letter: str) -> tuple[Path, ...]:
    files = tuple(Path(name) for name in _names(record, f"held_out_{letter}"))
    gone = [file for file in files if not is_there(file)]
    if gone:
        raise DataError(
            f"{gone[0]}: a held-out picture, and not there. Put it back, or mend "
            f"record.held_out_{letter}"
        )
    return files


def _names(record: Mapping[str, Any], key: str) -> list[str]:
    """What a person may have edited: a list of names of files."""
    names = record.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"record.{key}: not a list of names. Write one")
    return names


def fingerprints(domains: Iterable[Domain]) -> dict[str, str]:
    """What a record says of which pictures these are."""
    return {f"fingerprint_{domain.letter}": domain.fingerprint() for domain in domains}


def has_changed(domain: Domain, record: Mapping[str, Any]) -> bool:
    """Whether the pictures are not those that the run was begun with."""
    return domain.fingerprint() != record.get(f"fingerprint_{domain.letter}")
