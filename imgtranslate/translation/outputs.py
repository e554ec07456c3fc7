"""The path and format of each translated picture, derived from names only.

The output is a file, a folder, stdout, or a pattern with fields: ``{dir}/{stem}.{domain}.{ext}``.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imgtranslate.errors import UsageError, nearest
from imgtranslate.images import IMAGE_SUFFIXES, holds, writable_suffixes
from imgtranslate.images.arrays import ARRAY_SUFFIX
from imgtranslate.translation.inputs import PIPE, Input, Place, below_root

FIELDS = ("dir", "stem", "name", "ext", "domain", "number")
_FIELD = re.compile(r"\{([^{}/]*)\}")
SYNONYMS = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}


@dataclass(frozen=True, kw_only=True)
class Output:
    """The requested place and format of the translations."""

    text: str | None = None  # file, folder, stdout or pattern; None: beside the inputs
    file_format: str | None = None

    @property
    def is_pipe(self) -> bool:
        """True if one picture is written to stdout."""
        return self.text == PIPE

    @cached_property
    def is_pattern(self) -> bool:
        """True if it has fields that each picture fills in."""
        return self.text is not None and "{" in self.text

    @cached_property
    def is_file(self) -> bool:
        """True if it names a file rather than a folder."""
        if self.text is None or self.is_pipe or self.is_pattern or self.text.endswith("/"):
            return False
        return _is_picture(Path(self.text).suffix) and not Path(self.text).is_dir()

    @cached_property
    def folder(self) -> Path | None:
        """The folder that contains all results; None for one file, or results beside inputs."""
        if self.text is None or self.is_pipe or self.is_file:
            return None
        if not self.is_pattern:
            return Path(self.text)
        if self.text.startswith("{dir}"):  # the folder of each input
            return None
        fixed, slash, _ = self.text[: self.text.index("{")].rpartition("/")
        return Path(fixed or slash)


BESIDE = Output()


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The parts of output names that come from one model."""

    output: Output
    domain: str  # from the model file, so untrusted
    channels: int  # of the output
    several_models: bool = False


def check_output(output: Output, *, channels: int) -> None:
    """Raise ``UsageError`` for an output file, pattern or format that cannot be written."""
    if output.file_format is not None:
        suffix_of(output.file_format, channels=channels)
    if output.text is None:
        return
    if output.is_pattern:
        for field in _FIELD.findall(output.text):
            nearest(field, FIELDS, what=f"`output` {output.text}: field")
        if re.search(r"[{}]", _FIELD.sub("", output.text)):
            raise UsageError(
                f"`output` {output.text}: an unmatched brace. Write fields like {{stem}}.{{ext}}"
            )
    own_suffix = not output.text.endswith((".{ext}", "{name}"))
    if not (output.is_file or (output.is_pattern and own_suffix)):
        return
    suffix = Path(output.text).suffix.lower()
    if output.file_format is not None:
        requested = suffix_of(output.file_format, channels=channels)
        if SYNONYMS.get(suffix, suffix) != SYNONYMS.get(requested, requested):
            raise UsageError(
                f"`output` {output.text}: contradicts `file_format` {output.file_format}. "
                "Leave one of them out"
            )
    if not holds(suffix, channels=channels):
        raise UsageError(f"`output` {output.text}: {_cannot(suffix, channels)}")


def target_of(source: Input, naming: Naming, *, sample: int | None = None) -> Place:
    """Return the path of a translation.

    ``sample``: the index of one of several, from 0. The default format is that of the source if it
    can be written.
    """
    output = naming.output
    if output.is_pipe:
        return PIPE
    if output.text is not None and output.is_file:
        return Path(output.text)
    stem, suffix = _stem(source), _suffix(source, naming)
    if output.text is not None and output.is_pattern:
        return _by_pattern(source, naming, sample=sample, suffix=suffix)
    if naming.several_models or output.text is None:
        stem = f"{stem}.{safe_name(naming.domain)}"
    if sample is not None:
        stem = f"{stem}.{sample + 1}"
    if output.text is not None:
        return Path(output.text) / source.relative.with_name(f"{stem}{suffix}")
    if source.found == "folder":
        raise UsageError(f"{source.path.parent}: a folder needs an output folder. Add `output` DIR")
    return source.path.parent / f"{stem}{suffix}"


def pipe_suffix(output: Output, *, channels: int) -> str:
    """Return the suffix of the format for stdout."""
    if output.file_format is not None:
        return suffix_of(output.file_format, channels=channels)
    return _best(channels)


def safe_name(domain: str) -> str:
    """Convert the name of a domain, which may come from a foreign file, to part of a file name."""
    plain = re.sub(r"[^\w-]+", "-", domain).strip("-_").encode()[:60].decode(errors="ignore")
    return plain or "translated"


def suffix_of(file_format: str, *, channels: int) -> str:
    """Return the suffix of a format; ``UsageError`` if unknown, or not for these channels."""
    names = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    suffix = "." + nearest(file_format.lower().removeprefix("."), names, what="`file_format`")
    if not holds(suffix, channels=channels):
        raise UsageError(f"`file_format` {file_format}: {_cannot(suffix, channels)}")
    return suffix


def _by_pattern(source: Input, naming: Naming, *, sample: int | None, suffix: str) -> Path:
    pattern, folder = str(naming.output.text), naming.output.folder
    ext, stem = suffix.removeprefix("."), _stem(source)
    if folder is None:
        place = source.path.parent
    elif source.found == "named":
        place = below_root(source.path.parent)
    else:
        place = source.relative.parent  # the folder of the input in its tree
    fields = {
        "dir": place.as_posix(),
        "stem": stem,
        "name": f"{stem}.{ext}",
        "ext": ext,
        "domain": safe_name(naming.domain),
        "number": str((sample or 0) + 1),
    }
    path = Path(_FIELD.sub(lambda field: fields[field[1]], pattern))
    below = source.path.parent if folder is None else folder
    if ".." in path.parts[len(below.parts) :]:
        raise UsageError(f"`output` {pattern}: {path} would leave {below}. Rename that input")
    if sample is not None and "{number}" not in pattern:
        return path.with_stem(f"{path.stem}.{sample + 1}")
    return path


def _stem(source: Input) -> str:
    path = source.path
    return path.stem if _is_picture(path.suffix) else path.name


def _suffix(source: Input, naming: Naming) -> str:
    """Choose the suffix: that of the requested format, else of the input, else one that fits."""
    if naming.output.file_format is not None:
        return suffix_of(naming.output.file_format, channels=naming.channels)
    own = source.path.suffix
    return own if holds(own, channels=naming.channels) else _best(naming.channels)


def _is_picture(suffix: str) -> bool:
    return suffix.lower() in {*IMAGE_SUFFIXES, ARRAY_SUFFIX}


def _best(channels: int) -> str:
    return ".png" if holds(".png", channels=channels) else ARRAY_SUFFIX


def _cannot(suffix: str, channels: int) -> str:
    several = f" with {channels} channels" if channels not in (1, 3) else ""
    return f"{suffix or 'no suffix'} cannot be written{several}. Use {_best(channels)}"
