"""Initial weights of a new run, taken from a model or another run."""

from pathlib import Path

from torch import Tensor

from imgtranslate.errors import UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    load_tensors,
    read_model_header,
    read_state_header,
)
from imgtranslate.model_files.export_files import is_export
from imgtranslate.runs.folder import Run

Weights = dict[str, dict[str, Tensor]]  # by name of the network in a learner


def check_initial(source: Path) -> None:
    """Raise ``CheckpointError`` if ``source`` has no weights, before any long work."""
    if is_export(source):
        raise UsageError(
            f"`init` {source}: an export cannot be trained. Name the .safetensors model"
        )
    if source.is_dir():
        read_state_header(Run(source).state)
    else:
        read_model_header(source)


def load_initial(learner: Learner, source: Path) -> list[str]:
    """Load the weights of a model, or of all networks of a run, into a new learner.

    Optimizers, averages, pools and the step start from the beginning. Returns one line for each
    network. Raises a ``UsageError`` that names the first tensor that does not fit.
    """
    found = _of_run(source) if source.is_dir() else _of_model(source, learner)
    if found.keys().isdisjoint(learner.networks):
        raise UsageError(
            f"`init` {source}: contains no network of this method. Name a run of the same method, "
            "or a model file"
        )
    lines = []
    for name, network in learner.networks.items():
        if name not in found:
            lines.append(f"{name}: new")
            continue
        there = {key: _described(tensor) for key, tensor in found[name].items()}
        here = {key: _described(tensor) for key, tensor in network.state_dict().items()}
        for key in here | there:
            if there.get(key) != here.get(key):
                raise UsageError(
                    f"`init` {source}: {key} of {name} is {there.get(key, 'absent')} in the file, "
                    f"but {here.get(key, 'absent')} with these settings. Use the settings that it "
                    "was trained with"
                )
        network.load_state_dict(found[name])
        count = len(found[name])
        lines.append(f"{name}: {count} of {count} tensors from {source}")
    learner.restart_averages()
    return lines


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _of_run(source: Path) -> Weights:
    """Read the weights of all networks from the training state of a run."""
    weights: Weights = {}
    for name, tensor in load_tensors(Run(source).state).items():
        network, _, key = name.partition("/")
        weights.setdefault(network, {})[key] = tensor
    return weights


def _of_model(source: Path, learner: Learner) -> Weights:
    """Read the weights of a model's generator, and of its encoder if there is one."""
    header = read_model_header(source)
    names = learner.method.models.get(header.direction)
    if names is None:
        raise UsageError(
            f"`init` {source}: translates {header.source} to {header.target}, from B to A, which "
            "this method does not learn. Name a model from A to B"
        )
    tensors = load_tensors(source)
    encoder = {n: t for n, t in tensors.items() if n.startswith(ENCODER_PREFIX)}
    generator = {n: t for n, t in tensors.items() if n not in encoder}
    weights: Weights = {names[0]: generator}
    if encoder and len(names) > 1:
        weights[names[1]] = {n.removeprefix(ENCODER_PREFIX): t for n, t in encoder.items()}
    return weights
