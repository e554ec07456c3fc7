"""What a .pt2 archive says beside its graph, read as a zip: nothing of it is unpickled or run."""

import zipfile
from pathlib import Path

PT2_SUFFIX = ".pt2"
_EXTRA = "/extra/"  # where torch.export.save puts what it is given beside
_LONGEST = 1 << 20  # bytes of an entry; ours has about 1,000


def is_pt2(path: Path) -> bool:
    """Whether the name is a torch.export archive's."""
    return path.suffix.lower() == PT2_SUFFIX


def read_pt2_metadata(path: Path) -> dict[str, str]:
    """Read what was saved beside the graph; ``ValueError`` if it is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = (i for i in archive.infolist() if _EXTRA in i.filename)
            return {
                info.filename.partition(_EXTRA)[2]: _text(archive, info)
                for info in found
                if info.file_size <= _LONGEST
            }
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from error


def _text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """An entry, no longer than it may be whatever it claims."""
    with archive.open(info) as file:
        return file.read(_LONGEST).decode(errors="replace")
