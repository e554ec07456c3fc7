"""The zip archives that torch writes, opened only if reading them takes no more than their size."""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LONGEST_DIRECTORY = 1 << 20  # bytes, of about 10,000 entries; torch writes one for each tensor
_END, _END_64 = 22, 20 + 56  # bytes of the end record, and of the two records of zip64 before it
_SIGNATURE, _SIGNATURE_64 = b"PK\5\6", b"PK\6\7"
_LONGEST_COMMENT = 2**16


@contextlib.contextmanager
def opened_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose entries are neither compressed nor longer than the file.

    Raises ``OSError``, or ``ValueError`` for any other file.
    """
    with path.open("rb") as file:
        if _directory_bytes(file) > _LONGEST_DIRECTORY:
            raise ValueError("too many entries")
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                    raise ValueError("an entry is compressed, which torch never does")
                if sum(entry.file_size for entry in entries) > path.stat().st_size:
                    raise ValueError("its entries state more bytes than it has")
                yield archive
        except (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from error


def _directory_bytes(file: BinaryIO) -> int:
    """Read the length of the directory, before ``zipfile`` reads the directory itself."""
    length = file.seek(0, 2)
    file.seek(max(0, length - _END - _LONGEST_COMMENT - _END_64))
    tail = file.read()
    last = len(tail) - _END  # the place of the end record if it has no comment
    plain = tail[last : last + 4] == _SIGNATURE and tail.endswith(b"\0\0")
    end = last if plain else tail.rfind(_SIGNATURE)
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= _END_64 and tail[end - 20 : end - 16] == _SIGNATURE_64:
        size = max(size, int.from_bytes(tail[end - 36 : end - 28], "little"))
    return size
