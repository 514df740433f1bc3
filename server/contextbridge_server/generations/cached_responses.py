"""The answers of the response cache: deleted by whatever finds them, and told of in numbers."""

from typing import Protocol

from contextbridge import v1 as pb

from ..contexts.context_lookup import ContextLookup
from ..errors import BridgeError, Violation
from ..request_context import RequestContext
from .counters import ResponseCacheCounters
from .response_cache import cache_lookup_key, context_tag, customer_tag
from .retention_index import RetentionIndex
from .stored_journals import StoredJournals

TARGETS = ("key", "customer_identifier", "context_id", "all")


class CachedResponses(Protocol):
    """The answers that are kept."""

    async def delete(self, request: pb.DeleteCachedResponsesRequest, ctx: RequestContext) -> int:
        """Delete answers; return how many there were."""
        ...

    async def statistics(self, ctx: RequestContext) -> pb.ResponseCacheStatistics:
        """Return what is kept, and how it has been used."""
        ...


class StoredResponses:
    """The answers that the store keeps.

    Args:
        stored: The journals in the store.
        kept: What is kept of them.
        counters: What the response cache has done.
        contexts: Tell what contexts hold.
    """

    def __init__(
        self,
        stored: StoredJournals,
        retention: RetentionIndex,
        counters: ResponseCacheCounters,
        contexts: ContextLookup,
    ) -> None:
        self._stored = stored
        self._retention = retention
        self._counters = counters
        self._contexts = contexts

    async def delete(self, request: pb.DeleteCachedResponsesRequest, ctx: RequestContext) -> int:
        """Delete answers; return how many there were.

        Raises:
            BridgeError: REQUEST_INVALID, STORE_UNAVAILABLE.
        """
        tenant = ctx.caller.tenant
        match _target(request):
            case "key":
                return await self._delete_key(tenant, request.key)
            case "customer_identifier":
                tag = customer_tag(request.customer_identifier)
                return await self._retention.delete(tenant, tag)
            case "context_id":
                return await self._delete_context(tenant, request.context_id, ctx)
            case _:
                return await self._retention.delete(tenant, None)

    async def statistics(self, ctx: RequestContext) -> pb.ResponseCacheStatistics:
        """Return what is kept, and how it has been used.

        Raises:
            BridgeError: STORE_UNAVAILABLE.
        """
        statistics = await self._counters.of(ctx.caller.tenant)
        count, size = await self._retention.size(ctx.caller.tenant)
        statistics.entry_count, statistics.entry_bytes = count, size
        return statistics

    async def _delete_key(self, tenant: str, key: str) -> int:
        found = await self._stored.current(cache_lookup_key(tenant, key))
        if found is None:
            return 0
        await self._retention.forget(found)
        return int(await self._stored.drop(found))

    async def _delete_context(self, tenant: str, context_id: str, ctx: RequestContext) -> int:
        count = await self._retention.delete(tenant, context_tag(context_id))
        try:
            named = await self._contexts.of(context_id, ctx, native=False)
        except BridgeError as error:
            # What it held is unknown once it is deleted; its id has found its own answers.
            if error.reason != pb.ERROR_REASON_CONTEXT_NOT_FOUND:
                raise
            return count
        return count + await self._retention.delete(tenant, context_tag(named.content))


class NoResponses:
    """The answers of a server that keeps none."""

    async def delete(self, request: pb.DeleteCachedResponsesRequest, ctx: RequestContext) -> int:
        """Refuse: without a store there is nothing to delete."""
        raise _store_required()

    async def statistics(self, ctx: RequestContext) -> pb.ResponseCacheStatistics:
        """Refuse: without a store nothing is counted."""
        raise _store_required()


def _target(request: pb.DeleteCachedResponsesRequest) -> str:
    """Return the field of the request's target.

    Raises:
        BridgeError: REQUEST_INVALID.
    """
    target = request.WhichOneof("target")
    if target is not None and getattr(request, target):
        return target
    description = "Must not be empty." if target else f"Required: one of {', '.join(TARGETS)}."
    field = target or "target"
    raise BridgeError(
        pb.ERROR_REASON_REQUEST_INVALID,
        f"{field}: {description}",
        violations=[Violation(field, description)],
    )


def _store_required() -> BridgeError:
    return BridgeError(
        pb.ERROR_REASON_STORE_REQUIRED, "This server keeps no store, so it keeps no answers."
    )
