"""CachedContentService: Gemini's own cache resource."""

from itertools import compress

from contextbridge import v1 as pb

from ..contexts.owners import end_of
from ..contexts.ownership import Ownership
from ..contexts.upstream_names import named_cached_content
from ..request_context import Caller
from ..translate.cached_contents import (
    COLLECTION,
    MAX_PAGE_SIZE,
    create_cached_content_request,
    update_cached_content_request,
)
from ..translate.gemini_json import from_json
from ..translate.limits import Limits
from ..translate.paths import list_request, resource_request
from ..upstream.interface import Upstream, UpstreamRequest
from ..upstream.json_object import fetch_object
from .current import ServicerContext, current_request
from .log_fields import log_model


class CachedContentServicer(pb.CachedContentServiceServicer):
    """Gemini's own cache resource, one to one, each tenant's apart.

    Args:
        upstream: The upstream that holds it.
        limits: The server's bounds of a request.
        ownership: Decides who may name which.
    """

    def __init__(self, upstream: Upstream, limits: Limits, ownership: Ownership) -> None:
        self._upstream = upstream
        self._limits = limits
        self._ownership = ownership

    async def CreateCachedContent(
        self, request: pb.CreateCachedContentRequest, context: ServicerContext
    ) -> pb.CreateCachedContentResponse:
        """Make a cached content."""
        log_model(request.cached_content.model)
        asked = create_cached_content_request(request, self._limits)
        caller = current_request.get().caller
        async with self._ownership.authorize(caller, body=asked.body):
            await self._ownership.require(caller)
            made = await self._cached_content(asked)
        await self._claim(caller, made)
        return pb.CreateCachedContentResponse(cached_content=made)

    async def GetCachedContent(
        self, request: pb.GetCachedContentRequest, context: ServicerContext
    ) -> pb.GetCachedContentResponse:
        """Return a cached content's metadata."""
        asked = resource_request("GET", request.name, COLLECTION)
        named = named_cached_content(request.name)
        async with self._ownership.authorize(current_request.get().caller, named):
            return pb.GetCachedContentResponse(cached_content=await self._cached_content(asked))

    async def ListCachedContents(
        self, request: pb.ListCachedContentsRequest, context: ServicerContext
    ) -> pb.ListCachedContentsResponse:
        """List cached contents' metadata."""
        asked = list_request(COLLECTION, request.page_size, request.page_token, MAX_PAGE_SIZE)
        value = await fetch_object(self._upstream, asked, current_request.get())
        listed = from_json(value, pb.ListCachedContentsResponse)
        names = [named_cached_content(each.name) for each in listed.cached_contents]
        visible = await self._ownership.visible(current_request.get().caller, names)
        return pb.ListCachedContentsResponse(
            cached_contents=compress(listed.cached_contents, visible),
            next_page_token=listed.next_page_token,
        )

    async def UpdateCachedContent(
        self, request: pb.UpdateCachedContentRequest, context: ServicerContext
    ) -> pb.UpdateCachedContentResponse:
        """Change when a cached content ends."""
        asked = update_cached_content_request(request)
        caller, named = (
            current_request.get().caller,
            named_cached_content(request.cached_content.name),
        )
        async with self._ownership.authorize(caller, named):
            moved = await self._cached_content(asked)
        await self._ownership.renew(caller, named, end_of(moved, "expire_time"))
        return pb.UpdateCachedContentResponse(cached_content=moved)

    async def DeleteCachedContent(
        self, request: pb.DeleteCachedContentRequest, context: ServicerContext
    ) -> pb.DeleteCachedContentResponse:
        """Delete a cached content."""
        asked = resource_request("DELETE", request.name, COLLECTION)
        caller, named = current_request.get().caller, named_cached_content(request.name)
        async with self._ownership.authorize(caller, named):
            await self._upstream.send(asked, current_request.get())
        await self._ownership.forget(caller, named)
        return pb.DeleteCachedContentResponse()

    async def _cached_content(self, asked: UpstreamRequest) -> pb.CachedContent:
        value = await fetch_object(self._upstream, asked, current_request.get())
        return from_json(value, pb.CachedContent)

    async def _claim(self, caller: Caller, made: pb.CachedContent) -> None:
        named, ctx = named_cached_content(made.name), current_request.get()

        async def undo() -> None:
            await self._upstream.send(resource_request("DELETE", made.name, COLLECTION), ctx)

        await self._ownership.claim(caller, named, end_of(made, "expire_time"), undo)
