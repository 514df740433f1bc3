"""The commonest exchange with upstream: a request whose whole answer is a JSON object."""

from .failures import decode_object
from .interface import CallTerms, Chunk, Upstream, UpstreamRequest


async def fetch_object(upstream: Upstream, request: UpstreamRequest, terms: CallTerms) -> Chunk:
    """Send a request and return the JSON object that answers it.

    Raises:
        BridgeError: What upstream answers, or that it answers with no object.
    """
    answer = await upstream.send(request, terms)
    return decode_object(answer.body, answer.headers)
