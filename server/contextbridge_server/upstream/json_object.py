"""The commonest exchange with upstream: a request whose whole answer is a JSON object."""

from ..request_context import RequestContext
from .failures import decode_object
from .interface import Chunk, Upstream, UpstreamRequest


async def fetch_object(upstream: Upstream, request: UpstreamRequest, ctx: RequestContext) -> Chunk:
    """Send a request and return the JSON object that answers it.

    Raises:
        BridgeError: What upstream answers, or that it answers with no object.
    """
    answer = await upstream.send(request, ctx)
    return decode_object(answer.body, answer.headers)
