"""The memory of the check with many pictures."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from imgtranslate.data.folders import Domain
from imgtranslate.data_check import near_duplicates, scan
from imgtranslate.data_check.near_duplicates import find_matches
from imgtranslate.data_check.scan import ScannedPicture, scan_pictures
from imgtranslate.settings.config import DataSettings


def test_the_queue_of_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def note(domain: Domain, path: Path, **_: int) -> ScannedPicture:
        read.append(path)
        return ScannedPicture(letter=domain.letter, path=path)

    monkeypatch.setattr(scan, "_scan", note)
    monkeypatch.setattr(scan, "_AHEAD", 4)
    files = tuple(Path(f"{number}.png") for number in range(50))
    a, b = (
        Domain(letter=letter, name=letter, folder=Path(letter), files=files, held_out=())
        for letter in "ab"
    )
    scans = scan_pictures((a, b), DataSettings())
    assert [found.path for found in itertools.islice(scans, 3)] == list(files[:3])
    assert len(read) <= 4
    assert [found.path for found in scans] == [*files[3:], *files]


def test_thumbnails_are_copied_only_without_flat_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    vivid = np.concatenate([noise, noise[:1]])
    copied: list[bool] = []
    spectra = near_duplicates._spectra

    def watch(thumbnails: np.ndarray) -> object:
        copied.append(not np.shares_memory(thumbnails, given))
        return spectra(thumbnails)

    monkeypatch.setattr(near_duplicates, "_spectra", watch)
    for given in (vivid, np.concatenate([np.zeros((1, 32, 32), np.uint8), vivid])):
        (match,) = find_matches(given)
        last = len(given) - 1
        assert (match.first, match.second) == (last - 4, last)
    assert copied == [False, True]
