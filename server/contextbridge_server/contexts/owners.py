"""The owners of what upstream holds, in the store."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from google.protobuf.message import Message

from ..store.keys import owner_key
from ..store.port import Argument, Script, Store
from ..translate.times import datetime_of
from .upstream_names import Kind, Resource

VERSION = 1
GRACE = timedelta(days=8)
"""How much longer than its resource a record lives: clocks differ, and a call may be under way."""
LONGEST_SLIDE = timedelta(days=7)
"""The longest life that a context of upstream's begins anew with each use (wire.md A.1)."""
SLIDING_LIFE = LONGEST_SLIDE + GRACE
UNREADABLE = ""
"""Stands for an owner that cannot be read; no tenant is called so."""

DROP = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
""")
"""KEYS: record. ARGV: the record as it must be: a name may have a new owner by now."""


class _Record(msgspec.Struct):
    """What is stored of an owner."""

    v: int
    tenant: str


class OwnerRecords:
    """Whose each resource of upstream's is; every method raises STORE_UNAVAILABLE.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, resources: Sequence[Resource]) -> Sequence[str | None]:
        """Return the tenant of each; None where none is known."""
        replies = await self._store.execute_each([_look_up(resource) for resource in resources])
        return [_tenant_of(reply) for reply in replies]

    async def require(self) -> None:
        """Make sure that an owner can be noted, by a write that ends by itself.

        Raises:
            BridgeError: STORE_UNAVAILABLE, STORE_FULL.
        """
        await self._store.execute("SET", owner_key(""), "", "PX", 1)

    async def put(self, resource: Resource, tenant: str, until: datetime | None) -> None:
        """Note an owner, instead of any before: upstream has just made the resource."""
        owner = _encoded(tenant)
        await self._store.execute("SET", owner_key(resource.key), owner, *_life(resource, until))

    async def extend(self, resource: Resource, until: datetime | None) -> None:
        """Keep a record as long as its resource, which ends at another time now."""
        await self._store.execute("GETEX", owner_key(resource.key), *_life(resource, until))

    async def drop(self, resource: Resource, tenant: str) -> None:
        """Forget a resource, unless it is another tenant's by now."""
        await self._store.run(DROP, [owner_key(resource.key)], _encoded(tenant))


def end_of(message: Message, field: str) -> datetime | None:
    """Return when upstream ends a resource, by a field of its message; None where it is unset."""
    return datetime_of(getattr(message, field)) if message.HasField(field) else None


def _look_up(resource: Resource) -> Sequence[Argument]:
    key = owner_key(resource.key)
    if resource.kind is Kind.CONTEXT:
        # Naming it is using it, which begins its life upstream anew.
        return ("GETEX", key, *_life(resource, None))
    return ("GET", key)


def _life(resource: Resource, until: datetime | None) -> Sequence[Argument]:
    """Return until when a record is kept; a context's end is never the last word."""
    if until is None or resource.kind is Kind.CONTEXT:
        return ("PX", _ms(SLIDING_LIFE))
    return ("PXAT", round(until.timestamp() * 1000) + _ms(GRACE))


def _encoded(tenant: str) -> bytes:
    return msgspec.json.encode(_Record(VERSION, tenant))


def _tenant_of(reply: Any) -> str | None:
    if reply is None:
        return None
    try:
        return msgspec.json.decode(reply, type=_Record).tenant
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UNREADABLE


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
