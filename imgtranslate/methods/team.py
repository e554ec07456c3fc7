"""The processes that learn one run together, each from its share of every batch.

All of them hold the same weights, moments, pools and sums at all times: gradients and losses are
averaged, fakes are gathered, and every process then does the same. Gradients are averaged here,
after the backward pass, and not by ``DistributedDataParallel``: that expects one forward pass of a
network for one backward pass, while here a generator runs up to three times, a discriminator
stands still in one phase and learns in the next, and a gradient penalty goes backward twice. What
is lost is that communication does not overlap with the backward pass.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from imgtranslate.errors import ImgTranslateError

PATIENCE = timedelta(minutes=10)  # with a process that should answer at once
LONG_PATIENCE = timedelta(hours=2)  # with one that validates, draws or writes
LONGEST_PATIENCE = timedelta(days=7)  # with one that looks at very many pictures first
BUCKET = 2**23  # numbers that are averaged at once: more gains nothing and costs memory


class LostRankError(ImgTranslateError):
    """Another process of a training is gone, or does not answer."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """One process among ``size``; the one of rank 0 leads: it alone writes and shows.

    ``words``: the group in which processes agree,
    apart from that of their devices, so that no device has to be waited for; ``patient``: another
    one, in which they wait longer. Every method must be called by all, in one order, and raises
    ``LostRankError``.
    """

    rank: int = 0
    size: int = 1
    words: dist.ProcessGroup | None = None
    patient: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes and shows."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes into ``tensors``, alike on each of them."""
        for bucket in _buckets(tensors) if self.size > 1 else ():
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with _lost_explained():
                dist.all_reduce(flat)
            flat /= self.size
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (n, …) of all processes, (size x n, …), in the order of ranks."""
        if self.size == 1:
            return rows
        found = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in self.ranks]
        with _lost_explained():
            dist.all_gather(found, rows.contiguous())
        return torch.cat(found)

    @property
    def ranks(self) -> range:
        """Of all processes."""
        return range(self.size)

    def any(self, *wishes: bool) -> list[bool]:
        """Of each wish, whether any process has it."""
        if self.size == 1:
            return list(wishes)
        votes = torch.tensor(wishes, dtype=torch.int32)
        with _lost_explained():
            dist.all_reduce(votes, dist.ReduceOp.MAX, group=self.words)
        return [bool(vote) for vote in votes]

    def tell(self, content: bytes = b"") -> bytes:
        """What the leader says; others need not say anything."""
        if self.size == 1:
            return content
        length = torch.tensor(len(content))
        with _lost_explained():
            dist.broadcast(length, 0, group=self.words)
            said = torch.empty(int(length), dtype=torch.uint8)
            if self.leads and content:
                said = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if len(said):
                dist.broadcast(said, 0, group=self.words)
        return said.numpy().tobytes()

    def wait(self, patience: timedelta = LONG_PATIENCE) -> None:
        """Wait until all are here, patiently: the leader may have had something to write."""
        if self.size > 1:
            with _lost_explained():
                here = dist.all_reduce(torch.zeros(1), group=self.patient, async_op=True)
                here.wait(patience)  # not monitored_barrier: it writes to the terminal


ALONE = Team()


@contextlib.contextmanager
def _lost_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(
            "training on several processes: one of them was lost, or did not answer in time. "
            "The last saved state is kept: go on with --resume"
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
