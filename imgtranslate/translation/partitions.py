"""Shards, by which machines divide a tree by file names, without communication."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of ``count`` shares; ``number`` starts at 1."""

    number: int
    count: int

    def __str__(self) -> str:
        """Write it as 3/16."""
        return f"{self.number}/{self.count}"

    def holds(self, relative: Path) -> bool:
        """Return whether a picture belongs to this shard, by its relative path only."""
        name = os.fsencode(relative.as_posix())
        digest = hashlib.blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1


WHOLE = Shard(number=1, count=1)
_RANKS = {"RANK", "WORLD_SIZE", "LOCAL_RANK"}  # set by torchrun


def parse_shard(text: str) -> Shard:
    """Parse ``3/16``; ``UsageError`` unless it is one of 1/16 to 16/16."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(number=int(found[1]), count=int(found[2])) if found else Shard(number=0, count=0)
    if not 1 <= shard.number <= shard.count:
        raise UsageError(f"`shard` {text}: no such shard. Of 16, the first is 1/16, the last 16/16")
    return shard


def shard_of_process(environment: Mapping[str, str]) -> Shard:
    """Return the shard of a process that ``torchrun`` started; other processes have everything."""
    if not environment.keys() >= _RANKS:
        return WHOLE
    rank, size, _ = (environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    try:
        return parse_shard(f"{int(rank) + 1}/{int(size)}")
    except ValueError as error:
        raise UsageError(f"RANK={rank}, WORLD_SIZE={size}: not numbers. Unset them") from error


def device_of_process(environment: Mapping[str, str]) -> str:
    """Return the GPU of a process that ``torchrun`` started; ``auto`` without GPUs."""
    if not environment.keys() >= _RANKS:
        return "auto"
    import torch  # slow to import

    return f"cuda:{environment['LOCAL_RANK']}" if torch.cuda.is_available() else "auto"
