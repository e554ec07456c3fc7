"""Where a translated picture goes, and in which format: by names alone, before anything is read."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imgtranslate.errors import UsageError, nearest
from imgtranslate.images import IMAGE_SUFFIXES, holds, writable_suffixes
from imgtranslate.images.arrays import ARRAY_SUFFIX
from imgtranslate.translation.inputs import PIPE, Input, Place, below_root
from imgtranslate.translation.patterns import check_pattern, filled, fixed_folder, is_pattern


@dataclass(frozen=True, kw_only=True)
class Output:
    """What ``-o`` and ``--format`` say."""

    text: str | None = None  # -o as it was given
    file_format: str | None = None

    @property
    def is_pipe(self) -> bool:
        """Whether one picture goes to stdout."""
        return self.text == PIPE

    @cached_property
    def is_pattern(self) -> bool:
        """Whether it has fields that each picture fills."""
        return self.text is not None and not self.is_pipe and is_pattern(self.text)

    @cached_property
    def is_file(self) -> bool:
        """Whether it names one file, and not a folder."""
        if self.text is None or self.is_pipe or self.is_pattern or self.text.endswith("/"):
            return False
        return _is_picture(Path(self.text).suffix) and not Path(self.text).is_dir()

    @cached_property
    def folder(self) -> Path | None:
        """The folder that nothing leaves; None where results go beside their inputs, or are one."""
        if self.text is None or self.is_pipe or self.is_file:
            return None
        return fixed_folder(self.text) if self.is_pattern else Path(self.text)


BESIDE = Output()


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How the outputs of one model are called."""

    output: Output
    domain: str  # as the model's file says: not to be trusted
    channels: int  # of what is written
    several_models: bool = False
    numbered: bool = False  # several looks of each picture


def check_output(output: Output, *, channels: int) -> None:
    """Raise ``UsageError`` for a file, pattern or format that cannot be written."""
    if output.file_format is not None:
        suffix_of(output.file_format, channels=channels)
    if output.text is not None and output.is_pattern:
        check_pattern(output.text)
        if not output.text.endswith((".{ext}", "{name}")):
            _check_suffix(output, Path(output.text).suffix.lower(), channels=channels)
    if output.text is not None and output.is_file:
        _check_suffix(output, Path(output.text).suffix.lower(), channels=channels)


def target_of(source: Input, naming: Naming, *, look: int | None = None) -> Place:
    """Where the translation of ``source`` goes, where ``-o`` does not name one file.

    ``look``: which of several, from 0. Without a format in that of the source, where that can be
    written.
    """
    output = naming.output
    if output.is_pipe:
        return PIPE
    stem, suffix = _stem(source), _suffix(source, naming)
    if output.text is not None and output.is_pattern:
        return _by_pattern(source, naming, look=look, suffix=suffix)
    if naming.several_models or output.text is None:
        stem = f"{stem}.{safe_name(naming.domain)}"
    if look is not None:
        stem = f"{stem}.{look + 1}"
    if output.text is not None:
        return Path(output.text) / source.relative.with_name(f"{stem}{suffix}")
    if source.found == "folder":
        raise UsageError(
            f"{source.path.parent}: a folder needs a place for its results. Add -o DIR"
        )
    return source.path.parent / f"{stem}{suffix}"


def pipe_suffix(output: Output, *, channels: int) -> str:
    """The suffix of the format in which stdout is written."""
    if output.file_format is not None:
        return suffix_of(output.file_format, channels=channels)
    return _best(channels)


def safe_name(domain: str) -> str:
    """A domain's name, which a foreign file may have set, as a part of a file's name."""
    plain = re.sub(r"[^\w-]+", "-", domain).strip("-_").encode()[:60].decode(errors="ignore")
    return plain or "translated"


def suffix_of(file_format: str, *, channels: int) -> str:
    """The suffix of ``--format``; ``UsageError`` for one that is unknown or holds too little."""
    names = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    suffix = "." + nearest(file_format.lower().removeprefix("."), names, what="--format")
    if not holds(suffix, channels=channels):
        raise UsageError(f"--format {file_format}: {_cannot(suffix, channels)}")
    return suffix


def _by_pattern(source: Input, naming: Naming, *, look: int | None, suffix: str) -> Path:
    pattern, folder = str(naming.output.text), naming.output.folder
    ext, stem = suffix.removeprefix("."), _stem(source)
    place = source.path.parent if folder is None else _place_in_tree(source)
    fields = {
        "dir": place.as_posix(),
        "stem": stem,
        "name": f"{stem}.{ext}",
        "ext": ext,
        "domain": safe_name(naming.domain),
        "number": str((look or 0) + 1),
    }
    path = filled(pattern, fields, below=source.path.parent if folder is None else folder)
    if look is not None and "{number}" not in pattern:
        return path.with_stem(f"{path.stem}.{look + 1}")
    return path


def _place_in_tree(source: Input) -> Path:
    """The folder of a picture in the tree that it was found in; of one that was named, its own."""
    return below_root(source.path.parent) if source.found == "named" else source.relative.parent


def _stem(source: Input) -> str:
    path = source.path
    return path.stem if _is_picture(path.suffix) else path.name


def _suffix(source: Input, naming: Naming) -> str:
    """The suffix that the output has; ``--format``, else the input's, else one that can hold it."""
    if naming.output.file_format is not None:
        return suffix_of(naming.output.file_format, channels=naming.channels)
    own = source.path.suffix
    return own if holds(own, channels=naming.channels) else _best(naming.channels)


def _check_suffix(output: Output, suffix: str, *, channels: int) -> None:
    asked = output.file_format and suffix_of(output.file_format, channels=channels)
    if asked and suffix not in _same_format(asked):
        raise UsageError(
            f"-o {output.text}: not in the format of --format {output.file_format}. Leave one out"
        )
    if not holds(suffix, channels=channels):
        raise UsageError(f"-o {output.text}: {_cannot(suffix, channels)}")


def _is_picture(suffix: str) -> bool:
    return suffix.lower() in {*IMAGE_SUFFIXES, ARRAY_SUFFIX}


def _best(channels: int) -> str:
    return ".png" if holds(".png", channels=channels) else ARRAY_SUFFIX


def _cannot(suffix: str, channels: int) -> str:
    several = f" with {channels} channels" if channels not in (1, 3) else ""
    return f"{suffix or 'no suffix'} cannot be written{several}. Use {_best(channels)}"


def _same_format(suffix: str) -> tuple[str, ...]:
    return next((group for group in _SYNONYMS if suffix in group), (suffix,))


_SYNONYMS = ((".jpg", ".jpeg", ".jpe", ".jfif"), (".tif", ".tiff"))
