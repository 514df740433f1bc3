"""Create, get, list, update and delete cached contents."""

import base64
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from . import errors
from .call import Call
from .contents import read_contents, read_system, read_tools, tool_counts
from .faults import split_model
from .protojson import LATEST_NS, format_timestamp, normalise, parse_duration, parse_timestamp
from .state import SECOND, Cache, Counts, Dialect, Turn
from .streaming import send_json

_DEFAULT_TTL_NS = 3600 * SECOND
_DEFAULT_PAGE = 50
_MAX_PAGE = 1000
_MAX_DISPLAY_NAME = 128
_MICROSECOND = 1000
_ID_ALPHABET = string.ascii_lowercase + string.digits
_PROJECT = "37021971161"
_UPDATABLE = frozenset({"ttl", "expireTime", "expire_time"})
_PAGE_TOKEN = re.compile(
    r"cachedContents\|(?P<parent>[^|]*)\|(?P<created>\d{1,20})\|(?P<name>[^|]+)", re.ASCII
)


async def create(call: Call) -> web.StreamResponse:
    """Answer POST cachedContents."""
    raw = await call.read_json()
    model = raw.get("model")
    chosen = call.faults(model if isinstance(model, str) else "", "create")
    body = normalise("CachedContent", raw, "cached_content")
    cache = _make(call, body)
    await call.wait(chosen.wire)
    return await send_json(call, describe(cache), chosen.wire)


async def collection(call: Call) -> web.StreamResponse:
    """Answer GET cachedContents, page by page."""
    chosen = call.faults("", "manage")
    size = page_size(call.request, default=_DEFAULT_PAGE, most=_MAX_PAGE)
    parent = _parent(call)
    after = _read_page_token(call.request.query.get("pageToken", ""), parent)
    call.account.purge(call.arrived_ns)
    mine = [
        cache
        for cache in call.account.caches.values()
        if cache.name.startswith(f"{parent}cachedContents/")
        and (cache.created_ns, cache.name) > after
    ]
    mine.sort(key=lambda cache: (cache.created_ns, cache.name))
    page = mine[:size]
    body: dict[str, Any] = {}
    if page:
        body["cachedContents"] = [describe(cache) for cache in page]
    if len(mine) > size:
        body["nextPageToken"] = _page_token(parent, page[-1])
    await call.wait(chosen.wire)
    return await send_json(call, body, chosen.wire)


async def get(call: Call) -> web.StreamResponse:
    """Answer GET of one cached content."""
    chosen = call.faults("", "manage")
    cache = find(call, _name(call))
    await call.wait(chosen.wire)
    return await send_json(call, describe(cache), chosen.wire)


async def patch(call: Call) -> web.StreamResponse:
    """Answer PATCH: only the expiry can change."""
    chosen = call.faults("", "manage")
    body = normalise("CachedContent", await call.read_json(), "cached_content")
    masked = _read_mask(call.request.query.get("updateMask", ""), body)
    cache = find(call, _name(call), update=True)
    cache.expires_ns = _read_end(masked, call.arrived_ns)
    cache.updated_ns = call.arrived_ns
    await call.wait(chosen.wire)
    return await send_json(call, describe(cache), chosen.wire)


async def delete(call: Call) -> web.StreamResponse:
    """Answer DELETE; a body, which some clients send, is ignored."""
    chosen = call.faults("", "manage")
    await call.read_bytes()
    cache = find(call, _name(call))
    del call.account.caches[cache.name]
    await call.wait(chosen.wire)
    return await send_json(call, {}, chosen.wire)


def find(call: Call, name: str, *, update: bool = False) -> Cache:
    """Return an unexpired cache, or raise the error that its kind of name gets."""
    cache = call.account.cache(name, call.arrived_ns)
    if cache is not None:
        return cache
    gone = call.account.gone.get(name)
    short = name.rsplit("/", 1)[-1]
    forced = gone.dialect if gone is not None else None
    if forced == "gemini-api" or (forced is None and not name.startswith("projects/")):
        raise errors.GoogleError(403, "CachedContent not found (or permission denied)")
    if gone is not None and gone.vertex_says_expired(call.arrived_ns):
        raise errors.GoogleError(400, f"Cache content {short} is expired.")
    if update:
        raise errors.GoogleError(404, f"Cached content {short} is not found.")
    raise errors.GoogleError(404, f"Not found: cached content metadata for {short}.")


def check_model(cache: Cache, model: str) -> None:
    """Raise an error for a model other than the cache's."""
    asked = f"models/{model.removeprefix('models/')}"
    if asked != cache.model:
        raise errors.GoogleError(
            400,
            f"Model used by GenerateContent request ({asked}) and CachedContent ({cache.model}) "
            "has to be the same.",
        )


def check_size(call: Call, model: str, counts: Counts, dialect: Dialect) -> None:
    """Raise an error for a prefix that is too small to be cached."""
    least = call.config.minimum_tokens(model.removeprefix("models/"))
    if counts.total >= least:
        return
    if dialect == "vertex":
        raise errors.GoogleError(
            400,
            f"The cached content is of {counts.total} tokens. The minimum token count to start "
            f"explicit caching is {least}.",
        )
    raise errors.GoogleError(
        400,
        f"Cached content is too small. total_token_count={counts.total}, "
        f"min_total_token_count={least}",
    )


def store(
    call: Call,
    *,
    dialect: Dialect,
    model: str,
    turns: Sequence[Turn],
    counts: Counts,
    expires_ns: int,
    display_name: str = "",
    tools: Sequence[Any] = (),
) -> Cache:
    """Store a new cache under a name of the dialect's form."""
    account = call.account
    if not account.has_room(account.caches, call.arrived_ns):
        raise errors.GoogleError(
            429,
            "TotalCachedContentStorageTokensPerModelFreeTier limit exceeded for model "
            f"{model}: limit={account.max_entries}, requested={counts.total}",
        )
    # Truncated to microseconds: the service prints six digits here, and nine for the expiry.
    created_ns = call.arrived_ns // _MICROSECOND * _MICROSECOND
    cache = Cache(
        name=_new_name(call, dialect),
        model=model,
        dialect=dialect,
        turns=turns,
        counts=counts,
        created_ns=created_ns,
        updated_ns=created_ns,
        expires_ns=expires_ns,
        display_name=display_name,
        tools=tools,
    )
    account.caches[cache.name] = cache
    return cache


def describe(cache: Cache) -> dict[str, Any]:
    """Return the metadata of a cache; the service never returns the contents."""
    usage: dict[str, Any] = {"totalTokenCount": cache.counts.total}
    if cache.dialect == "vertex":
        usage["textCount"] = sum(len(turn.text) for turn in cache.turns)
    return {
        "name": cache.name,
        "model": cache.model,
        "createTime": format_timestamp(cache.created_ns),
        "updateTime": format_timestamp(cache.updated_ns // _MICROSECOND * _MICROSECOND),
        "expireTime": format_timestamp(cache.expires_ns),
        "displayName": cache.display_name,
        "usageMetadata": usage,
    }


def page_size(request: web.Request, *, default: int, most: int) -> int:
    """Return the page size that a request asks for."""
    text = request.query.get("pageSize", "") or "0"
    if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > len("-2147483648"):
        raise errors.bad_request(
            field="page_size", description=f"Invalid value at 'page_size' (TYPE_INT32), \"{text}\""
        )
    size = int(text)
    if size < 0:
        raise errors.GoogleError(400, "page_size must not be negative.")
    return min(size, most) or default


def _make(call: Call, body: Mapping[str, Any]) -> Cache:
    model = _read_model(call, body.get("model", ""))
    if len(body.get("displayName", "")) > _MAX_DISPLAY_NAME:
        raise errors.GoogleError(400, "display_name must be at most 128 characters long.")
    expires_ns = _read_end(body, call.arrived_ns) if _has_end(body) else _default_end(call)
    contents = body.get("contents", [])
    tools = body.get("tools", [])
    turns = read_system(call, body.get("systemInstruction")) + read_contents(call, contents)
    counts = sum((turn.counts for turn in turns), tool_counts(tools))
    check_size(call, model, counts, _dialect(call))
    return store(
        call,
        dialect=_dialect(call),
        model=model,
        turns=turns,
        counts=counts,
        expires_ns=expires_ns,
        display_name=body.get("displayName", ""),
        tools=read_tools(tools, ()),
    )


def _read_model(call: Call, model: str) -> str:
    if not model:
        raise errors.GoogleError(
            400, "* CreateCachedContentRequest.cached_content.model: model is required\n"
        )
    plain, _ = split_model(model.rsplit("models/", 1)[-1])
    if "models/" not in model:
        raise errors.GoogleError(
            400, "* CreateCachedContentRequest.model: unexpected model name format\n"
        )
    if plain.startswith("unknown-"):
        raise errors.model_not_found(plain, call.version, "createCachedContent")
    return f"models/{plain}"


def _default_end(call: Call) -> int:
    # Never a whole number of microseconds: the service shows nine digits.
    return (call.arrived_ns + _DEFAULT_TTL_NS) | 1


def _has_end(body: Mapping[str, Any]) -> bool:
    return "ttl" in body or "expireTime" in body


def _read_end(body: Mapping[str, Any], now_ns: int) -> int:
    if "ttl" in body:
        ttl_ns = parse_duration(body["ttl"])
        if ttl_ns <= 0:
            raise errors.GoogleError(400, "ttl must be positive.")
        expires_ns = now_ns // _MICROSECOND * _MICROSECOND + ttl_ns
        if expires_ns > LATEST_NS:
            raise errors.GoogleError(400, "ttl is out of range.")
        return expires_ns
    expires_ns = parse_timestamp(body["expireTime"])
    if expires_ns <= now_ns:
        raise errors.GoogleError(400, "expire_time must be in the future.")
    return expires_ns


def _read_mask(mask: str, body: Mapping[str, Any]) -> dict[str, Any]:
    paths = [path.strip() for path in mask.split(",") if path.strip()]
    if any(path not in _UPDATABLE for path in paths):
        raise errors.bad_request(
            field="update_mask",
            description="Only the expiration (ttl or expire_time) of a CachedContent can change.",
        )
    wanted = {"expireTime" if path == "expire_time" else path for path in paths}
    wanted = wanted or {"ttl", "expireTime"}
    masked = {name: body[name] for name in wanted if name in body}
    if not masked:
        raise errors.bad_request(
            field="cached_content", description="ttl or expire_time must be set in an update."
        )
    return masked


def _dialect(call: Call) -> Dialect:
    return "vertex" if "project" in call.path else "gemini-api"


def _parent(call: Call) -> str:
    if "project" not in call.path:
        return ""
    return f"projects/{call.path['project']}/locations/{call.path['location']}/"


def _name(call: Call) -> str:
    return f"{_parent(call)}cachedContents/{call.path['id']}"


def _new_name(call: Call, dialect: Dialect) -> str:
    if dialect == "gemini-api":
        letters = "".join(secrets.choice(_ID_ALPHABET) for _ in range(40))
        return f"cachedContents/{letters}"
    digits = f"{secrets.randbelow(9) + 1}{secrets.randbelow(10**18):018d}"
    parent = _parent(call) or f"projects/{_PROJECT}/locations/global/"
    return f"{parent}cachedContents/{digits}"


def _page_token(parent: str, last: Cache) -> str:
    text = f"cachedContents|{parent}|{last.created_ns}|{last.name}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_page_token(token: str, parent: str) -> tuple[int, str]:
    if not token:
        return (0, "")
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        text = ""
    match = _PAGE_TOKEN.fullmatch(text)
    if match is None or match["parent"] != parent:
        raise errors.bad_request(field="page_token", description="Invalid page token.")
    return (int(match["created"]), match["name"])
