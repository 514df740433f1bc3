"""Cached contents: requests as upstream's, answers as ours (wire.md C)."""

from urllib.parse import urlencode

from contextbridge import v1 as pb

from ..upstream.interface import Surface, UpstreamRequest
from .gemini_json import member_names, to_json
from .gemini_request import check_contents, check_instruction
from .json_values import encode, merge_extra_body
from .limits import Limits
from .paths import model_name, model_path, resource_path
from .times import timedelta_of
from .violations import Violations, is_set

COLLECTION = "cachedContents"
MAX_PAGE_SIZE = 1_000
MAX_DISPLAY_NAME_CHARACTERS = 128
OUTPUT_ONLY = ("name", "create_time", "update_time", "usage_metadata", "extra_json")
UPDATABLE = ("ttl", "expire_time")


def create_cached_content_request(
    request: pb.CreateCachedContentRequest, limits: Limits
) -> UpstreamRequest:
    """Return the request to upstream that makes a cached content.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    given = pb.CachedContent()
    given.CopyFrom(request.cached_content)
    field = "cached_content"
    for name in OUTPUT_ONLY:
        given.ClearField(name)  # type: ignore[arg-type] # the names are of this message's fields
    model_path(f"{field}.model", given.model, violations)
    given.model = model_name(given.model)
    check_contents(f"{field}.contents", given.contents, limits, violations, required=False)
    check_instruction(f"{field}.system_instruction", given.system_instruction, violations)
    if not (given.contents or given.system_instruction.parts or given.tools):
        violations.add(f"{field}.contents", "There is nothing to cache.")
    violations.length(f"{field}.display_name", given.display_name, MAX_DISPLAY_NAME_CHARACTERS)
    _check_expiry(field, given, violations)
    body = to_json(given, violations, f"{field}.")
    known = member_names(pb.CachedContent)
    merge_extra_body("extra_body", body, known, request.extra_body, violations)
    violations.raise_if_any()
    return UpstreamRequest(Surface.NATIVE, "POST", f"/{COLLECTION}", encode(body))


def update_cached_content_request(request: pb.UpdateCachedContentRequest) -> UpstreamRequest:
    """Return the request to upstream that moves a cached content's end.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    given = request.cached_content
    path = resource_path("cached_content.name", given.name, COLLECTION, violations)
    _check_expiry("cached_content", given, violations)
    mask = list(request.update_mask.paths) or [name for name in UPDATABLE if is_set(given, name)]
    change = pb.CachedContent()
    for name in mask:
        if name not in UPDATABLE:
            violations.add("update_mask", f"Only {' and '.join(UPDATABLE)} can be changed.")
        elif not is_set(given, name):
            violations.add(f"cached_content.{name}", "Required, because update_mask names it.")
        else:
            getattr(change, name).CopyFrom(getattr(given, name))
    if not mask:
        violations.add("cached_content.ttl", "Required, or expire_time.")
    body = to_json(change, violations, "cached_content.")
    violations.raise_if_any()
    query = urlencode({"updateMask": ",".join(body)})
    return UpstreamRequest(Surface.NATIVE, "PATCH", path, encode(body), query)


def _check_expiry(field: str, given: pb.CachedContent, violations: Violations) -> None:
    if given.HasField("ttl") and given.HasField("expire_time"):
        violations.add(f"{field}.expire_time", "Not together with ttl.")
    if given.HasField("ttl") and timedelta_of(given.ttl).total_seconds() <= 0:
        violations.add(f"{field}.ttl", "Must be above 0.")
