"""One step on a batch in shares: of several processes, and of several parts on each."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgtranslate.data.loader import Batch
from imgtranslate.data.share import Dealing, Share
from imgtranslate.methods.draws import SharedDropout
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.step import Losses, Phases
from imgtranslate.methods.team import ALONE, Team
from imgtranslate.settings.config import Settings, learns_from_halves


@dataclass(kw_only=True)
class Turns:
    """The shares of this process, whose turn it is, and what must know of it."""

    team: Team
    shares: Sequence[Share]
    pools: Sequence[ImagePool]
    dropouts: Sequence[SharedDropout]
    device: torch.device
    part: int = 0

    def __post_init__(self) -> None:
        for pool in self.pools:
            pool.team = self.team

    @property
    def parts(self) -> int:
        """How many turns a phase takes."""
        return len(self.shares)

    def learn(
        self,
        batch: Batch,
        step: Callable[[Batch, Share], Phases],
        minimise: Callable[[str, Mapping[str, Tensor]], None],
    ) -> Losses:
        """Go through the phases of a step, in each through the parts of this process's ``batch``.

        Returns every loss, detached: its mean over the parts and over the processes.
        """
        halves = (side.chunk(self.parts) for side in (batch.real_a, batch.real_b))
        parts = [Batch(a, b) for a, b in zip(*halves, strict=True)]
        steps = [step(part, share) for part, share in zip(parts, self.shares, strict=True)]
        losses: Losses = {}
        while (found := self._phase(steps, minimise)) is not None:
            losses |= found
        self.team.average(list(losses.values()))
        return losses

    def _phase(
        self, steps: Sequence[Phases], minimise: Callable[[str, Mapping[str, Tensor]], None]
    ) -> Losses | None:
        """Learn from the next phase of every part; nothing if there is none."""
        found = []
        for part, step in enumerate(steps):
            with self._turn(part):
                name, losses = next(step, ("", None))
                if losses is None:
                    return None
                minimise(name, losses)
                found.append({name: loss.detach() for name, loss in losses.items()})
        return _means(found)

    @contextlib.contextmanager
    def _turn(self, part: int) -> Iterator[None]:
        """Every part draws what one process would draw for the whole batch, and takes its share."""
        self.part = part
        for pool in self.pools:
            pool.share = self.shares[part]
        for dropout in self.dropouts:
            dropout.share = self.shares[part]
        again = part < self.parts - 1
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=again):
            yield


def dealing_of(settings: Settings, team: Team = ALONE) -> Dealing:
    """How the batches of a run are dealt to the processes of a team."""
    return Dealing(
        batch_size=settings.train.batch_size,
        rank=team.rank,
        ranks=team.size,
        parts=settings.train.accumulate,
        blocks=2 if learns_from_halves(settings.method) else 1,
    )


def _means(parts: Sequence[Losses]) -> Losses:
    if len(parts) == 1:
        return parts[0]
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
