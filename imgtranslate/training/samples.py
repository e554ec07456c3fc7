"""Samples: a figure of the same held-out pictures, drawn again as training goes on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from imgtranslate.data.folders import Domain
from imgtranslate.data.loader import centre_sample
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.files import explained
from imgtranslate.images import Picture, Pixels, to_network, to_pixels, write_image
from imgtranslate.images.figures import comparison
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import evaluating, noise
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, latent_dim

SAMPLE_ROWS = 4
CODES = 4  # samples of one input, where the generator takes a code


@torch.inference_mode()
def write_samples(
    run: Run, learner: Learner, settings: Settings, domains: tuple[Domain, Domain]
) -> None:
    """Draw held-out pictures, one row each: real, fake and recovered, or beside the truth."""
    models = {direction: generator for direction, (generator, _) in learner.models().items()}
    with evaluating(*models.values()):
        if "ba" in models:
            titles, columns = _cycles(models["ab"], models["ba"], settings, domains)
        else:
            titles, columns = _translations(models["ab"], settings, domains, learner.device)
    figure = comparison(list(zip(*columns, strict=True)), titles=titles)
    with explained(run.samples):  # the folder may have been removed
        run.samples.mkdir(exist_ok=True)
    write_image(run.samples / f"step_{learner.steps_done:07d}.png", Picture(pixels=figure))


def held_out_crops(domain: Domain, settings: Settings, *, count: int) -> list[Pixels]:
    """Read the centres of held-out pictures; of training pictures if none are held out."""
    data = settings.data
    channels = data.channels_a if domain.letter == "a" else data.channels_b
    resample = data.resample_a if domain.letter == "a" else data.resample_b
    shown = domain.held_out or domain.files
    return [
        centre_sample(
            domain.read(path, channels=channels), crop_size=data.crop_size, resample=resample
        )
        for path in shown[:count]
    ]


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Turn uint8 (h, w, c) into float (1, c, h, w) in [-1, 1]."""
    return torch.from_numpy(to_network(pixels))[None].to(device)


def _cycles(
    ab: nn.Module, ba: nn.Module, settings: Settings, domains: tuple[Domain, Domain]
) -> tuple[list[str], list[Sequence[Pixels]]]:
    """Return titles and columns: real, fake and recovered of both domains."""
    columns: list[Sequence[Pixels]] = []
    for forward, backward, domain in ((ab, ba, domains[0]), (ba, ab, domains[1])):
        device = next(forward.parameters()).device
        real = held_out_crops(domain, settings, count=SAMPLE_ROWS)
        fakes = [forward(to_tensor(pixels, device)) for pixels in real]
        recovered = [_pixels(backward(fake)) for fake in fakes]
        columns += [_full(real), _full([_pixels(f) for f in fakes]), _full(recovered)]
    a, b = domains[0].name, domains[1].name
    return [a, f"to {b}", f"back to {a}", b, f"to {a}", f"back to {b}"], columns


def _translations(
    generator: nn.Module, settings: Settings, domains: tuple[Domain, Domain], device: torch.device
) -> tuple[list[str], list[Sequence[Pixels]]]:
    """Return titles and columns: real, the fakes of one code or of several, and the truth."""
    numbers = latent_dim(settings.generator)
    real, truth = (held_out_crops(domain, settings, count=SAMPLE_ROWS) for domain in domains)
    columns: list[Sequence[Pixels]] = [real]
    for index in range(CODES if numbers else 1):
        rng = random_at(settings.train.seed, Purpose.SAMPLES, index)
        column = []
        for pixels in real:
            x = to_tensor(pixels, device)
            z = [noise(rng, 1, numbers, like=x)] if numbers else []
            column.append(_pixels(generator(x, *z)))
        columns.append(column)
    a, b = domains[0].name, domains[1].name
    fakes = [f"to {b} {index + 1}" for index in range(CODES)] if numbers else [f"to {b}"]
    return [a, *fakes, f"true {b}"], [*columns, truth]


def _pixels(values: Tensor) -> Pixels:
    pixels: Pixels = to_pixels(values[0].cpu().numpy())
    return pixels


def _full(column: Sequence[Pixels]) -> list[Pixels]:
    """Repeat a column from its start where a domain has too few pictures."""
    return [column[row % len(column)] for row in range(SAMPLE_ROWS)]
