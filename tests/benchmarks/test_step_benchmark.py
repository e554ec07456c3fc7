import json

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.step import build_batch, build_pair, settings_of
from imgtranslate.data.sampling import Purpose, random_at

SMALL = {
    "cyclegan": (16, 4, 2, 2),
    "pix2pix": (32, 4, 0, 2),
    "bicyclegan": (64, 4, 0, 3),
    "cut": (16, 4, 2, 2),
    "fastcut": (16, 4, 2, 2),
}
LAYERS = ["discriminator.num_layers=2"]


@pytest.mark.parametrize("method", SMALL)
def test_the_fast_step_is_the_textbooks(method: str) -> None:
    """Every loss and every gradient of the first step, in float32."""
    settings, cpu = settings_of(method, *SMALL[method], LAYERS), torch.device("cpu")
    textbook, ours = build_pair(settings, cpu)
    batch = build_batch(settings, cpu, seed=0)
    wanted = textbook.step(batch, random_at(0, Purpose.POOL, 0))
    gradients: dict[torch.Tensor, torch.Tensor] = {}  # of each weight, as its optimizer got it

    def keep(optimizer: torch.optim.Optimizer, *_: object) -> None:
        weights = [weight for part in optimizer.param_groups for weight in part["params"]]
        gradients.update({weight: weight.grad.clone() for weight in weights})

    for optimizer in ours.optimizers.values():
        optimizer.register_step_pre_hook(keep)
    ours.step(batch, learning_rate=settings.optimizer.lr)

    losses = {name: float(loss.detach()) for name, loss in wanted.items()}
    assert ours.take_mean_losses() == pytest.approx(losses, rel=1e-4)
    assert textbook.nets.keys() == ours.networks.keys()
    for name, network in ours.networks.items():
        pairs = zip(network.named_parameters(), textbook.nets[name].parameters(), strict=True)
        largest = max(float(gradients[weight].abs().max()) for weight in network.parameters())
        for (key, own), book in pairs:
            assert book.grad is not None
            apart = (gradients[own] - book.grad).abs().max()
            assert apart <= 1e-4 * largest, f"{name}.{key}"


@pytest.mark.parametrize("beside", ["textbook", "fastcut"])
def test_the_benchmark_prints_one_object(beside: str) -> None:
    import typer

    from benchmarks.step import main

    app = typer.Typer()
    app.command()(main)
    sizes = ["--size", "24", "--base-channels", "4", "--blocks", "1", "--batch", "1"]
    layers = ["--set", LAYERS[0], "--device", "cpu", "--runs", "2", "--json"]
    layers += [] if beside == "textbook" else ["--beside", beside]
    done = CliRunner().invoke(app, ["--method", "cyclegan", *sizes, *layers])
    row = json.loads(done.stdout)
    assert done.exit_code == 0
    assert row["runs"] == 2
    assert {f"{beside}_s", "ours_s", "ratio"} < row.keys()
    assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
