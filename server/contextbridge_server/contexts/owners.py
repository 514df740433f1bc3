"""The owners of what upstream holds, in the store."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from google.protobuf.message import Message

from ..store.interface import Argument, Command, Script, Store
from ..store.keys import owner_key
from ..store.near_cache import NearCache
from ..translate.times import datetime_of
from .upstream_names import Kind, Resource

VERSION = 1
GRACE = timedelta(days=8)
"""How much longer than its resource a record lives: clocks differ, and a call may be under way."""
LONGEST_SLIDE = timedelta(days=7)
"""The longest life that a context of upstream's begins anew with each use (wire.md A.1)."""
SLIDING_LIFE = LONGEST_SLIDE + GRACE
MAX_KNOWN = 10_000
"""Owners that are remembered for a moment."""
UNREADABLE = ""
"""Stands for an owner that cannot be read; no tenant is called so."""

DROP = Script("""
local stored = redis.call('GET', KEYS[1])
local is_read, owner = pcall(cjson.decode, stored or '')
if not is_read or type(owner) ~= 'table' or owner.tenant ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
""")
"""KEYS: record. ARGV: the tenant that it must be of: a name may have a new owner by now."""


class _Record(msgspec.Struct, omit_defaults=True):
    """What is stored of an owner.

    Attributes:
        v: The version of what is stored.
        tenant: The owner.
        context: The id of our context that the resource is a binding of; empty for none.
    """

    v: int
    tenant: str
    context: str = ""


class OwnerRecords:
    """Whose each resource of upstream's is; every method raises STORE_UNAVAILABLE.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: NearCache[str, tuple[str | None]] = NearCache(store.invalidations, MAX_KNOWN)

    async def of(self, resources: Sequence[Resource]) -> Sequence[str | None]:
        """Return the tenant of each; None where none is known."""
        known = [self._known.get(resource.key) for resource in resources]
        unknown = [r for r, found in zip(resources, known, strict=True) if found is None]
        looked_up = iter(await self._looked_up(unknown) if unknown else ())
        return [found[0] if found is not None else next(looked_up) for found in known]

    async def _looked_up(self, resources: Sequence[Resource]) -> Sequence[str | None]:
        mark = self._known.mark()
        commands = [command for resource in resources for command in _look_up(resource)]
        replies = await self._store.tracked.execute_each(commands)
        tenants = [_tenant_of(reply) for reply in replies[1::2]]
        for resource, tenant in zip(resources, tenants, strict=True):
            self._known.keep(resource.key, (tenant,), mark, (owner_key(resource.key),))
        return tenants

    async def context_of(self, resource: Resource, tenant: str) -> str:
        """Return the id of a tenant's context that a resource is a binding of; empty for none."""
        record = _decoded(await self._store.tracked.execute("GET", owner_key(resource.key)))
        return record.context if record is not None and record.tenant == tenant else ""

    async def require(self) -> None:
        """Make sure that an owner can be noted, by a write that ends by itself.

        Raises:
            BridgeError: STORE_UNAVAILABLE, STORE_FULL.
        """
        await self._store.execute("SET", owner_key(""), "", "PX", 1)

    async def put(
        self, resource: Resource, tenant: str, until: datetime | None, context_id: str = ""
    ) -> None:
        """Note an owner, instead of any before: upstream has just made the resource.

        Args:
            resource: What upstream has made.
            tenant: Whose it is.
            until: When upstream ends it; None where it does not say.
            context_id: The context of ours that it is a binding of; empty for none.
        """
        owner = msgspec.json.encode(_Record(VERSION, tenant, context_id))
        await self._store.execute("SET", owner_key(resource.key), owner, *_life(resource, until))

    async def extend(self, resource: Resource, until: datetime | None) -> None:
        """Keep a record as long as its resource, which ends at another time now."""
        await self._store.execute("GETEX", owner_key(resource.key), *_life(resource, until))

    async def drop(self, resource: Resource, tenant: str) -> None:
        """Forget a resource, unless it is another tenant's by now."""
        await self._store.run(DROP, [owner_key(resource.key)], tenant)


def end_of(message: Message, field: str) -> datetime | None:
    """Return when upstream ends a resource, by a field of its message; None where it is unset."""
    return datetime_of(getattr(message, field)) if message.HasField(field) else None


def _look_up(resource: Resource) -> Sequence[Command]:
    """Return two commands, the second of which tells the owner."""
    key = owner_key(resource.key)
    if resource.kind is Kind.CONTEXT:
        # Naming it is using it, which begins its life upstream anew.
        return (("PEXPIRE", key, _ms(SLIDING_LIFE)), ("GET", key))
    return (("EXISTS", key), ("GET", key))


def _life(resource: Resource, until: datetime | None) -> Sequence[Argument]:
    """Return until when a record is kept; a context's end is never the last word."""
    if until is None or resource.kind is Kind.CONTEXT:
        return ("PX", _ms(SLIDING_LIFE))
    return ("PXAT", round(until.timestamp() * 1000) + _ms(GRACE))


def _tenant_of(reply: Any) -> str | None:
    record = _decoded(reply)
    return record.tenant if record is not None else None


def _decoded(reply: Any) -> _Record | None:
    if reply is None:
        return None
    try:
        return msgspec.json.decode(reply, type=_Record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Record(VERSION, UNREADABLE)


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
