"""Layers that compute in training what torch's own layers do, faster."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgtranslate.networks.layers import HeadConv, InstanceNorm


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("count", [1, 2])
def test_the_norm_in_training(count: int, layout: torch.memory_format) -> None:
    """Also for one picture with gradients laid out channels-last, where torch's own is wrong."""
    x, gradient = drawn(count, 8, 6, 6), drawn(count, 8, 6, 6, seed=1)
    x.requires_grad_()
    centred = x - x.mean((2, 3), keepdim=True)
    wanted = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    (slope,) = torch.autograd.grad(wanted, x, gradient)
    found = InstanceNorm(8).train()(x)
    (own,) = torch.autograd.grad(found, x, gradient.contiguous(memory_format=layout))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(own, slope)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding_mode", ["reflect", "zeros"])
def test_the_head_in_training(padding_mode: str, bias: bool) -> None:
    head = HeadConv(5, 3, 7, padding=3, padding_mode=padding_mode, bias=bias).double()
    x, gradient = drawn(2, 5, 12, 9).requires_grad_(), drawn(2, 3, 12, 9, seed=1)
    mode = "constant" if padding_mode == "zeros" else padding_mode
    wanted = F.conv2d(F.pad(x, (3, 3, 3, 3), mode=mode), head.weight, head.bias)
    leaves = [x, *head.parameters()]
    slopes = torch.autograd.grad(wanted, leaves, gradient)
    found = head.train()(x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, leaves, gradient), slopes)
    torch.testing.assert_close(head.eval()(x), wanted)
