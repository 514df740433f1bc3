"""Names of upstream's resources as URL paths, and the requests that need no more than a path."""

from urllib.parse import quote, urlencode

from ..upstream.interface import Surface, UpstreamRequest
from .violations import Violations

MODEL_PREFIXES = ("models/", "tunedModels/", "dynamic/")
UNSAFE_SEGMENTS = ("", ".", "..")
MAX_NAME_CHARACTERS = 512
MAX_PAGE_TOKEN_CHARACTERS = 4_096
"""Upstream's addresses must stay below the 64 KiB that an HTTP client takes."""


def model_name(model: str) -> str:
    """Return a model's whole name, such as `models/gemini-2.5-flash`."""
    return model if model.startswith(MODEL_PREFIXES) else f"models/{model}"


def model_path(field: str, model: str, violations: Violations) -> str:
    """Return a model's path, such as `/models/gemini-2.5-flash`; a bare name gets `models/`."""
    return _path(field, model, model_name(model), violations)


def resource_path(field: str, name: str, collection: str, violations: Violations) -> str:
    """Return a resource's path; a bare id gets its collection in front (wire.md section 0).

    A name of another collection is a violation: a file is not deleted as a cached content.
    """
    whole = name if "/" in name else f"{collection}/{name}"
    if whole.split("/")[-2] != collection:
        violations.add(field, f"Must be a name in {collection}.")
    return _path(field, name, whole, violations)


def resource_request(method: str, name: str, collection: str) -> UpstreamRequest:
    """Return the request to upstream that gets or deletes a resource by its name.

    Raises:
        BridgeError: REQUEST_INVALID.
    """
    violations = Violations()
    path = resource_path("name", name, collection, violations)
    violations.raise_if_any()
    return UpstreamRequest(Surface.NATIVE, method, path)


def list_request(
    collection: str, page_size: int, page_token: str, max_page_size: int
) -> UpstreamRequest:
    """Return the request to upstream for a page of a collection.

    Raises:
        BridgeError: REQUEST_INVALID.
    """
    violations = Violations()
    violations.within("page_size", page_size, 0)
    violations.length("page_token", page_token, MAX_PAGE_TOKEN_CHARACTERS)
    violations.raise_if_any()
    query = {"pageSize": min(page_size, max_page_size), "pageToken": page_token}
    given = {key: value for key, value in query.items() if value}
    return UpstreamRequest(Surface.NATIVE, "GET", f"/{collection}", query=urlencode(given))


def _path(field: str, given: str, name: str, violations: Violations) -> str:
    if not given:
        violations.add(field, "Required.")
    elif any(segment in UNSAFE_SEGMENTS for segment in name.split("/")):
        violations.add(field, "Is no valid name.")
    violations.length(field, given, MAX_NAME_CHARACTERS)
    return "/" + quote(name, safe="/:@")
