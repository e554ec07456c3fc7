"""Options of ``translate`` that choose among the looks of a model with a code."""

from pathlib import Path
from typing import TYPE_CHECKING

from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.translation.codes import Looks


def looks_of(
    *,
    samples: int | None,
    seed: int | None,
    sync: bool,
    style: Path | None,
    z: str | None,
    z_file: Path | None,
    path: tuple[Path, Path] | None,
    frames: int | None,
    grid: bool,
) -> "Looks":
    """What was asked for; ``UsageError`` for two ways at once."""
    from imgtranslate.translation.codes import Looks, parse_codes, read_codes

    ways = {"--style": style, "--z": z, "--z-file": z_file, "--interpolate": path}
    drawn = {"--samples": samples, "--seed": seed, "--sync": sync or None}
    given = [name for name, value in ways.items() if value is not None]
    given += [name for name, value in drawn.items() if value is not None][:1]
    if len(given) > 1:
        raise UsageError(f"{given[0]}, {given[1]}: both choose the look. Give one of them")
    if frames is not None and path is None:
        raise UsageError("--frames: counts the looks of --interpolate. Give both")
    codes = parse_codes(z) if z is not None else read_codes(z_file) if z_file else ()
    return Looks(
        options=(*given, *(["--grid"] if grid else [])),
        samples=samples or 1,
        seed=seed or 0,
        sync=sync,
        codes=codes,
        style=style,
        path=path,
        frames=frames or 8,
    )
