"""Route requests to their handlers."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from . import caches, chat, contexts, errors, files, gemini, keywords, models
from .auth import authenticate
from .call import Call, Unusual
from .config import Config
from .control import Control
from .faults import Surface
from .observation import Observations, Record
from .state import State
from .streaming import request_id_headers

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_PREFIX = r"(?P<prefix>/v1/v1beta|/v1/v1|/v1beta|/v1)"
_MODEL = r"/(?:models|tunedModels|dynamic)/(?P<model>[^:]+)"
_PARENT = r"(?:/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+))?"
_UPLOAD = r"(?:/v1)?/upload/(?P<version>v1beta|v1)/files"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path of the gateway, with its handler."""

    method: str
    path: re.Pattern[str]
    surface: Surface
    handler: Handler


def _route(method: str, path: str, surface: Surface, handler: Handler) -> Route:
    return Route(method, re.compile(path), surface, handler)


ROUTES = (
    _route("POST", "/v1/context/create", "openai", contexts.create),
    _route("POST", "/v1/context/chat/completions", "openai", chat.with_context),
    _route("POST", "/v1/chat/completions", "openai", chat.maybe_with_context),
    _route("POST", "/api/chat/completions", "openai", keywords.complete),
    _route("POST", _PREFIX + _MODEL + ":generateContent", "google", gemini.generate),
    _route("POST", _PREFIX + _MODEL + ":streamGenerateContent", "google", gemini.stream_generate),
    _route("POST", _PREFIX + _MODEL + ":countTokens", "google", gemini.count),
    _route("GET", _PREFIX + "/models", "google", models.collection),
    _route("GET", _PREFIX + "/models/(?P<model>[^:/]+)", "google", models.get),
    _route("POST", _PREFIX + _PARENT + "/cachedContents", "google", caches.create),
    _route("GET", _PREFIX + _PARENT + "/cachedContents", "google", caches.collection),
    _route("GET", _PREFIX + _PARENT + "/cachedContents/(?P<id>[^/]+)", "google", caches.get),
    _route("PATCH", _PREFIX + _PARENT + "/cachedContents/(?P<id>[^/]+)", "google", caches.patch),
    _route("DELETE", _PREFIX + _PARENT + "/cachedContents/(?P<id>[^/]+)", "google", caches.delete),
    _route("POST", _UPLOAD, "google", files.start),
    _route("GET", _PREFIX + "/files", "google", files.collection),
    _route("GET", _PREFIX + "/files/(?P<id>[^/]+)", "google", files.get),
    _route("DELETE", _PREFIX + "/files/(?P<id>[^/]+)", "google", files.delete),
)
_OPENAI_PATHS = ("/v1/context", "/v1/chat", "/api/")


class Gateway:
    """Handles every request outside `/_emulator/`."""

    def __init__(self, config: Config, state: State, observations: Observations) -> None:
        self._config = config
        self._state = state
        self._observations = observations

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Record a request, run its handler, and render any error as a response."""
        record = Record(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        with self._observations.serving(record):
            response = await self._dispatch(request, record)
            record.status = response.status
            return response

    async def _dispatch(self, request: web.Request, record: Record) -> web.StreamResponse:
        path = unquote(request.rel_url.raw_path)
        route, parameters = _match(request.method, path)
        call = Call(
            request=request,
            config=self._config,
            state=self._state,
            observations=self._observations,
            record=record,
            surface=route.surface if route else _surface_of(path),
            path={name: value for name, value in parameters.items() if value is not None},
        )
        try:
            if route is None:
                raise _no_route(call, path)
            return await _handle(call, route)
        except errors.ApiError as error:
            response = errors.render(error, call.request_id, in_array=call.in_array)
        except Unusual as unusual:
            response = unusual.response
        response.headers.update(request_id_headers(call))
        if call.must_close:
            response.force_close()
        return response


async def _handle(call: Call, route: Route) -> web.StreamResponse:
    if route.handler is files.start and "upload_id" in call.request.query:
        return await files.proceed(call)
    if route.handler is models.collection and not models.is_google(call.request, call.path):
        call.surface = "openai"
    call.in_array = route.handler is gemini.stream_generate and gemini.wants_array(call.request)
    authenticate(call)
    return await route.handler(call)


def _match(method: str, path: str) -> tuple[Route | None, Mapping[str, str | None]]:
    for route in ROUTES:
        found = route.path.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, found.groupdict()
    return None, {}


def _surface_of(path: str) -> Surface:
    return "openai" if path.startswith(_OPENAI_PATHS) else "google"


def _no_route(call: Call, path: str) -> errors.ApiError:
    known = any(route.path.fullmatch(path) for route in ROUTES)
    status = 405 if known else 404
    if call.surface == "google":
        return errors.GoogleError(status, "Requested entity was not found.")
    return errors.OpenAIError(
        status,
        f"Invalid URL ({call.request.method} {path})",
        kind="invalid_request_error",
        code="",
        param="",
        id_style="none",
    )


def make_app(config: Config, state: State, observations: Observations) -> web.Application:
    """Build the application with all routes."""
    app = web.Application(client_max_size=config.max_body_bytes)
    app.add_routes(Control(state, observations).routes())
    app.router.add_route("*", "/{path:.*}", Gateway(config, state, observations).serve)
    return app
