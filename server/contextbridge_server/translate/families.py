"""What differs between the families of models behind the context surface (wire.md A.1)."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Family:
    """Limits of a family of models.

    Attributes:
        min_ttl: The shortest life of a binding.
        max_ttl: The longest; None for no bound.
    """

    min_ttl: timedelta
    max_ttl: timedelta | None


GEMINI = Family(min_ttl=timedelta(seconds=1), max_ttl=None)
ARK = Family(min_ttl=timedelta(hours=1), max_ttl=timedelta(days=7))


def family_of(model: str) -> Family:
    """Return the family of a model, by its name."""
    return GEMINI if model.removeprefix("models/").startswith("gemini") else ARK
