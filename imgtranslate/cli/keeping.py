"""What a check found stays in the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtranslate.cli.terminal import say
from imgtranslate.errors import ImgTranslateError

if TYPE_CHECKING:
    from imgtranslate.evaluation.report.checks import Check


def keep(run: Path, check: "Check", found: Mapping[str, Any], *, device: str) -> None:
    """Write the figures and the page of a run; one that cannot be written to is told of."""
    from imgtranslate.evaluation.report.report import keep_check

    try:
        say(f"wrote {keep_check(run, check, found, device=device)}")
    except ImgTranslateError as error:
        say(f"not kept: {error}")
