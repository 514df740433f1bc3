"""The callers file: who may call, by the digest of a token."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        name: The entry in the callers file.
        tenant: Whom the caller belongs to; nothing crosses tenants.
    """

    name: str
    tenant: str


ANYONE = Caller(name="anyone", tenant="default")
"""The caller of a server that knows no callers."""


def read_callers(path: Path) -> Mapping[str, Caller]:
    """Return the callers by the SHA-256 of their token, in hexadecimal.

    Raises:
        ValueError: The file is no TOML, or an entry is wrong; the message says which.
        OSError: The file cannot be read.
    """
    callers: dict[str, Caller] = {}
    for number, entry in enumerate(_entries(path), 1):
        place = f"callers_file: entry {number}"
        name, tenant, digest = (str(entry.get(k, "")) for k in ("name", "tenant", "token_sha256"))
        if not (name and tenant):
            raise ValueError(f"{place}: name and tenant are required")
        if not SHA256.fullmatch(digest.lower()):
            raise ValueError(f"{place} ({name}): token_sha256 must be 64 hexadecimal digits")
        if callers.setdefault(digest.lower(), Caller(name, tenant)).name != name:
            raise ValueError(f"{place} ({name}): its token is another entry's too")
    if not callers:
        raise ValueError("callers_file: it names no callers")
    return callers


def _entries(path: Path) -> list[dict[str, object]]:
    try:
        entries = tomllib.loads(path.read_text()).get("callers", [])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"callers_file: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("callers_file: its entries are [[callers]] tables")
    return entries
