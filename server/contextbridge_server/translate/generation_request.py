"""What every generating request may ask of the server: the response cache, a customer, a resume."""

from typing import Protocol

from contextbridge import v1 as pb

from .violations import Violations

MIN_CACHE_TTL_SECONDS = 1
MAX_CACHE_TTL_SECONDS = 365 * 86_400
MAX_IDEMPOTENCY_KEY_CHARACTERS = 128
MAX_CUSTOMER_CHARACTERS = 254


class GenerationRequest(Protocol):
    """The fields that ChatWithContextRequest and GenerateContentRequest share."""

    @property
    def response_cache(self) -> pb.ResponseCachePolicy:
        """What is asked of the response cache."""
        ...

    @property
    def customer(self) -> pb.Customer:
        """The end customer."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The key under which the generation is resumed."""
        ...

    @property
    def resume_after(self) -> int:
        """The last event that the caller has."""
        ...


def check_generation_request(request: GenerationRequest, violations: Violations) -> None:
    """Note what is wrong in the fields that all generating requests share."""
    policy, customer = request.response_cache, request.customer
    if policy.HasField("ttl"):
        violations.within(
            "response_cache.ttl",
            policy.ttl.seconds + policy.ttl.nanos / 1e9,
            MIN_CACHE_TTL_SECONDS,
            MAX_CACHE_TTL_SECONDS,
        )
    if policy.by_customer and not customer.identifier:
        violations.add("customer.identifier", "Required with response_cache.by_customer.")
    violations.length("customer.identifier", customer.identifier, MAX_CUSTOMER_CHARACTERS)
    violations.length("idempotency_key", request.idempotency_key, MAX_IDEMPOTENCY_KEY_CHARACTERS)
    violations.within("resume_after", request.resume_after, 0)
    if request.resume_after > 0 and not request.idempotency_key:
        violations.add("idempotency_key", "Required with resume_after.")


def bypassed_cache(request: GenerationRequest) -> pb.ResponseCacheOutcome:
    """Return what a call is told of the response cache where the server keeps none."""
    asked = request.response_cache.enabled
    return pb.ResponseCacheOutcome(
        status=pb.RESPONSE_CACHE_STATUS_BYPASSED if asked else pb.RESPONSE_CACHE_STATUS_UNSPECIFIED
    )
