import gc
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.models import UNET, model_header
from torch import nn

from imgtranslate.builders import build_generator
from imgtranslate.engines.any_size import scratch_bytes
from imgtranslate.engines.strips.layer_runner import Statistics
from imgtranslate.engines.strips.maps import local_form
from imgtranslate.engines.strips.scratch import Scratch
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.errors import ImageError
from imgtranslate.images import Values
from imgtranslate.memory import scratch_folder
from imgtranslate.networks import initialise
from imgtranslate.networks.layers import InstanceNorm
from imgtranslate.settings.config import GeneratorConfig, ResnetConfig, UnetConfig

CPU = torch.device("cpu")
RESNET = ResnetConfig(base_channels=4, num_blocks=2)
CODED = replace(UNET, latent_dim=3, skip_order="up_first", conv_bias="always")
KINDS: dict[str, GeneratorConfig] = {
    "resnet": RESNET,
    "resnet-affine": replace(RESNET, norm="instance_affine", padding="zero"),
    "resnet-batch": replace(RESNET, norm="batch", upsample="resize"),
    "resnet-none": replace(RESNET, norm="none", padding="zero", upsample="resize"),
    "resnet-resize": replace(RESNET, upsample="resize"),
    "resnet-antialias": replace(RESNET, antialias=True),
    "resnet-antialias-batch": replace(RESNET, antialias=True, norm="batch", padding="zero"),
    "resnet-no-blocks": replace(RESNET, num_blocks=0, dropout=True),
    "unet": UNET,
    "unet-up-first": replace(UNET, skip_order="up_first", dropout=True, depth=6),
    "unet-batch": replace(UNET, norm="batch"),
    "unet-none": replace(UNET, norm="none", upsample="resize"),
    "unet-resize": replace(UNET, upsample="resize", norm="instance_affine"),
    "unet-all": replace(CODED, z_at="all"),
    "unet-input": replace(CODED, z_at="input", upsample="resize"),
    "unet-middle": replace(CODED, z_at="middle", norm="batch"),
    "unet-plane": replace(CODED, z_at="plane"),
}


def engine_of(config: GeneratorConfig, *, seed: int = 0) -> TorchEngine:
    """One whose signals stay alive and whose norms have something to say of their own."""
    network = build_generator(config, in_channels=3, out_channels=2).eval()
    draw = torch.Generator().manual_seed(seed)
    initialise(network, init="kaiming", gain=1.0, generator=draw)
    with torch.no_grad():
        for module in network.modules():
            match module:
                case nn.BatchNorm2d() | nn.InstanceNorm2d() if module.affine:
                    module.weight.uniform_(0.5, 1.5, generator=draw)
                    module.bias.uniform_(-0.5, 0.5, generator=draw)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5, generator=draw)
                module.running_var.uniform_(0.5, 2.0, generator=draw)
    return TorchEngine(network, header=model_header(config, out_channels=2), device=CPU)


def picture_and_code(config: GeneratorConfig, height: int, width: int) -> list[Values]:
    rng = np.random.default_rng(1)
    picture = rng.uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
    code = rng.standard_normal((1, 3)).astype(np.float32)
    return [picture, code] if isinstance(config, UnetConfig) and config.latent_dim else [picture]


def in_strips(
    engine: TorchEngine, picture: Values, *code: Values, rows: int, kept_bytes: int = 0
) -> Values:
    height, width = picture.shape[-2:]
    parts = engine.run_strips(
        lambda rows, columns: picture[0, :, rows, columns],
        *code,
        size=(height, width),
        strip_bytes=rows * 4 * engine.header.generator.base_channels * width,
        kept_bytes=kept_bytes,
    )
    starts, strips = zip(*parts, strict=True)
    assert list(starts) == np.cumsum([0, *(s.shape[1] for s in strips[:-1])]).tolist()
    return np.concatenate(strips, axis=1)[None]


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("name", KINDS)
def test_strips_give_what_the_whole_picture_gives(name: str, rows: int) -> None:
    engine = engine_of(KINDS[name])
    inputs = picture_and_code(KINDS[name], 64, 64)
    whole = engine.run(*inputs)
    assert whole.std() > 0.05
    np.testing.assert_allclose(in_strips(engine, *inputs, rows=rows), whole, atol=3e-5, rtol=0)


@pytest.mark.parametrize("size", [(8, 8), (8, 40), (52, 8)])
def test_the_smallest_pictures_are_cut_rightly_too(size: tuple[int, int]) -> None:
    engine = engine_of(RESNET)
    inputs = picture_and_code(RESNET, *size)
    strips = in_strips(engine, *inputs, rows=1)
    np.testing.assert_allclose(strips, engine.run(*inputs), atol=3e-5, rtol=0)


def test_memory_and_disk_keep_the_same() -> None:
    engine = engine_of(UNET)
    inputs = picture_and_code(UNET, 64, 96)
    on_disk, mixed, in_memory = (
        in_strips(engine, *inputs, rows=5, kept_bytes=kept) for kept in (0, 10_000, 10**9)
    )
    assert np.array_equal(on_disk, mixed)
    assert np.array_equal(on_disk, in_memory)


def test_a_flat_picture_stays_flat() -> None:
    engine = engine_of(replace(RESNET, padding="reflect", antialias=False))
    flat = np.full((1, 3, 64, 32), 0.3, np.float32)
    strips = in_strips(engine, flat, rows=3)
    np.testing.assert_allclose(strips, engine.run(flat), atol=1e-6, rtol=0)


def test_statistics_are_those_of_all_that_was_seen() -> None:
    """With a mean a thousand times the deviation, where sums in float32 fail."""
    values = 1000 + torch.randn(1, 2, 90, 70, generator=torch.Generator().manual_seed(0))
    statistics = Statistics()
    for start, stop in ((0, 1), (1, 40), (40, 90)):
        statistics.see(values[:, :, start:stop])
    exact = nn.functional.instance_norm(values.double()).float()
    found = statistics.normalise(values, InstanceNorm(2))
    np.testing.assert_allclose(found.numpy(), exact.numpy(), atol=2e-4, rtol=0)


def test_only_what_is_known_is_run_in_strips() -> None:
    with pytest.raises(TypeError, match="MaxPool2d"):
        local_form(nn.MaxPool2d(2))


# Arithmetic


def multiplications(network: nn.Module, run: object) -> float:
    """How many a run takes in all convolutions, for each pixel that a layer gives."""
    total = 0.0

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        at = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        total += module.weight.numel() * at.shape[2] * at.shape[3]

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    run()  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (replace(RESNET, num_blocks=9), 1.1),
        (replace(RESNET, num_blocks=9, antialias=True), 1.35),
        (replace(RESNET, num_blocks=9, upsample="resize"), 1.2),
        (replace(UNET, depth=6), 1.05),
    ],
    ids=["resnet", "antialias", "resize", "unet"],
)
def test_strips_compute_little_twice(config: GeneratorConfig, most: float) -> None:
    """At 64 channels it is less still, for the share of the ends falls; see docs/any-size.md."""
    wide = replace(config, base_channels=16)
    engine = engine_of(wide)
    inputs = picture_and_code(wide, 512, 64)
    whole = multiplications(engine._network, lambda: engine.run(*inputs))
    strips = multiplications(engine._network, lambda: in_strips(engine, *inputs, rows=128))
    assert 1 <= strips / whole < most


# Scratch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert scratch_folder() == tmp_path
    return tmp_path


def files_held_in(folder: Path) -> list[str]:
    found = map(target_of, Path("/proc/self/fd").iterdir())
    return [target for target in found if str(folder) in target]


def target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["resnet", "resnet-antialias", "unet", "unet-plane"])
def test_the_scratch_is_as_large_as_is_foretold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Scratch] = []

    def remember(**settings: object) -> Scratch:
        made.append(Scratch(**settings))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("imgtranslate.engines.torch_engine.Scratch", remember)
    in_strips(engine_of(KINDS[name]), *picture_and_code(KINDS[name], 128, 64), rows=9)
    assert made[0].peak == scratch_bytes(KINDS[name], (128, 64))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_files_have_no_name_and_go_with_the_picture(folder: Path) -> None:
    engine = engine_of(RESNET)
    inputs = picture_and_code(RESNET, 64, 64)
    held = [len(files_held_in(folder)) for _ in started(engine, inputs[0])]
    assert held
    assert min(held) >= 1
    assert list(folder.iterdir()) == []
    assert files_held_in(folder) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_files_go_after_a_failure(folder: Path) -> None:
    parts = started(engine_of(RESNET), picture_and_code(RESNET, 64, 64)[0])
    next(parts)
    assert files_held_in(folder)
    with pytest.raises(KeyboardInterrupt):
        parts.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    del parts
    gc.collect()
    assert files_held_in(folder) == []
    assert list(folder.iterdir()) == []


def started(engine: TorchEngine, picture: Values) -> Iterator[tuple[int, Values]]:
    return engine.run_strips(
        lambda rows, columns: picture[0, :, rows, columns],
        size=(64, 64),
        strip_bytes=8 * 4 * 4 * 64,
        kept_bytes=0,
    )


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    scratch = Scratch(memory=0, device=CPU, folder=tmp_path / "gone")
    with pytest.raises(
        ImageError, match=r"gone: no space for temporary files: No such file.*TMPDIR"
    ):
        scratch.new(channels=1, height=1, width=1)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    kept = Scratch(memory=0, device=CPU, folder=tmp_path).new(channels=1, height=9, width=1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ImageError, match=r"no space for temporary files: .*TMPDIR"):
            kept.write(0, torch.zeros(1, 1, 9, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_scratch_does_not_lie_in_memory_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    if os.access("/var/tmp", os.W_OK):
        assert scratch_folder() == Path("/var/tmp")
