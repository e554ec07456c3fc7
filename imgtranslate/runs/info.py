"""The description of a model, export, training state or run, from its header alone."""

import math
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import (
    kind_of,
    read_layout,
    read_model_header,
    read_state_header,
)
from imgtranslate.model_files.export_files import is_openvino, is_pt2
from imgtranslate.model_files.export_header import read_export_form
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Tree, latent_dim, to_tree
from imgtranslate.settings.presets import name_of_method


@dataclass(frozen=True, kw_only=True)
class Info:
    """The description of one file or run."""

    path: Path
    kind: str  # run, model, export or state
    facts: dict[str, str]  # for people to read
    use: tuple[str, ...]  # commands to run
    header: Tree  # the header of a file, the settings of a run

    def to_json(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {**vars(self), "path": str(self.path), "use": list(self.use)}


def describe(path: Path) -> Info:
    """Describe a model, an export, a training state or a run, without loading tensors.

    Raises ``CheckpointError`` if the path is none of them or damaged.
    """
    if path.is_dir() and not is_openvino(path):
        return _run(path)
    if path.suffix.lower() in (".pth", ".pt"):
        raise CheckpointError(
            f"{path}: weights of another program. Convert them to a model with imgtranslate import"
        )
    kind = kind_of(path)
    return _state(path) if kind == "state" else _model(path, kind)


def _model(path: Path, kind: str) -> Info:
    header, file = read_model_header(path), quote(str(path))
    facts = {
        "translates": f"{header.source} to {header.target} ({header.direction})",
        "network": header.architecture,
        "method": f"{header.method}, {header.step:,} steps",
        "trained at": f"{header.crop_size} px, cropped from {header.load_size} px",
        "made with": ", ".join(f"{name} {v}" for name, v in sorted(header.versions.items())),
        "licence": header.licence,
    }
    samples = " --samples 6" if latent_dim(header.generator) else ""
    use: tuple[str, ...] = (f"imgtranslate translate in.jpg --model {file}{samples}",)
    if kind == "model":
        parameters = sum(math.prod(shape) for _, shape in read_layout(path).values())
        facts["parameters"] = f"{parameters:,}"
        output = quote(f"{path.stem}.onnx")
        use += (f"imgtranslate export --model {file} --format onnx -o {output}",)
    else:
        form = read_export_form(path)
        facts["export"] = f"{form.what} as {form.format}, {form.io} pixels"
        if form.what == "encoder":
            reading = f"--model ab.onnx --encoder {file} --style photo.jpg"
            use = (f"imgtranslate translate in.jpg {reading}",)
        if is_pt2(path):  # no command of imgtranslate runs it
            use = ()
    facts["file"] = _megabytes(path)
    return Info(path=path, kind=kind, facts=facts, use=use, header=to_tree(header))


def _state(path: Path) -> Info:
    header = read_state_header(path)
    facts = {
        "step": f"{header.step:,}",
        "samples seen": f"{header.positions:,}",
        "parameters": f"{header.parameters:,}",
        "file": _megabytes(path),
    }
    use = (f"imgtranslate train --resume {quote(str(path.parent))}",)
    return Info(path=path, kind="state", facts=facts, use=use, header=to_tree(header))


def _run(path: Path) -> Info:
    run = Run(path)
    settings, record = run.read_config()
    header = read_state_header(run.state)
    data = settings.data
    folders = (path, run.best)
    models = sorted(p for f in folders for p in f.glob("*.safetensors") if p != run.state)
    facts = {
        "learns": f"{data.name_a} to {data.name_b}, by {name_of_method(settings)}",
        "step": f"{header.step:,}",
        "pictures": f"{record.get('pictures_a', '?')} and {record.get('pictures_b', '?')}",
        "size": f"{data.crop_size} px, cropped from {data.load_size} px",
        "seed": str(settings.train.seed),
        "made with": f"imgtranslate {record.get('imgtranslate')}, torch {record.get('torch')}",
        "models": ", ".join(file.relative_to(path).as_posix() for file in models),
    }
    use = (
        f"imgtranslate translate in.jpg --model {quote(str(path))}",
        f"imgtranslate train --resume {quote(str(path))}",
    )
    return Info(path=path, kind="run", facts=facts, use=use, header=to_tree(settings))


def _megabytes(path: Path) -> str:
    size = sum(file.stat().st_size for file in (path, *path.glob("*")) if file.is_file())
    return f"{size / 1e6:.1f} MB"
