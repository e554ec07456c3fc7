"""Precision, recomputation and the compiler change how a step is computed, not what."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.utils._pytree import tree_leaves

from imgtranslate.data.loader import Batch
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import choose_execution, choose_precision
from imgtranslate.networks.layers import build_norm
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import TrainSettings
from imgtranslate.settings.parsing import build_settings, nested
from imgtranslate.training.train import failures_explained

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "cyclegan": {"generator.num_blocks": 1},
    "pix2pix": {},
    "bicyclegan": {"train.batch_size": 2, "data.crop_size": 64},
    "cut": {"generator.num_blocks": 2, "generator.antialias": False},
    "fastcut": {"generator.num_blocks": 2, "generator.antialias": False},
}


def small_learner(method: str = "cyclegan", **changes: Any) -> Learner:
    settings = {
        "data.a": "a",
        "data.b": "b",
        "data.crop_size": 32,
        "generator.base_channels": 4,
        "discriminator.base_channels": 4,
        "discriminator.num_layers": 2,
        **SMALL[method],
        **{f"train.{name}": value for name, value in changes.items()},
    }
    return Learner(build_settings(method=method, layers=[nested(settings)]), CPU)


def random_batch(seed: int, *, side: int = 32, count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, count, 3, side, side, generator=generator) * 2 - 1
    return Batch(a, b)


def watch_gradients(ours: Learner) -> dict[str, Tensor]:
    """What every optimizer is given in the step that follows."""
    found: dict[str, Tensor] = {}

    def look(*_: object) -> None:
        for name, network in ours.networks.items():
            for key, parameter in network.named_parameters():
                if parameter.grad is not None:
                    found[f"{name}.{key}"] = parameter.grad.clone()

    for optimizer in ours.optimizers.values():
        optimizer.register_step_pre_hook(look)
    return found


def watch(ours: Learner, kind: type[nn.Module], look: Callable[[Tensor], None]) -> None:
    for network in ours.networks.values():
        for layer in network.modules():
            if isinstance(layer, kind):
                layer.register_forward_hook(lambda _, __, found: look(found))


@pytest.mark.parametrize("method", SMALL)
def test_bf16_runs_inside_the_networks_only(method: str) -> None:
    """Features are bfloat16, results and sums float32; the losses are nearly those of float32."""
    ours, plain = small_learner(method, precision="bf16"), small_learner(method, precision="fp32")
    batch = random_batch(0, side=64 if method == "bicyclegan" else 32)
    norms: set[torch.dtype] = set()
    watch(ours, nn.InstanceNorm2d, lambda found: norms.add(found.dtype))
    convolved: set[torch.dtype] = set()
    watch(ours, nn.ConvTranspose2d, lambda found: convolved.add(found.dtype))
    answers: set[torch.dtype] = set()
    for network in ours.networks.values():
        network.register_forward_hook(
            lambda _, __, found: answers.update(each.dtype for each in tree_leaves(found))
        )
    found_gradients = watch_gradients(ours)
    for each in (ours, plain):
        each.step(batch, learning_rate=1e-4)
    assert answers == {torch.float32}
    assert (norms, convolved) == ({torch.bfloat16}, {torch.bfloat16})
    assert {total.dtype for total in ours.loss_sums.values()} == {torch.float32}
    found, wanted = ours.take_mean_losses(), plain.take_mean_losses()
    assert found == pytest.approx(wanted, rel=0.05, abs=1e-6)
    assert found != wanted
    assert {gradient.dtype for gradient in found_gradients.values()} == {torch.float32}


def test_bf16_sees_weights_after_their_update() -> None:
    """A second step from the first one's state is the same in a learner that begins there."""
    ours, again = (small_learner(precision="bf16") for _ in range(2))
    ours.step(random_batch(0), learning_rate=1e-2)
    again.restore({name: t.clone() for name, t in ours.state_tensors().items()}, steps_done=1)
    for each in (ours, again):
        each.step(random_batch(1), learning_rate=1e-2)
    for (name, one), other in zip(
        ours.state_tensors().items(), again.state_tensors().values(), strict=True
    ):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("method", SMALL)
@pytest.mark.parametrize("recompute", [False, True])
def test_weights_converted_once_get_every_gradient(
    monkeypatch: pytest.MonkeyPatch, method: str, recompute: bool
) -> None:
    """A weight that is first converted without a gradient would get none in later passes."""
    if recompute and method in {"pix2pix", "bicyclegan"}:
        pytest.skip("their generators do not recompute")
    once = small_learner(method, precision="bf16", recompute=recompute)
    each = small_learner(method, precision="bf16", recompute=recompute)
    found, wanted = watch_gradients(once), watch_gradients(each)
    batch = random_batch(0, side=64 if method == "bicyclegan" else 32)
    once.step(batch, learning_rate=1e-9)
    autocast, uncached = torch.autocast, {"cache_enabled": False}
    monkeypatch.setattr(
        torch, "autocast", lambda *args, **named: autocast(*args, **named | uncached)
    )
    each.step(batch, learning_rate=1e-9)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        difference = (found[name] - gradient).norm()
        assert difference <= 0.1 * gradient.norm() + 1e-6, name


def test_recomputing_changes_no_gradient_and_keeps_less() -> None:
    ours, plain = small_learner(recompute=True), small_learner()
    kept: list[int] = []
    found, wanted = watch_gradients(ours), watch_gradients(plain)
    for each in (ours, plain):
        sizes: dict[int, int] = {}

        def keep(found: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
            return found

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda found: found):
            each.step(random_batch(0), learning_rate=1e-4)
        kept.append(sum(sizes.values()))
    assert kept[0] < 0.7 * kept[1]
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name


@pytest.mark.parametrize("height", [30_000, 10])
def test_statistics_of_bf16_norms_have_full_precision(height: int) -> None:
    """A mean of ten deviations would lose all digits in sums of bfloat16."""
    norm = build_norm("instance", 2).train()
    x = (torch.randn(1, 2, height, 8) + 10).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
    wanted = (x.double() - x.double().mean((2, 3), keepdim=True)) / x.double().std(
        (2, 3), keepdim=True, correction=0
    )
    assert (found.double() - wanted).abs().max() < 2**-7 * wanted.abs().max()


def test_an_older_run_with_auto_stays_in_float32_on_a_cpu() -> None:
    chosen = choose_execution(TrainSettings(), CPU)
    assert (chosen.bf16, chosen.compiled) == (False, False)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32")],
)
def test_auto_is_bf16_on_cpus_with_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision(TrainSettings(), CPU) == precision
    assert choose_precision(TrainSettings(precision="fp32"), CPU) == "fp32"
    assert choose_precision(TrainSettings(precision="bf16"), CPU) == "bf16"


def test_auto_is_fp32_where_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision(TrainSettings(), CPU) == "fp32"


@pytest.mark.parametrize(("capability", "bf16"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_auto_is_bf16_on_gpus_that_are_made_for_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], bf16: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_execution(TrainSettings(), torch.device("cuda:0")).bf16 is bf16
    assert not choose_execution(TrainSettings(precision="fp32"), torch.device("cuda:0")).bf16


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not choose_execution(TrainSettings(compile="auto"), CPU).compiled
    with pytest.raises(UsageError, match=r"^train\.compile on: needs a C\+\+ compiler\. Install"):
        choose_execution(TrainSettings(compile="on"), CPU)


def test_recomputing_is_refused_where_it_would_be_wrong() -> None:
    for method, norm in (("pix2pix", "instance"), ("cyclegan", "batch")):
        changes = {"data.a": "a", "data.b": "b", "train.recompute": True, "generator.norm": norm}
        with pytest.raises(UsageError, match=r"^train\.recompute true: needs"):
            build_settings(method=method, layers=[nested(changes)])


def test_what_goes_backward_twice_is_not_compiled() -> None:
    changes = {"data.a": "a", "data.b": "b", "train.compile": "on", "method.gan_mode": "wgangp"}
    with pytest.raises(UsageError, match=r"^train\.compile on: method\.gan_mode wgangp diff"):
        build_settings(method="cyclegan", layers=[nested(changes)])


def test_a_compiler_that_does_not_work_is_one_line(tmp_path: Path) -> None:
    line = r"^.*: torch cannot compile .*: no g\+\+\. Start [^\n]*$"
    with pytest.raises(ImgTranslateError, match=line), failures_explained(Run(tmp_path)):
        raise TorchDynamoException("no g++.\n\nmany lines")
