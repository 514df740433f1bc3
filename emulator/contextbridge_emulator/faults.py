"""The faults that a request can ask for: one table from name to behaviour.

The model's name (`gemini-2.5-flash+slow`, or `slow` alone), a chat's `user` (`+slow`) or the header
`x-emulator-fault: slow, no-usage` selects faults. `NAME@create` limits a fault to the creation of
contexts and caches, `NAME@answer` to answers. `+delay=0.5` and `+pace=0.01` set delays in seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from aiohttp import web

from . import answers, errors
from .answers import Answer

Surface = Literal["google", "openai"]
Operation = Literal["create", "answer", "count", "manage"]
Break = Literal["stall", "cut", "truncate", "error", "malformed"]
Refusal = Callable[[Surface, str], errors.ApiError | web.Response]

FAULT_HEADER = "x-emulator-fault"
DELAY_HEADER = "x-emulator-delay"
PACE_HEADER = "x-emulator-pace"
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        FAULT_HEADER: "fault names, comma-separated; as in model names, on any request",
        DELAY_HEADER: "seconds before the first byte of this answer",
        PACE_HEADER: "seconds before each event of this stream",
    }
)
DELTAS_BEFORE_BREAK = 3
_MAX_WAIT_SECONDS = 3600.0
_HUGE_CHARACTERS = 300_000
_SEPARATORS = "a\u2028b\u2029c\u0085d"
_MULTIBYTE = "Ça va? 灯台🌊"


@dataclass(frozen=True, slots=True)
class Wire:
    """Changes to how an answer is sent."""

    delay_seconds: float = 0.0
    pace_seconds: float = 0.0
    stall: bool = False
    breaks: Break | None = None
    no_usage: bool = False
    usage_on_finish: bool = False
    no_done: bool = False
    gzip: bool = False
    comments: bool = False
    bom: bool = False
    cr_only: bool = False
    split_utf8: bool = False
    ignore_alt: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    summary: str
    refusal: Refusal | None = None
    once: bool = False
    wire: Mapping[str, Any] = field(default_factory=dict)
    reshape: Callable[[Answer], Answer] | None = None
    blocks_prompt: bool = False


def _both(
    google: Callable[[str], errors.ApiError], openai: Callable[[str], errors.ApiError]
) -> Refusal:
    return lambda surface, model: (google if surface == "google" else openai)(model)


def _raw(status: int, body: str, content_type: str) -> Refusal:
    return lambda _surface, _model: web.Response(
        status=status, body=body.encode(), headers={"Content-Type": content_type}
    )


def _plain(status: int, message: str, word: str | None = None) -> Callable[[str], errors.ApiError]:
    return lambda _model: errors.GoogleError(status, message, status=word)


def _ark(status: int, code: str, message: str) -> Callable[[str], errors.ApiError]:
    return lambda _model: errors.ark(status, code, message)


def _relay(status: int) -> Callable[[str], errors.ApiError]:
    return lambda _model: errors.OpenAIError(
        status,
        f"bad response status code {status}",
        kind="upstream_error",
        code="bad_response_status_code",
        param=str(status),
        id_style="none",
    )


def _error_in_200(surface: Surface, model: str) -> web.Response:
    refusal = _SERVER_ERROR(surface, model)
    body = refusal.body("0225") if isinstance(refusal, errors.ApiError) else {}
    return web.json_response(body=msgspec.json.encode(body))


_OVERLOADED_TEXT = "The model is overloaded. Please try again later."
_OVERLOADED = _both(_plain(503, _OVERLOADED_TEXT), _relay(503))
_RATE_LIMITED = _both(
    lambda model: errors.google_quota(model, delay="1s", per_day=False),
    lambda _model: errors.ark(
        429,
        "RateLimitExceeded.EndpointRPMExceeded",
        "The Requests Per Minute (RPM) limit of the associated endpoint for your account has "
        "been exceeded.",
        headers={
            "Retry-After": "1",
            "x-ratelimit-limit-requests": "20",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1s",
        },
    ),
)
_SERVER_ERROR = _both(
    _plain(
        500,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    _ark(500, "InternalServiceError", "The service encountered an unexpected internal error."),
)

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "echo": Fault("no fault"),
        "slow": Fault("waits 2 s before the first byte", wire={"delay_seconds": 2.0}),
        "stall": Fault("never sends the first byte", wire={"stall": True}),
        "stall-midstream": Fault("goes silent after 3 deltas", wire={"breaks": "stall"}),
        "rate-limited": Fault("429 with a retry delay of one second", refusal=_RATE_LIMITED),
        "rate-limited-once": Fault(
            "429 for the first request of its kind, then fine", refusal=_RATE_LIMITED, once=True
        ),
        "overloaded": Fault("503", refusal=_OVERLOADED),
        "overloaded-once": Fault(
            "503 for the first request of its kind, then fine", refusal=_OVERLOADED, once=True
        ),
        "server-overloaded": Fault(
            "429 ServerOverloaded on the context paths, 503 on Google's",
            refusal=_both(
                _plain(503, _OVERLOADED_TEXT),
                _ark(
                    429,
                    "ServerOverloaded",
                    "The service is currently unable to handle additional requests due to "
                    "server overload.",
                ),
            ),
        ),
        "quota-exhausted": Fault(
            "402 on the context paths, 429 per day on Google's; retries fail too",
            refusal=_both(
                lambda model: errors.google_quota(model, delay=None, per_day=True),
                lambda _model: errors.OpenAIError(
                    402,
                    "Budget exhausted",
                    kind="insufficient_quota",
                    code="insufficient_user_quota",
                    id_style="none",
                ),
            ),
        ),
        "overdue": Fault(
            "403: the account owes money, or serves no such region",
            refusal=_both(
                _plain(
                    400, "User location is not supported for the API use.", "FAILED_PRECONDITION"
                ),
                _ark(
                    403,
                    "AccountOverdueError",
                    "The request failed because your account has an overdue balance.",
                ),
            ),
        ),
        "empty-429": Fault("429 without a body", refusal=_raw(429, "", "text/plain")),
        "server-error": Fault("500", refusal=_SERVER_ERROR),
        "server-error-once": Fault(
            "500 for the first request of its kind, then fine", refusal=_SERVER_ERROR, once=True
        ),
        "bad-gateway": Fault(
            "502 with an HTML page",
            refusal=_raw(
                502,
                "<html><head><title>502 Bad Gateway</title></head><body>502</body></html>",
                "text/html",
            ),
        ),
        "gateway-timeout": Fault(
            "504",
            refusal=_both(
                _plain(504, "Deadline expired before operation could complete."), _relay(504)
            ),
        ),
        "unauthorized": Fault(
            "refuses the key",
            refusal=_both(
                lambda _model: errors.wrong_google_key(), lambda _model: errors.wrong_openai_key()
            ),
        ),
        "not-found": Fault(
            "404: no such model",
            refusal=_both(
                lambda model: errors.model_not_found(model, "v1beta", "generateContent"),
                errors.model_not_open,
            ),
        ),
        "html": Fault(
            "200 with an HTML page",
            refusal=_raw(200, "<!doctype html><title>Welcome</title>", "text/html"),
        ),
        "empty": Fault("200 without a body", refusal=_raw(200, "", "application/json")),
        "bare-string": Fault(
            "503 whose error is a string",
            refusal=_raw(503, '{"error":"model overloaded"}', "application/json"),
        ),
        "error-in-200": Fault("200 with an error object", refusal=_error_in_200),
        "cut-midstream": Fault("drops the connection after 3 deltas", wire={"breaks": "cut"}),
        "truncate-midstream": Fault(
            "ends cleanly after 3 deltas, without a finish reason", wire={"breaks": "truncate"}
        ),
        "error-midstream": Fault("an error object after 3 deltas", wire={"breaks": "error"}),
        "malformed-midstream": Fault("broken JSON after 3 deltas", wire={"breaks": "malformed"}),
        "no-usage": Fault("omits the usage", wire={"no_usage": True}),
        "usage-on-finish": Fault(
            "sends the usage in the chunk with the finish reason", wire={"usage_on_finish": True}
        ),
        "no-done": Fault("ends a context stream without [DONE]", wire={"no_done": True}),
        "gzip": Fault("compresses without Accept-Encoding", wire={"gzip": True}),
        "huge-event": Fault(
            "one event of 300 kB",
            reshape=lambda whole: answers.with_text(whole, "x" * _HUGE_CHARACTERS),
        ),
        "comments": Fault("PING comments, on the context paths only", wire={"comments": True}),
        "bom": Fault("a byte order mark before the first event", wire={"bom": True}),
        "cr-only": Fault("events end in bare carriage returns", wire={"cr_only": True}),
        "u2028": Fault(
            "raw U+2028, U+2029 and U+0085 in the text, on the context paths only",
            reshape=lambda whole: answers.with_text(whole, _SEPARATORS),
        ),
        "utf8-split": Fault(
            "flushes that end inside a character",
            wire={"split_utf8": True},
            reshape=lambda whole: answers.with_text(whole, _MULTIBYTE),
        ),
        "blocked": Fault("refuses the prompt for its content", blocks_prompt=True),
        "safety": Fault("withholds the answer for its content", reshape=answers.silenced),
        "refusal": Fault("the model itself refuses to answer", reshape=answers.refused),
        "max-tokens": Fault(
            "ends for length after 3 words", reshape=lambda whole: answers.cut_short(whole, 3)
        ),
        "ignore-alt": Fault("a JSON array in spite of alt=sse", wire={"ignore_alt": True}),
    }
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The faults of one request."""

    names: tuple[str, ...] = ()
    wire: Wire = Wire()

    def refusals(self) -> Iterable[tuple[str, Fault]]:
        """Return the faults that replace the answer."""
        return ((name, FAULTS[name]) for name in self.names if FAULTS[name].refusal)

    def reshape(self, whole: Answer) -> Answer:
        """Apply the faults to an answer."""
        for name in self.names:
            change = FAULTS[name].reshape
            whole = change(whole) if change else whole
        return whole

    @property
    def blocks_prompt(self) -> bool:
        """Return whether the prompt is blocked for its content."""
        return any(FAULTS[name].blocks_prompt for name in self.names)


def split_model(model: str) -> tuple[str, tuple[str, ...]]:
    """Split a model name into the plain name and the options for the emulator.

    A name that consists of options only is also the name of a model: its first option.
    """
    plain: list[str] = []
    asked: list[str] = []
    for part in model.split("+"):
        (asked if is_known(part) else plain).append(part)
    return "+".join(plain or [asked[0].partition("@")[0]]), tuple(asked)


def is_known(word: str) -> bool:
    """Return whether a word is a fault or sets a delay."""
    return word.partition("@")[0] in FAULTS or _wait(word) is not None


def choose(words: Iterable[str], operation: Operation, wire: Wire) -> Chosen:
    """Return the faults that apply to an operation, added to the given delays."""
    names: list[str] = []
    for word in words:
        name, _, scope = word.partition("@")
        waits = _wait(word)
        if waits is not None:
            wire = waits(wire)
        elif name in FAULTS and scope in ("", operation):
            names.append(name)
            wire = replace(wire, **FAULTS[name].wire)
    return Chosen(tuple(names), wire)


def seconds(text: str) -> float | None:
    """Parse a delay in seconds."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= _MAX_WAIT_SECONDS else None


def _wait(word: str) -> Callable[[Wire], Wire] | None:
    name, _, text = word.partition("=")
    value = seconds(text)
    if value is None:
        return None
    if name == "delay":
        return lambda wire: replace(wire, delay_seconds=value)
    if name == "pace":
        return lambda wire: replace(wire, pace_seconds=value)
    return None
