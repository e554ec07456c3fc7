import torch
from torch import Tensor

from imgtranslate.data.loader import Batch, to_device
from imgtranslate.methods.cyclegan import CycleGan
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import frozen
from imgtranslate.settings.parsing import build_settings


def gradients(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Of every weight, after the losses of one step and before any update."""
    method = learner.method
    assert isinstance(method, CycleGan)
    (micro_batch,) = learner._micro_batches(batch)
    with frozen(*method.discriminators().values()):
        losses, _ = method.generator_losses(micro_batch)
    torch.stack(list(losses.values())).sum().backward()
    return {
        f"{name}.{key}": parameter.grad.double()
        for name, network in method.generators().items()
        for key, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def test_gradients_are_those_of_double_precision() -> None:
    """As laid out by the learner: on some layouts torch's own kernels have been wrong."""
    settings = build_settings(preset="tiny", layers=[{"data": {"a": "a", "b": "b"}}])
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 1, 64, 64, 3), dtype=torch.uint8, generator=generator)
    a, b = (to_device(side, torch.device("cpu")) for side in pixels)
    single = Learner(settings, torch.device("cpu"))
    found = gradients(single, Batch(a, b))
    double = Learner(settings, torch.device("cpu"))
    for network in double.networks.values():
        network.to(torch.float64, memory_format=torch.contiguous_format)
    wanted = gradients(double, Batch(a.double(), b.double()))
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        if name.endswith("weight"):  # biases before an instance norm have none but rounding
            assert (found[name] - gradient).norm() <= 1e-2 * gradient.norm(), name
