"""The ids of contexts: ours are told from upstream's by their form."""

import secrets
from datetime import datetime

ID_PREFIX = "context-"
ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 26
RANDOM_BITS = 80


def new_id(now: datetime) -> str:
    """Return an id for a context made now: later ids sort later, and none can be guessed."""
    number = round(now.timestamp() * 1000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    digits = [ID_ALPHABET[number >> 5 * place & 31] for place in reversed(range(ID_LENGTH))]
    return ID_PREFIX + "".join(digits)


def is_ours(context_id: str) -> bool:
    """Tell whether an id has the form of ours; upstream's never do."""
    digits = context_id.removeprefix(ID_PREFIX)
    return (
        context_id.startswith(ID_PREFIX)
        and len(digits) == ID_LENGTH
        and all(digit in ID_ALPHABET for digit in digits)
    )
