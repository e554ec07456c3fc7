"""The processes that train one run together, each on its rows of every batch.

All ranks hold the same weights, optimizer states, image pools and loss sums at all times:
gradients and losses are averaged, fakes are gathered, and all ranks then make the same update.
Gradients are averaged after the backward pass rather than by ``DistributedDataParallel``, which
expects one forward pass of a network for each backward pass. Here a generator runs up to three
times, a discriminator is frozen in one phase and learns in the next, and a gradient penalty
differentiates twice. The cost is that communication does not overlap with the backward pass.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from imgtranslate.errors import ImgTranslateError

TIMEOUT = timedelta(minutes=10)  # for operations of all ranks at the same time
LONG_TIMEOUT = timedelta(hours=2)  # while rank 0 validates, draws samples or writes
LONGEST_TIMEOUT = timedelta(days=7)  # while rank 0 checks the pictures
BUCKET = 2**23  # numbers averaged at once; more cost memory without being faster


class ProcessGroupError(ImgTranslateError):
    """The loss of another process of the training, which ended or does not answer."""


@dataclass(frozen=True, kw_only=True)
class ProcessGroup:
    """One rank among ``size``; only rank 0 writes and reports.

    ``control`` and ``patient`` are groups for small messages on the CPU, so that no message waits
    for a device; ``patient`` has a longer timeout. All ranks must call the same methods in the same
    order. Every method raises ``ProcessGroupError``.
    """

    rank: int = 0
    size: int = 1
    control: dist.ProcessGroup | None = None
    patient: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Return whether this is rank 0."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace ``tensors`` by their mean over all ranks, bit-identical on each rank."""
        if self.size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with _loss_explained():
                dist.all_reduce(flat)
            flat /= self.size
            means = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, mean in zip(bucket, means, strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def gather(self, rows: Tensor) -> Tensor:
        """Concatenate the rows (n, …) of all ranks in order: (size x n, …)."""
        if self.size == 1:
            return rows
        layout = torch.contiguous_format
        found = [torch.empty_like(rows, memory_format=layout) for _ in range(self.size)]
        with _loss_explained():
            dist.all_gather(found, rows.contiguous())
        return torch.cat(found)

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether it is set on any rank."""
        if self.size == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.int32)
        with _loss_explained():
            dist.all_reduce(votes, dist.ReduceOp.MAX, group=self.control)
        return [bool(vote) for vote in votes]

    def broadcast(self, content: bytes = b"") -> bytes:
        """Return the content that rank 0 passes; other ranks pass none."""
        if self.size == 1:
            return content
        length = torch.tensor(len(content))
        with _loss_explained():
            dist.broadcast(length, 0, group=self.control)
            message = torch.empty(int(length), dtype=torch.uint8)
            if self.leads and content:
                message = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if len(message):
                dist.broadcast(message, 0, group=self.control)
        return message.numpy().tobytes()

    def wait(self, timeout: timedelta = LONG_TIMEOUT) -> None:
        """Wait until all ranks call this, for example while rank 0 validates or writes."""
        if self.size > 1:
            with _loss_explained():
                here = dist.all_reduce(torch.zeros(1), group=self.patient, async_op=True)
                here.wait(timeout)  # not monitored_barrier: it writes to the terminal


SINGLE_PROCESS = ProcessGroup()


@contextlib.contextmanager
def _loss_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessGroupError(
            "training in several processes: one was lost, or did not answer in time. The last "
            "saved state is kept: continue with `resume`"
        ) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(each.numel() for each in bucket) + tensor.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
