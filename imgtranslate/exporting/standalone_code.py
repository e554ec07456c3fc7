"""The generated Python code that runs an export without imgtranslate."""

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

_MODES = ("L", "LA", "RGB", "RGBA")  # Pillow's, by the number of channels


def standalone_code(path: Path, header: ModelHeader, form: ExportForm) -> str:
    """Generate code that reads ``in.jpg`` and writes ``out.png``, or ``.npy`` for 5+ channels.

    The code for an encoder writes the latent code to ``z.npy``.
    """
    border = border_of(header, form)
    channels = border.inputs[IMAGE]
    has_code = CODE in border.inputs
    lines = ["import numpy as np", f"import {_runtime(form)}"]
    if channels <= len(_MODES):
        lines.append("from PIL import Image, ImageOps")
    lines += ["", _loading(path, form), *_reading(channels)]
    if form.io == "uint8":
        lines.append("x = pixels[None]")
    else:
        lines.append("x = pixels.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1")
    if has_code:
        size = f"(1, {border.inputs[CODE]})"
        lines.append(f"z = np.random.default_rng(0).standard_normal({size}, np.float32)")
    lines.append(_running(form, has_code=has_code))
    if MEAN in border.outputs:
        lines.append("np.save('z.npy', y)")
    else:
        lines += _writing(border.outputs[TRANSLATED], form)
    return "\n".join(lines)


def _runtime(form: ExportForm) -> str:
    if form.is_openvino:
        return "openvino"
    return "torch" if form.format == "pt2" else "onnxruntime"


def _loading(path: Path, form: ExportForm) -> str:
    if form.format == "pt2":
        return f"model = torch.export.load({str(path)!r}).module()"
    if form.is_openvino:
        graph, options = str(path / GRAPH), "{'INFERENCE_PRECISION_HINT': 'f32'}"
        return f"model = openvino.compile_model({graph!r}, 'CPU', {options})"
    providers = "providers=['CPUExecutionProvider']"
    return f"session = onnxruntime.InferenceSession({str(path)!r}, {providers})"


def _reading(channels: int) -> list[str]:
    """Generate the lines that read ``pixels``, uint8 (h, w, channels)."""
    if channels > len(_MODES):
        return ["pixels = np.load('in.npy')"]
    mode, axis = _MODES[channels - 1], "[..., None]" if channels == 1 else ""
    opened = f"image = ImageOps.exif_transpose(Image.open('in.jpg')).convert({mode!r})"
    return [opened, f"pixels = np.array(image){axis}"]


def _running(form: ExportForm, *, has_code: bool) -> str:
    """Generate the line that computes ``y``, the first output."""
    if form.format == "pt2":
        given = "torch.from_numpy(x)" + (", torch.from_numpy(z)" if has_code else "")
        return f"y = model({given}){'[0]' if form.what == 'encoder' else ''}.detach().numpy()"
    inputs = f"{{{IMAGE!r}: x{f', {CODE!r}: z' if has_code else ''}}}"
    return f"y = model({inputs})[0]" if form.is_openvino else f"y = session.run(None, {inputs})[0]"


def _writing(channels: int, form: ExportForm) -> list[str]:
    """Generate the lines that round the translated image to 8 bits and save it."""
    if form.io == "uint8":
        lines = ["pixels = y[0]"]
    else:
        lines = [
            "y = y[0].transpose(1, 2, 0)",
            "pixels = np.rint(np.clip((y + 1) * 127.5, 0, 255)).astype(np.uint8)",
        ]
    if channels > len(_MODES):
        return [*lines, "np.save('out.npy', pixels)"]
    axis = "[..., 0]" if channels == 1 else ""
    return [*lines, f"Image.fromarray(pixels{axis}).save('out.png')"]
