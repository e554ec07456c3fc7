"""What a picture takes in memory, by the header alone: nothing here imports torch."""

from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import GeneratorConfig, ResnetConfig, UnetConfig


def whole_bytes(header: ModelHeader) -> int:
    """Memory per pixel of a run of the whole picture: an upper bound of what was measured."""
    config = header.generator
    match config:
        case ResnetConfig():
            copies = 32 if config.antialias or config.upsample == "resize" else 16
        case UnetConfig():
            copies = 20 if config.upsample == "resize" else 10
    return copies * config.base_channels + 16 * (header.in_channels + header.out_channels)


def scratch_bytes(config: GeneratorConfig, size: tuple[int, int]) -> int:
    """What strips keep at most at a time, of either family: three quarters of a full map."""
    return 3 * config.base_channels * size[0] * size[1]
