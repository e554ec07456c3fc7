"""Many machines share a tree without talking: each takes the pictures whose names fall to it."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of so many shares, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        """As ``--shard`` spells it."""
        return f"{self.number}/{self.count}"

    def holds(self, relative: Path) -> bool:
        """Whether a picture falls to this shard: by its path in the tree alone."""
        name = os.fsencode(relative.as_posix())
        digest = hashlib.blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1


WHOLE = Shard(number=1, count=1)


def parse_shard(text: str) -> Shard:
    """Read ``3/16``; ``UsageError`` unless it is one of 1/16 to 16/16."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(number=int(found[1]), count=int(found[2])) if found else Shard(number=0, count=0)
    if not 1 <= shard.number <= shard.count:
        raise UsageError(f"--shard {text}: no such share. Of 16 the first is 1/16, the last 16/16")
    return shard


def shard_of_process(environment: Mapping[str, str]) -> Shard:
    """The share of a process that ``torchrun`` started; everything for any other process."""
    if not environment.keys() >= _RANKS:
        return WHOLE
    rank, size, _ = (environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    try:
        return parse_shard(f"{int(rank) + 1}/{int(size)}")
    except ValueError as error:
        raise UsageError(f"RANK={rank}, WORLD_SIZE={size}: not numbers. Unset them") from error


def device_of_process(environment: Mapping[str, str]) -> str:
    """The GPU of a process that ``torchrun`` started, where there are GPUs; else ``auto``."""
    import torch

    local = environment.get("LOCAL_RANK", "")
    if not environment.keys() >= _RANKS or not torch.cuda.is_available():
        return "auto"
    return f"cuda:{local}"


_RANKS = {"RANK", "WORLD_SIZE", "LOCAL_RANK"}
