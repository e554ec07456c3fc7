import struct
import zipfile
from pathlib import Path

import pytest

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.model_files.torch_archive import opened_archive

END = struct.Struct("<4s4H2LH")


def archive(
    path: Path, content: bytes = b"0123456789", *, method: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x/extra/imgtranslate", content)
    return path


def test_a_stored_archive_is_opened(tmp_path: Path) -> None:
    with opened_archive(archive(tmp_path / "x.pt2")) as found:
        assert found.read("x/extra/imgtranslate") == b"0123456789"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_compressed_entries_are_not_decompressed(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "x.pt2", bytes(10**6), method=method)
    with pytest.raises(CheckpointError, match=r"x\.pt2: not a \.pt2 file, or damaged: an entry is"):
        read_model_header(path)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt2", bytes(1000))
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    directory = content[start : content.index(b"PK\5\6")]
    end = END.pack(b"PK\5\6", 0, 0, 50, 50, 50 * len(directory), start, 0)
    path.write_bytes(content[:start] + 50 * directory + end)
    with pytest.raises(CheckpointError, match="state more bytes than it has"):
        read_model_header(path)


@pytest.mark.parametrize("large", [False, True], ids=["plain", "zip64"])
def test_a_long_directory_is_not_read(tmp_path: Path, large: bool) -> None:
    path = tmp_path / "x.pt2"
    claimed = 2**20 + 1
    with path.open("wb") as file:
        file.truncate(2**21)
        file.seek(2**21)
        if large:
            record = struct.Struct("<4sQ2H2L4Q")
            numbers = (44, 45, 45, 0, 0, 1, 1, claimed, 0)
            file.write(record.pack(b"PK\6\6", *numbers))
            file.write(struct.pack("<4sLQL", b"PK\6\7", 0, 2**21, 1))
        file.write(END.pack(b"PK\5\6", 0, 0, 1, 1, 9 if large else claimed, 0, 0))
    with pytest.raises(CheckpointError, match="too many entries"):
        read_model_header(path)


def test_any_damage_is_one_line(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt2")
    content = path.read_bytes()
    for place in range(len(content)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= change
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError) as caught:
                read_model_header(path)
            assert "\n" not in str(caught.value)
