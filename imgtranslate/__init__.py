"""Train networks that translate pictures of one kind into another, and translate with them."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from imgtranslate._version import __version__

if TYPE_CHECKING:
    from imgtranslate.demo.scenes import write_demo_data
    from imgtranslate.errors import (
        CheckpointError,
        DataError,
        ImageError,
        ImgTranslateError,
        UsageError,
    )
    from imgtranslate.evaluation.cycle_check.check import cycle_check
    from imgtranslate.exporting.export import export
    from imgtranslate.training.notebook import NotebookProgress
    from imgtranslate.training.train import resume, train
    from imgtranslate.translation.translate import translate_folder
    from imgtranslate.translation.translator import Translator, load

__all__ = [
    "CheckpointError",
    "DataError",
    "ImageError",
    "ImgTranslateError",
    "NotebookProgress",
    "Translator",
    "UsageError",
    "__version__",
    "cycle_check",
    "export",
    "load",
    "resume",
    "train",
    "translate_folder",
    "write_demo_data",
]

# ONNX Runtime reads this on its import. Without it, every session asks for a telemetry host and
# writes an identifier of the device below the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {  # loaded on first use (PEP 562), so that importing the package imports no torch
    "CheckpointError": "imgtranslate.errors",
    "DataError": "imgtranslate.errors",
    "ImageError": "imgtranslate.errors",
    "ImgTranslateError": "imgtranslate.errors",
    "NotebookProgress": "imgtranslate.training.notebook",
    "Translator": "imgtranslate.translation.translator",
    "UsageError": "imgtranslate.errors",
    "cycle_check": "imgtranslate.evaluation.cycle_check.check",
    "export": "imgtranslate.exporting.export",
    "load": "imgtranslate.translation.translator",
    "resume": "imgtranslate.training.train",
    "train": "imgtranslate.training.train",
    "translate_folder": "imgtranslate.translation.translate",
    "write_demo_data": "imgtranslate.demo.scenes",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'imgtranslate' has no attribute {name!r}")
    return vars(importlib.import_module(_LAZY[name]))[name]


def __dir__() -> list[str]:
    return sorted(__all__)
