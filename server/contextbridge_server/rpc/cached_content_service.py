"""CachedContentService: Gemini's own cache resource."""

from contextbridge import v1 as pb

from ..translate.cached_contents import (
    COLLECTION,
    MAX_PAGE_SIZE,
    create_cached_content_request,
    update_cached_content_request,
)
from ..translate.gemini_json import from_json
from ..translate.limits import Limits
from ..translate.paths import list_request, resource_request
from ..upstream.objects import ask_for_object
from ..upstream.port import Upstream, UpstreamRequest
from .call import Context, current_call
from .notes import note_model


class CachedContentServicer(pb.CachedContentServiceServicer):
    """Gemini's own cache resource, one to one.

    Args:
        upstream: The upstream that holds it.
        limits: The server's bounds of a request.
    """

    def __init__(self, upstream: Upstream, limits: Limits) -> None:
        self._upstream = upstream
        self._limits = limits

    async def CreateCachedContent(
        self, request: pb.CreateCachedContentRequest, context: Context
    ) -> pb.CreateCachedContentResponse:
        """Make a cached content."""
        note_model(request.cached_content.model)
        asked = create_cached_content_request(request, self._limits)
        return pb.CreateCachedContentResponse(cached_content=await self._cached_content(asked))

    async def GetCachedContent(
        self, request: pb.GetCachedContentRequest, context: Context
    ) -> pb.GetCachedContentResponse:
        """Return a cached content's metadata."""
        asked = resource_request("GET", request.name, COLLECTION)
        return pb.GetCachedContentResponse(cached_content=await self._cached_content(asked))

    async def ListCachedContents(
        self, request: pb.ListCachedContentsRequest, context: Context
    ) -> pb.ListCachedContentsResponse:
        """List cached contents' metadata."""
        asked = list_request(COLLECTION, request.page_size, request.page_token, MAX_PAGE_SIZE)
        value = await ask_for_object(self._upstream, asked, current_call.get().terms)
        return from_json(value, pb.ListCachedContentsResponse)

    async def UpdateCachedContent(
        self, request: pb.UpdateCachedContentRequest, context: Context
    ) -> pb.UpdateCachedContentResponse:
        """Change when a cached content ends."""
        asked = update_cached_content_request(request)
        return pb.UpdateCachedContentResponse(cached_content=await self._cached_content(asked))

    async def DeleteCachedContent(
        self, request: pb.DeleteCachedContentRequest, context: Context
    ) -> pb.DeleteCachedContentResponse:
        """Delete a cached content."""
        asked = resource_request("DELETE", request.name, COLLECTION)
        await self._upstream.send(asked, current_call.get().terms)
        return pb.DeleteCachedContentResponse()

    async def _cached_content(self, asked: UpstreamRequest) -> pb.CachedContent:
        value = await ask_for_object(self._upstream, asked, current_call.get().terms)
        return from_json(value, pb.CachedContent)
