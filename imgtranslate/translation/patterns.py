"""``-o`` with fields: ``{dir}/{stem}.{domain}.{ext}``."""

import re
from collections.abc import Mapping
from pathlib import Path

from imgtranslate.errors import UsageError, nearest

FIELDS = ("dir", "stem", "name", "ext", "domain", "number")
_FIELD = re.compile(r"\{([^{}/]*)\}")


def is_pattern(output: str) -> bool:
    """Whether ``-o`` has fields."""
    return _FIELD.search(output) is not None


def check_pattern(pattern: str) -> None:
    """Raise ``UsageError`` for a field that does not exist, or a brace that belongs to none."""
    for field in _FIELD.findall(pattern):
        nearest(field, FIELDS, what=f"-o {pattern}: field")
    if re.search(r"[{}]", _FIELD.sub("", pattern)):
        raise UsageError(f"-o {pattern}: a brace too many. Write fields as in {{stem}}.{{ext}}")


def fixed_folder(pattern: str) -> Path | None:
    """The folder above the first field, which nothing leaves.

    None if the pattern begins with ``{dir}``: then that is the folder of each input itself.
    """
    if pattern.startswith("{dir}"):
        return None
    fixed, slash, _ = pattern[: pattern.index("{")].rpartition("/")
    return Path(fixed or slash)


def filled(pattern: str, fields: Mapping[str, str], *, below: Path) -> Path:
    """Put the fields in. Raises ``UsageError`` if a name would lead out of the folder ``below``."""
    path = Path(_FIELD.sub(lambda field: fields[field[1]], pattern))
    if ".." in path.parts[len(below.parts) :]:
        raise UsageError(f"-o {pattern}: {path} would leave {below}. Rename that input")
    return path
