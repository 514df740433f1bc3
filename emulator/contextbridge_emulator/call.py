"""The request that a handler works on."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NoReturn

import msgspec
from aiohttp import http_exceptions, web

from . import errors
from .config import Config
from .faults import (
    DELAY_HEADER,
    FAULT_HEADER,
    PACE_HEADER,
    Chosen,
    Operation,
    Surface,
    Wire,
    choose,
    seconds,
    split_model,
)
from .observation import Observations, Record
from .state import Account, State


class Unusual(Exception):  # noqa: N818 - not an error: a response that ends the handler.
    """Carries a ready response past the rest of the handler."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


def new_request_id() -> str:
    """Return a new request id in the gateway's form."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime()) + secrets.token_hex(9)


@dataclass(slots=True)
class Call:
    """A request with its account and its faults."""

    request: web.Request
    config: Config
    state: State
    observations: Observations
    record: Record
    surface: Surface
    path: Mapping[str, str]
    in_array: bool = False
    request_id: str = field(default_factory=new_request_id)
    arrived_ns: int = field(default_factory=time.time_ns)
    must_close: bool = False
    """Whether the connection cannot be reused, as the body was not read to its end."""
    _account: Account | None = None
    _body_digest: str = ""

    @property
    def account(self) -> Account:
        """Return the caller's account, once authentication has set it."""
        if self._account is None:
            raise LookupError
        return self._account

    @account.setter
    def account(self, account: Account) -> None:
        self._account = account

    @property
    def version(self) -> str:
        """Return the API version in the path."""
        return self.path.get("prefix", "v1beta").strip("/").rsplit("/", 1)[-1]

    async def read_bytes(self) -> bytes:
        """Return the request's body; raise an error for a body that cannot be read."""
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge:
            self.must_close = True
            self.refuse_body(413, "Request payload size exceeds the limit.")
        except (web.RequestPayloadError, http_exceptions.HttpProcessingError, ValueError):
            self.must_close = True
            self.refuse_body(400, "Request body could not be read.")

    async def read_json(self) -> dict[str, Any]:
        """Return the request's body, which must be a JSON object."""
        raw = await self.read_bytes()
        try:
            body = msgspec.json.decode(raw) if raw.strip() else {}
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            self.record.body_bytes = len(raw)
            self.refuse_body(400, f"Invalid JSON payload received. {error}")
        self._body_digest = hashlib.sha256(raw).hexdigest()
        self.observations.keep_body(self.record, body, len(raw))
        if not isinstance(body, dict):
            self.refuse_body(400, "Invalid JSON payload received. Root element must be a message.")
        return body

    def refuse_body(self, http: int, message: str) -> NoReturn:
        """Raise the surface's error for an invalid body."""
        if self.surface == "google":
            bad = http == HTTPStatus.BAD_REQUEST
            raise errors.violations([("", message)]) if bad else errors.GoogleError(http, message)
        raise errors.OpenAIError(
            http,
            message,
            kind="new_api_error",
            code="bad_request_body",
            param="",
            id_style="relay",
        )

    def faults(self, model: str, operation: Operation) -> Chosen:
        """Select the faults of this call; raise the response of a fault that has one."""
        headers = self.request.headers
        wire = Wire(
            delay_seconds=_wait(headers, DELAY_HEADER, self.config.delay.total_seconds()),
            pace_seconds=_wait(headers, PACE_HEADER, self.config.pace.total_seconds()),
        )
        plain, asked = split_model(model)
        by_header = [word.strip() for word in headers.get(FAULT_HEADER, "").split(",")]
        chosen = choose([*by_header, *asked], operation, wire)
        for name, fault in chosen.refusals():
            if fault.once and not self._is_first(name, plain):
                continue
            if fault.refusal is not None:
                self._refuse(fault.refusal(self.surface, plain))
        return chosen

    async def wait(self, wire: Wire) -> None:
        """Wait for the delay before the first byte."""
        if wire.stall:
            await asyncio.Event().wait()
        if wire.delay_seconds:
            await asyncio.sleep(wire.delay_seconds)

    def _is_first(self, fault: str, model: str) -> bool:
        what = f"{fault} {model} {self.request.method} {self.request.path} {self._body_digest}"
        return self.account.first_time(what)

    def _refuse(self, refusal: errors.ApiError | web.Response) -> NoReturn:
        if isinstance(refusal, errors.ApiError):
            raise refusal
        raise Unusual(refusal)


def _wait(headers: Mapping[str, str], name: str, otherwise: float) -> float:
    asked = seconds(headers.get(name, ""))
    return otherwise if asked is None else asked
