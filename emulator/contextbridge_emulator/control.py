"""Serve the control API under `/_emulator/`, for tests and users outside the process."""

from typing import Any

import msgspec
from aiohttp import web

from .faults import FAULTS, HEADERS
from .observation import Observations
from .state import GONE_DIALECTS, State


class Control:
    """Handlers of the control API."""

    def __init__(self, state: State, observations: Observations) -> None:
        self._state = state
        self._observations = observations

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; `/_emulator/` lists them."""
        return [
            web.get("/_emulator/requests", self.requests),
            web.get("/_emulator/state", self.state),
            web.get("/_emulator/faults", self.faults),
            web.post("/_emulator/expire", self.expire),
            web.post("/_emulator/reset", self.reset),
        ]

    async def requests(self, request: web.Request) -> web.Response:
        """Return the recorded requests, oldest first; `?key=` selects one API key's."""
        key = request.query.get("key")
        seen = [
            record.as_dict()
            for record in self._observations.records
            if key is None or _mentions(record.headers, record.query, key)
        ]
        return _json({"requests": seen})

    async def state(self, _request: web.Request) -> web.Response:
        """Return the number of stored entries and of open requests."""
        accounts = self._state.accounts.values()
        return _json(
            {
                "open_requests": self._observations.open_requests,
                "records": len(self._observations.records),
                "accounts": len(accounts),
                "contexts": sum(len(account.contexts) for account in accounts),
                "caches": sum(len(account.caches) for account in accounts),
                "files": sum(len(account.files) for account in accounts),
                "uploads": len(self._state.uploads),
                "stored_bytes": self._state.stored_bytes(),
            }
        )

    async def faults(self, _request: web.Request) -> web.Response:
        """Return the supported faults and headers."""
        described = {name: fault.summary for name, fault in FAULTS.items()}
        return _json({"faults": described, "headers": dict(HEADERS)})

    async def expire(self, request: web.Request) -> web.Response:
        """Expire a context or cache now: `{"id"?, "key"?, "dialect"?}`; without id, all."""
        body = await _read(request)
        dialect = body.get("dialect")
        if dialect is not None and dialect not in GONE_DIALECTS:
            return _json({"error": f"dialect is one of {', '.join(GONE_DIALECTS)}"}, status=400)
        ended = self._state.expire(body.get("id"), body.get("key"), dialect)
        return _json({"expired": ended})

    async def reset(self, _request: web.Request) -> web.Response:
        """Delete all state and all recorded requests."""
        self._state.clear()
        self._observations.clear()
        return _json({})


def _mentions(headers: dict[str, str], query: dict[str, str], key: str) -> bool:
    sent = (headers.get("x-goog-api-key"), query.get("key"), headers.get("authorization"))
    return key in sent or f"Bearer {key}" in sent


async def _read(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        body = msgspec.json.decode(raw) if raw.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="a JSON object is expected")
    return body


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )
