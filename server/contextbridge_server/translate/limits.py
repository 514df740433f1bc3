"""The server's bounds of a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request.

    Attributes:
        max_inline_bytes: All inline media of a request together.
        stores_contexts: The server has a store, so it knows the models of its own contexts.
    """

    max_inline_bytes: int
    stores_contexts: bool = False
