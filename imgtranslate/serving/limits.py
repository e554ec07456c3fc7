"""The limits of the service, and their defaults."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one request, and of all requests together."""

    queue: int = 16  # requests that wait behind the one that is served
    max_bytes: int = 50_000_000  # size of a picture as sent
    max_pixels: int = 2**24  # pixels of all frames of a picture
    timeout: float = 30.0  # seconds to send a picture
