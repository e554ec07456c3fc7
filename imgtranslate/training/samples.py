"""Samples: a figure of the same held-out pictures, drawn repeatedly during the training."""

from pathlib import Path

import torch
from torch import Tensor, nn

from imgtranslate.data.folders import Domain, Domains
from imgtranslate.data.loader import centre_sample
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.files import explained
from imgtranslate.images import Picture, Pixels, to_network, to_pixels, write_image
from imgtranslate.images.figures import comparison
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import evaluating, noise
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, is_paired, latent_dim

SAMPLE_ROWS = 4
CODES = 4  # samples of one input, if the generator takes a code


Crops = tuple[list[Pixels], list[Pixels]]  # of A and of B


def sample_crops(domains: Domains, settings: Settings) -> Crops:
    """Read the pictures of all samples of a run."""
    a, b = (held_out_crops(domain, settings, count=SAMPLE_ROWS) for domain in domains)
    return a, b


def write_samples(run: Run, learner: Learner, crops: Crops) -> Path:
    """Draw ``crops`` and return the new picture in the folder of samples."""
    figure = draw_samples(learner, crops)
    with explained(run.samples):  # the folder may have been removed
        run.samples.mkdir(exist_ok=True)
    path = run.samples / f"step_{learner.steps_done:07d}.png"
    write_image(path, Picture(pixels=figure))
    return path


@torch.inference_mode()
def draw_samples(learner: Learner, crops: Crops) -> Pixels:
    """Draw ``crops``, one row each: real, fake and recovered, or real, fakes and truth."""
    (a, b), settings = crops, learner.settings
    models = {direction: generator for direction, (generator, _) in learner.models().items()}
    name_a, name_b = settings.data.name_a, settings.data.name_b
    with evaluating(*models.values()):
        if "ba" in models:
            titles = [name_a, f"to {name_b}", f"back to {name_a}"]
            titles += [name_b, f"to {name_a}", f"back to {name_b}"]
            columns = _cycle(models["ab"], models["ba"], a, learner.device)
            columns += _cycle(models["ba"], models["ab"], b, learner.device)
        else:
            fakes = _translations(models["ab"], a, settings, learner.device)
            numbers = [f" {index + 1}" for index in range(CODES)] if len(fakes) > 1 else [""]
            titles = [name_a, *(f"to {name_b}{number}" for number in numbers)]
            columns = [a, *fakes]
            if is_paired(settings.method):
                titles.append(f"true {name_b}")
                columns.append(b)
    return comparison(list(zip(*columns, strict=True)), titles=titles)


def held_out_crops(domain: Domain, settings: Settings, *, count: int) -> list[Pixels]:
    """Read centre crops of held-out pictures, or of training pictures if none are held out."""
    data = settings.data
    channels = data.channels_a if domain.letter == "a" else data.channels_b
    resample = data.resample_a if domain.letter == "a" else data.resample_b
    shown = domain.held_out or domain.files
    pictures = (domain.read(path, channels=channels) for path in shown[:count])
    return [centre_sample(each, crop_size=data.crop_size, resample=resample) for each in pictures]


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Convert uint8 (h, w, c) to float (1, c, h, w) in [-1, 1]."""
    return torch.from_numpy(to_network(pixels))[None].to(device)


def _cycle(
    forward: nn.Module, backward: nn.Module, real: list[Pixels], device: torch.device
) -> list[list[Pixels]]:
    """Return the columns real, fake and recovered, repeated if there are few pictures."""
    fakes = [forward(to_tensor(pixels, device)) for pixels in real]
    columns = real, [_pixels(fake) for fake in fakes], [_pixels(backward(fake)) for fake in fakes]
    return [[column[row % len(column)] for row in range(SAMPLE_ROWS)] for column in columns]


def _translations(
    generator: nn.Module, real: list[Pixels], settings: Settings, device: torch.device
) -> list[list[Pixels]]:
    """Return one column of fakes for each of several codes, or a single one without a code."""
    numbers = latent_dim(settings.generator)
    columns = []
    for index in range(CODES if numbers else 1):
        rng = random_at(settings.train.seed, Purpose.SAMPLES, index)
        column = []
        for pixels in real:
            x = to_tensor(pixels, device)
            z = [noise(rng, 1, numbers, like=x)] if numbers else []
            column.append(_pixels(generator(x, *z)))
        columns.append(column)
    return columns


def _pixels(values: Tensor) -> Pixels:
    pixels: Pixels = to_pixels(values[0].cpu().numpy())
    return pixels
