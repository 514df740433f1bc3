"""What a request may ask for at most, where the server decides."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request.

    Attributes:
        max_inline_bytes: All inline media of a request together.
    """

    max_inline_bytes: int
