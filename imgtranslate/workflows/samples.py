"""The picture of the same held-out images that a run draws as it goes on."""

import numpy as np
import torch
from torch import nn

from imgtranslate.config import Settings
from imgtranslate.data.folders import Domain
from imgtranslate.data.transforms import centre_sample
from imgtranslate.figures import comparison
from imgtranslate.images import Picture, to_network, to_pixels, write_image
from imgtranslate.methods.learner import Learner
from imgtranslate.run_folder import Run

SAMPLE_ROWS = 4


@torch.inference_mode()
def write_samples(
    run: Run, learner: Learner, settings: Settings, domains: tuple[Domain, Domain]
) -> None:
    """Draw the same held-out pictures in both directions, one row each."""
    networks = learner.translators()
    for network in networks.values():
        network.eval()
    columns = [
        column
        for direction, back, domain in (("ab", "ba", domains[0]), ("ba", "ab", domains[1]))
        for column in _sample_columns(networks[direction], networks[back], domain, settings)
    ]
    for network in networks.values():
        network.train()
    a, b = domains[0].name, domains[1].name
    titles = [a, f"to {b}", f"back to {a}", b, f"to {a}", f"back to {b}"]
    figure = comparison(list(zip(*columns, strict=True)), titles=titles)
    write_image(run.samples / f"step_{learner.steps_done:07d}.png", Picture(pixels=figure))


def _sample_columns(
    forward: nn.Module, backward: nn.Module, domain: Domain, settings: Settings
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    data = settings.data
    channels = data.channels_a if domain.letter == "a" else data.channels_b
    device = next(forward.parameters()).device
    real, fake, recovered = [], [], []
    for index in range(SAMPLE_ROWS):
        shown = domain.held_out or domain.files
        path = shown[index % len(shown)]
        pixels = centre_sample(path, channels=channels, crop_size=data.crop_size)
        translated = forward(torch.from_numpy(to_network(pixels))[None].to(device))
        real.append(pixels)
        fake.append(to_pixels(translated[0].cpu().numpy()))
        recovered.append(to_pixels(backward(translated)[0].cpu().numpy()))
    return real, fake, recovered
