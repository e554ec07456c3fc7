"""``imgtranslate export --format web``."""

import json
import shlex
from pathlib import Path

from imgtranslate.cli.terminal import result, say
from imgtranslate.files import write_text


def export_page(
    source: Path,
    folder: Path,
    *,
    runtime: Path | None,
    proof: Path | None,
    report: Path | None,
    overwrite: bool,
) -> None:
    """Write the folder of the page, and say how to open it."""
    from imgtranslate.exporting.export import report_of
    from imgtranslate.exporting.web import export_web

    exported = export_web(
        source, folder, runtime=runtime, proof=proof, overwrite=overwrite, notice=say
    )
    if report is not None:
        write_text(report, json.dumps([report_of(one) for one in exported.models], indent=2) + "\n")
    result(f"{folder}: {exported.size / 1e6:.1f} MB, largest difference to the model:")
    for one in exported.models:
        sign = f"{one.header.source} to {one.header.target}"
        result(f"  {one.proof.largest:.3g}{one.proof.tolerance.unit}, {sign}")
    result("\nTo open it, here or on any web server:\n")
    result(f"python -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(folder))} 8000")
    result("\nthen http://127.0.0.1:8000")
