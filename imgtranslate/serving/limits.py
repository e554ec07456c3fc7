"""The limits of the service, and their defaults."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one request, and of all requests together."""

    queue: int = 16  # requests that wait beside the one that is served
    max_bytes: int = 50_000_000  # of a picture as sent
    max_pixels: int = 2**24  # of all its frames
    timeout: float = 30.0  # s, to send a picture
