"""The response cache's rules: what a call asks of it, and the key of its answer.

The key is a hash of everything that can change an answer, the tenant first. It is taken of the
request as protobuf writes it deterministically: maps in order, and texts, JSON among them, letter
by letter, since a model may heed the order of a schema's members. A field that this version does
not know counts too.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contextbridge import v1 as pb

from ..request_context import RequestContext
from ..translate.times import timedelta_of
from .call import GenerationCall
from .stored_journals import LookupKey

VERSION = "contextbridge.response.v1"
"""Goes into each key, so that another rule can never give the key of an old one."""
DIGEST_VERSION = "contextbridge.request.v1"
DEFAULT_TTL = timedelta(days=30)
MODEL_PREFIX = "models/"
LARGE_BYTES = 256 * 1024
"""A request that is larger is hashed in a thread, so that other calls get their turns."""

Status = pb.ResponseCacheStatus.ValueType


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How a call uses the response cache.

    Attributes:
        key: The key of its answer.
        ttl: How long its answer may be served, and how old one may be that is served to it.
        refresh: It wants a new answer.
        tags: What its answer can be found by, to be deleted.
    """

    key: str
    ttl: timedelta
    refresh: bool
    tags: tuple[str, ...]

    def lookup_key(self, tenant: str) -> LookupKey:
        """Return where its generation is found."""
        return cache_lookup_key(tenant, self.key)


def cache_lookup_key(tenant: str, key: str) -> LookupKey:
    """Return where a key's generation is found."""
    return LookupKey(tenant, f"cache/{key}")


def idempotency_lookup_key(ctx: RequestContext, idempotency_key: str) -> LookupKey:
    """Return the lookup key of an idempotency key, which is its tenant's and its account's."""
    return LookupKey(ctx.caller.tenant, f"request/{ctx.account}/{idempotency_key}")


async def cache_use(call: GenerationCall[Any], model: str, content: str, upstream: str) -> CacheUse:
    """Return how a call uses the cache.

    Args:
        call: The call, which asks for the cache.
        model: The model of the call, the context's where the request leaves it out.
        content: What tells the content of its context from others.
        upstream: Tells the upstream that is asked from others.
    """
    request = call.request
    policy = request.response_cache
    if request_bytes(request) < LARGE_BYTES:
        key = response_key(call, model, content, upstream)
    else:
        key = await asyncio.to_thread(response_key, call, model, content, upstream)
    context_id = getattr(request, call.translator.context_field)
    return CacheUse(
        key=key,
        ttl=timedelta_of(policy.ttl) if policy.HasField("ttl") else DEFAULT_TTL,
        refresh=policy.refresh,
        tags=tuple(_tags(request.customer.identifier, context_id, content)),
    )


def response_key(call: GenerationCall[Any], model: str, content: str, upstream: str) -> str:
    """Return the key of a call's answer: 64 hexadecimal digits.

    Args:
        call: The call.
        model: The model of the call, the context's where the request leaves it out.
        content: What tells the content of its context from others.
        upstream: Tells the upstream that is asked from others.
    """
    request: Any = call.request
    policy = request.response_cache
    by_model = policy.by_model if policy.HasField("by_model") else True
    customer = f"={request.customer.identifier}" if policy.by_customer else ""
    model = f"={model.removeprefix(MODEL_PREFIX)}" if by_model else ""
    rest = _without(request, "model", "customer", "response_cache")
    rest.ClearField(call.translator.context_field)
    scope = (call.ctx.caller.tenant, call.ctx.account, upstream)
    return _hash(VERSION, *scope, call.translator.name, content, customer, model, rest)


def request_digest(call: GenerationCall[Any]) -> str:
    """Return what tells one request from another under the same idempotency key."""
    return _hash(DIGEST_VERSION, call.translator.name, _without(call.request))


def context_tag(content: str) -> str:
    """Return what the answers of a context are found by."""
    return _hash("context", content)


def customer_tag(identifier: str) -> str:
    """Return what the answers of a customer are found by."""
    return _hash("customer", identifier)


def request_bytes(request: Any) -> int:
    """Return a request's size."""
    size: int = request.ByteSize()
    return size


def _tags(customer: str, context_id: str, content: str) -> Iterable[str]:
    if customer:
        yield customer_tag(customer)
    if context_id:
        # By its id too: once the context is deleted, nobody knows its content.
        yield context_tag(context_id)
        yield context_tag(content)


def _without(request: Any, *fields: str) -> Any:
    """Return a request without what says how its answer is read, and without more fields."""
    rest = type(request)()
    rest.CopyFrom(request)
    for field in ("idempotency_key", "resume_after", *fields):
        rest.ClearField(field)
    return rest


def _hash(*parts: Any) -> str:
    """Hash texts, and a message, each behind its length, so that no two lists look alike."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            written = part.encode()
        else:
            written = part.SerializeToString(deterministic=True)
        digest.update(len(written).to_bytes(8))
        digest.update(written)
    return digest.hexdigest()
