"""The few lines of Python that run an export without imgtranslate."""

from pathlib import Path

from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import GRAPH
from imgtranslate.model_files.export_header import (
    CODE,
    IMAGE,
    MEAN,
    TRANSLATED,
    ExportForm,
    border_of,
)

_MODES = ("L", "LA", "RGB", "RGBA")


def lines(path: Path, header: ModelHeader, form: ExportForm) -> str:
    """Lines that read ``in.jpg`` and write ``out.png``, or ``.npy`` beyond four channels.

    An encoder's write the code to ``z.npy``.
    """
    border = border_of(header, form)
    channels = border.inputs[IMAGE]
    drawn = "z = np.random.default_rng(0).standard_normal((1, {}), np.float32)"
    return "\n".join(
        [
            *_imports(form, is_array=channels > len(_MODES)),
            "",
            *_loading(path, form),
            *_reading(channels),
            _into(form),
            *([drawn.format(border.inputs[CODE])] if CODE in border.inputs else []),
            _running(form, has_code=CODE in border.inputs),
            *_writing(form, border.outputs),
        ]
    )


def _imports(form: ExportForm, *, is_array: bool) -> list[str]:
    runtime = "torch" if form.format == "pt2" else "onnxruntime"
    runtime = "openvino" if form.is_openvino else runtime
    pillow = [] if is_array else ["from PIL import Image, ImageOps"]
    return ["import numpy as np", f"import {runtime}", *pillow]


def _loading(path: Path, form: ExportForm) -> list[str]:
    if form.format == "pt2":
        return [f"model = torch.export.load({str(path)!r}).module()"]
    if form.is_openvino:
        graph, options = str(path / GRAPH), "{'INFERENCE_PRECISION_HINT': 'f32'}"
        return [f"model = openvino.compile_model({graph!r}, 'CPU', {options})"]
    session = f"onnxruntime.InferenceSession({str(path)!r}, providers=['CPUExecutionProvider'])"
    return [f"session = {session}"]


def _reading(channels: int) -> list[str]:
    """Lines that read ``pixels``, uint8 (h, w, channels)."""
    if channels > len(_MODES):
        return ["pixels = np.load('in.npy')"]
    mode, axis = _MODES[channels - 1], "[..., None]" if channels == 1 else ""
    opened = f"image = ImageOps.exif_transpose(Image.open('in.jpg')).convert({mode!r})"
    return [opened, f"pixels = np.array(image){axis}"]


def _into(form: ExportForm) -> str:
    if form.io == "uint8":
        return "x = pixels[None]"
    return "x = pixels.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1"


def _running(form: ExportForm, *, has_code: bool) -> str:
    """The line that gives ``y``, the first output."""
    if form.format == "pt2":
        given = ", ".join(f"torch.from_numpy({name})" for name in (["x", "z"] if has_code else "x"))
        return f"y = model({given}){'[0]' if form.what == 'encoder' else ''}.detach().numpy()"
    code = f", {CODE!r}: z" if has_code else ""
    if form.is_openvino:
        return f"y = model({{{IMAGE!r}: x{code}}})[0]"
    return f"y = session.run(None, {{{IMAGE!r}: x{code}}})[0]"


def _writing(form: ExportForm, outputs: dict[str, int]) -> list[str]:
    if MEAN in outputs:
        return ["np.save('z.npy', y)"]
    channels, floats = outputs[TRANSLATED], form.io == "float"
    values = ["y = y[0].transpose(1, 2, 0)"] if floats else ["pixels = y[0]"]
    rounded = "pixels = np.rint(np.clip((y + 1) * 127.5, 0, 255)).astype(np.uint8)"
    axis = "[..., 0]" if channels == 1 else ""
    saved = (
        "np.save('out.npy', pixels)"
        if channels > len(_MODES)
        else f"Image.fromarray(pixels{axis}).save('out.png')"
    )
    return [*values, *([rounded] if floats else []), saved]
