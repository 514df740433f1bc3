"""The callers file: who may call, by the digest of a token."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ..request_context import Caller

SHA256 = re.compile(r"[0-9a-f]{64}")


Callers: TypeAlias = Mapping[str, Caller]
"""Callers by the SHA-256 of their token, in hexadecimal."""


def read_callers(path: Path) -> Callers:
    """Return the callers that a file names.

    Raises:
        ValueError: The file is no TOML, or an entry is wrong; the message says which.
        OSError: The file cannot be read.
    """
    callers: dict[str, Caller] = {}
    unsaid: set[str] = set()
    for number, entry in enumerate(_entries(path), 1):
        place = f"callers_file: entry {number}"
        name, tenant, digest = (str(entry.get(k, "")) for k in ("name", "tenant", "token_sha256"))
        if not (name and tenant):
            raise ValueError(f"{place}: name and tenant are required")
        if not SHA256.fullmatch(digest.lower()):
            raise ValueError(f"{place} ({name}): token_sha256 must be 64 hexadecimal digits")
        unknown_ids = entry.get("unknown_upstream_ids", True)
        if not isinstance(unknown_ids, bool):
            problem = "unknown_upstream_ids must be true or false"
            raise ValueError(f"{place} ({name}): {problem}")  # noqa: TRY004 - as the rest
        caller = Caller(name, tenant, unknown_ids)
        if callers.setdefault(digest.lower(), caller) != caller:
            raise ValueError(f"{place} ({name}): its token is another entry's too")
        if "unknown_upstream_ids" not in entry:
            unsaid.add(digest.lower())
    if not callers:
        raise ValueError("callers_file: it names no callers")
    # What the server never saw could be any tenant's, unless there is only one.
    default = is_single_tenant(callers)
    return {
        digest: replace(caller, unknown_ids=default) if digest in unsaid else caller
        for digest, caller in callers.items()
    }


def is_single_tenant(callers: Callers) -> bool:
    """Tell whether all callers are of one tenant."""
    return len({caller.tenant for caller in callers.values()}) == 1


def _entries(path: Path) -> list[dict[str, object]]:
    try:
        entries = tomllib.loads(path.read_text()).get("callers", [])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"callers_file: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("callers_file: its entries are [[callers]] tables")
    return entries
