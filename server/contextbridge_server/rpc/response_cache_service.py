"""ResponseCacheService: the answers that are kept, and what they have saved."""

from contextbridge import v1 as pb

from ..generations.cached_responses import CachedResponses
from .current import ServicerContext, current_request


class ResponseCacheServicer(pb.ResponseCacheServiceServicer):
    """The answers that are kept, and what they have saved.

    Args:
        responses: The answers.
    """

    def __init__(self, responses: CachedResponses) -> None:
        self._responses = responses

    async def DeleteCachedResponses(
        self, request: pb.DeleteCachedResponsesRequest, context: ServicerContext
    ) -> pb.DeleteCachedResponsesResponse:
        """Delete answers of the caller's tenant."""
        count = await self._responses.delete(request, current_request.get())
        return pb.DeleteCachedResponsesResponse(deleted_count=count)

    async def GetResponseCacheStatistics(
        self, request: pb.GetResponseCacheStatisticsRequest, context: ServicerContext
    ) -> pb.GetResponseCacheStatisticsResponse:
        """Return what is kept for the caller's tenant, and how it has been used."""
        statistics = await self._responses.statistics(current_request.get())
        return pb.GetResponseCacheStatisticsResponse(statistics=statistics)
