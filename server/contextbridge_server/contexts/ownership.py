"""Whose is what upstream holds: tenants share one upstream key, and nothing crosses tenants."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import Protocol

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..request_context import Caller
from .owners import OwnerRecords
from .upstream_names import FilesNamed, Kind, Resource, files_in

NOT_FOUND: Mapping[Kind, pb.ErrorReason.ValueType] = {
    Kind.CACHED_CONTENT: pb.ERROR_REASON_CACHE_NOT_FOUND,
    Kind.CONTEXT: pb.ERROR_REASON_CONTEXT_NOT_FOUND,
    Kind.FILE: pb.ERROR_REASON_FILE_NOT_FOUND,
}
"""What a caller is told of a resource that is missing, or another tenant's."""

PREFIXES = (Kind.CACHED_CONTENT, Kind.CONTEXT)
GONE: Mapping[pb.ErrorReason.ValueType, Sequence[Kind]] = {
    pb.ERROR_REASON_CACHE_NOT_FOUND: PREFIXES,
    pb.ERROR_REASON_CACHE_EXPIRED: PREFIXES,
    pb.ERROR_REASON_CONTEXT_NOT_FOUND: PREFIXES,
    pb.ERROR_REASON_FILE_NOT_FOUND: (Kind.FILE,),
    pb.ERROR_REASON_UPSTREAM_NOT_FOUND: (*PREFIXES, Kind.FILE),
}
"""How upstream says that something is missing, and what it may mean by it."""


class Ownership(Protocol):
    """Decides who may name what upstream holds."""

    def authorize(
        self, caller: Caller, *named: Resource, body: bytes = b""
    ) -> AbstractAsyncContextManager[None]:
        """Let a caller name resources, and files in a body, while the context is open.

        Upstream's failures within say no more of a resource that is not known to be the caller's
        than is said of another tenant's.

        Raises:
            BridgeError: CACHE_NOT_FOUND, CONTEXT_NOT_FOUND or FILE_NOT_FOUND, where one is not for
                the caller to name; STORE_UNAVAILABLE.
        """
        ...

    async def require(self, caller: Caller) -> None:
        """Make sure, before upstream is paid for a resource, that it can be noted as the caller's.

        Raises:
            BridgeError: STORE_REQUIRED, STORE_UNAVAILABLE, STORE_FULL.
        """
        ...

    async def claim(
        self,
        caller: Caller,
        made: Resource,
        until: datetime | None,
        undo: Callable[[], Awaitable[object]] | None = None,
        context_id: str = "",
    ) -> None:
        """Note that a caller has made a resource.

        Args:
            caller: Who made it.
            made: What upstream has just made.
            until: When upstream ends it; None where it does not say. Contexts live on by use.
            undo: Takes it back from upstream, where it cannot be noted.
            context_id: The context of ours that it is a binding of; empty for none.

        Raises:
            BridgeError: STORE_UNAVAILABLE, STORE_FULL.
        """
        ...

    async def renew(self, caller: Caller, moved: Resource, until: datetime | None) -> None:
        """Note that a resource ends at another time; whose it is does not change.

        Raises:
            BridgeError: STORE_UNAVAILABLE.
        """
        ...

    async def visible(self, caller: Caller, listed: Sequence[Resource]) -> Sequence[bool]:
        """Tell which resources of a list a caller may see.

        Raises:
            BridgeError: STORE_UNAVAILABLE.
        """
        ...

    async def forget(self, caller: Caller, deleted: Resource) -> None:
        """Note that a caller has deleted a resource."""
        ...


class NoOwnership:
    """Leaves it all to upstream: callers bring keys of their own, and nothing is shared."""

    @asynccontextmanager
    async def authorize(
        self,
        caller: Caller,
        *named: Resource,
        body: bytes = b"",
    ) -> AsyncIterator[None]:
        """Let a caller name anything."""
        yield

    async def require(self, caller: Caller) -> None:
        """Ask for nothing."""

    async def claim(
        self,
        caller: Caller,
        made: Resource,
        until: datetime | None,
        undo: Callable[[], Awaitable[object]] | None = None,
        context_id: str = "",
    ) -> None:
        """Note nothing."""

    async def renew(self, caller: Caller, moved: Resource, until: datetime | None) -> None:
        """Note nothing."""

    async def visible(self, caller: Caller, listed: Sequence[Resource]) -> Sequence[bool]:
        """Show everything."""
        return [True] * len(listed)

    async def forget(self, caller: Caller, deleted: Resource) -> None:
        """Note nothing."""


class UnrecordedOwnership(NoOwnership):
    """Knows no owner, since there is no store: every name is unknown, one's own too."""

    @asynccontextmanager
    async def authorize(
        self, caller: Caller, *named: Resource, body: bytes = b""
    ) -> AsyncIterator[None]:
        """Let a caller name anything who may name what is unknown, and nobody else."""
        if not caller.unknown_ids:
            for resource in [*named, *files_in(body).certain]:
                raise not_found(resource.kind)
        yield

    async def require(self, caller: Caller) -> None:
        """Refuse a caller who could never name what would be made."""
        if not caller.unknown_ids:
            raise BridgeError(
                pb.ERROR_REASON_STORE_REQUIRED,
                "This server keeps no store, so it could not tell later whose this is.",
            )

    async def visible(self, caller: Caller, listed: Sequence[Resource]) -> Sequence[bool]:
        """Show everything or nothing."""
        return [caller.unknown_ids] * len(listed)


class TenantOwnership:
    """Gives each tenant what it made, and what nobody is known to have made to those who may.

    Args:
        records: Whose each resource is.
        single_tenant: All callers are of one tenant.
    """

    def __init__(self, records: OwnerRecords, *, single_tenant: bool) -> None:
        self._records = records
        self._single_tenant = single_tenant

    @asynccontextmanager
    async def authorize(
        self, caller: Caller, *named: Resource, body: bytes = b""
    ) -> AsyncIterator[None]:
        """Let a caller name resources, and files in a body, while the context is open."""
        files = FilesNamed() if self._is_open_to(caller) else files_in(body)
        unknown = await self._unknown(caller, [*named, *files.certain], files.possible)
        try:
            yield
        except BridgeError as error:
            hidden = [r for r in unknown if r.kind in GONE.get(error.reason, ())]
            if not hidden:
                raise
            # The HTTP status is for our log; callers are not told.
            raise not_found(hidden[0].kind, error.http_status) from error

    async def require(self, caller: Caller) -> None:
        """Make sure that what upstream will be paid for can be noted as the caller's."""
        if not self._is_open_to(caller):
            await self._records.require()

    async def claim(
        self,
        caller: Caller,
        made: Resource,
        until: datetime | None,
        undo: Callable[[], Awaitable[object]] | None = None,
        context_id: str = "",
    ) -> None:
        """Note that a caller has made a resource."""
        try:
            await self._records.put(made, caller.tenant, until, context_id)
        except BridgeError:
            if self._is_open_to(caller):
                return
            if undo is not None:
                with suppress(BridgeError):
                    await undo()
            raise

    async def renew(self, caller: Caller, moved: Resource, until: datetime | None) -> None:
        """Note that a resource ends at another time; whose it is does not change."""
        try:
            await self._records.extend(moved, until)
        except BridgeError:
            if not self._is_open_to(caller):
                raise

    async def visible(self, caller: Caller, listed: Sequence[Resource]) -> Sequence[bool]:
        """Tell which resources of a list a caller may see."""
        owners = await self._owners_of(caller, listed)
        return [
            owner == caller.tenant or (owner is None and caller.unknown_ids) for owner in owners
        ]

    async def forget(self, caller: Caller, deleted: Resource) -> None:
        """Note that a caller has deleted a resource; a record that stays does no harm."""
        with suppress(BridgeError):
            await self._records.drop(deleted, caller.tenant)

    async def _unknown(
        self, caller: Caller, named: Sequence[Resource], possible: Sequence[Resource]
    ) -> Sequence[Resource]:
        """Return what nobody is known to have made; refuse what is not for the caller to name."""
        owners = await self._owners_of(caller, [*named, *possible])
        unknown: list[Resource] = []
        # In the order of naming, so that the first refusal tells nothing of what comes after it.
        for resource, owner in zip(named, owners, strict=False):
            if owner == caller.tenant:
                continue
            if owner is not None or not self._may_be_unknown(caller, resource):
                raise not_found(resource.kind)
            unknown.append(resource)
        for resource, owner in zip(possible, owners[len(named) :], strict=True):
            if owner not in (None, caller.tenant):
                raise not_found(resource.kind)
        # Where there is nobody else, nothing is hidden: upstream's own words help most.
        return [] if self._single_tenant else unknown

    async def _owners_of(
        self, caller: Caller, resources: Sequence[Resource]
    ) -> Sequence[str | None]:
        try:
            return await self._records.of(resources)
        except BridgeError:
            if self._is_open_to(caller):
                return [None] * len(resources)
            raise

    def _may_be_unknown(self, caller: Caller, resource: Resource) -> bool:
        return caller.unknown_ids and (self._single_tenant or resource.is_plain)

    def _is_open_to(self, caller: Caller) -> bool:
        """Tell whether there is nobody whose resources a caller could touch: any name will do."""
        return self._single_tenant and caller.unknown_ids


def not_found(kind: Kind, http_status: int | None = None) -> BridgeError:
    """Return the error for a resource that is missing or another tenant's: nobody learns which."""
    message = f"There is no such {kind.value}."
    return BridgeError(NOT_FOUND[kind], message, http_status=http_status)
