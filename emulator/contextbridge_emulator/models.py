"""Get and list models, in Google's or OpenAI's format."""

from typing import Any

from aiohttp import web

from . import errors
from .auth import has_google_key
from .call import Call
from .faults import split_model
from .streaming import send_json

_GEMINI = ("gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro")
_OTHERS = ("Doubao-1.5-pro-32k", "Doubao-1.5-lite-32k", "Doubao-pro-32k", "echo")
_METHODS = ["generateContent", "countTokens", "createCachedContent"]
_CREATED = 1_735_689_600


async def collection(call: Call) -> web.StreamResponse:
    """Answer GET models; where a path has both formats, the kind of key decides."""
    call.surface = "google" if is_google(call.request, call.path) else "openai"
    chosen = call.faults("", "manage")
    await call.wait(chosen.wire)
    if call.surface == "google":
        return await send_json(call, {"models": [_describe(name) for name in _GEMINI]}, chosen.wire)
    listed = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "gateway"}
        for name in (*_GEMINI, *_OTHERS)
    ]
    return await send_json(call, {"object": "list", "data": listed}, chosen.wire)


async def get(call: Call) -> web.StreamResponse:
    """Answer GET of one model."""
    chosen = call.faults(call.path["model"], "manage")
    plain, _ = split_model(call.path["model"])
    if plain.startswith("unknown-"):
        raise errors.model_not_found(plain, call.version, "getModel")
    await call.wait(chosen.wire)
    return await send_json(call, _describe(plain), chosen.wire)


def is_google(request: web.Request, path: Any) -> bool:
    """Return whether a request for the models is in Google's style."""
    return path["prefix"] != "/v1" or has_google_key(request)


def _describe(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": _METHODS,
    }
