import zipfile
from pathlib import Path

import pytest

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import read_model_header


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_pt2_archive_with_damaged_entries_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "x.pt2"
    text = bytes(range(256)) * 20
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x/extra/imgtranslate", text)
    content = bytearray(path.read_bytes())
    start = content.index(b"x/extra/imgtranslate") + len("x/extra/imgtranslate")
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pt2: not a \.pt2 file, or damaged: ") as e:
        read_model_header(path)
    assert "\n" not in str(e.value)
