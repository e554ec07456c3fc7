"""Both sides of a proof: what the model, and what the export, makes of pictures."""

from typing import Protocol

import numpy as np
import torch
from torch import nn

from imgtranslate.exporting.original import Original
from imgtranslate.exporting.proof import Answer, Run
from imgtranslate.images import Codes, Pixels, Values, pad_to, to_network, to_pixels
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import smallest_style


class Exported(Protocol):
    """An export in its own runtime; of the two it can do what it is."""

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w)."""
        ...

    def read_looks(self, values: Values) -> tuple[Codes, Codes]:
        """Map pictures of the target to mean and log variance, (n, latent_dim) each."""
        ...


def run_of_model(original: Original) -> Run:
    """What the model does."""
    translator, bare = original.translator, original.bare

    def translate(pictures: Pixels) -> Answer:
        return np.stack([translator.translate_pixels(picture) for picture in pictures])

    def read(pictures: Pixels) -> Answer:
        return np.stack([_looks(bare, translator.header, picture) for picture in pictures])

    return translate if original.form.what == "generator" else read


def run_of_export(exported: Exported, original: Original) -> Run:
    """What the export does to the same pictures, with the same codes."""
    translator = original.translator

    def translate(pictures: Pixels) -> Answer:
        codes = np.stack([translator.draw(0, picture) for picture in pictures])
        found = exported.run(_values(pictures), codes if translator.latent_dim else None)
        return np.stack([to_pixels(values) for values in found])

    def read(pictures: Pixels) -> Answer:
        return np.stack(exported.read_looks(_values(pictures)), axis=1)

    return translate if original.form.what == "generator" else read


def _values(pictures: Pixels) -> Values:
    return np.stack([to_network(picture) for picture in pictures])


def _looks(encoder: nn.Module, header: ModelHeader, picture: Pixels) -> Codes:
    """Mean and log variance, (2, latent_dim), of one picture mirrored as ``translate`` does."""
    side = smallest_style(header.encoder) if header.encoder else 1
    values = pad_to(to_network(picture), multiple=side, least=side)
    with torch.inference_mode():
        mean, log_variance = encoder(torch.tensor(values)[None])
    looks: Codes = torch.cat((mean, log_variance)).numpy()
    return looks
