"""The request context: who calls, and on what terms."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

ACCOUNT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """An entry of the callers file.

    Attributes:
        name: The entry's name.
        tenant: The tenant that the caller belongs to; nothing crosses tenants.
        unknown_ids: The caller may name upstream resources that the server has no record of.
    """

    name: str
    tenant: str
    unknown_ids: bool = True


ANYONE = Caller(name="anyone", tenant="default")
"""The caller where the server has no callers file."""


@dataclass(slots=True)
class RequestContext:
    """One call: who makes it, until when, and on whose upstream account.

    The server builds one for each call, the interceptors fill it in, and everything that the call
    reaches takes it.

    Attributes:
        request_id: The correlation id (`x-request-id`) of logs, errors and upstream's requests.
        deadline: The end of the caller's wait, on the event loop's clock; None for no end.
        caller: The authenticated caller.
        upstream_key: The caller's own upstream key, where keys are passed through.
        account: The digest of that key, which keeps upstream accounts apart; empty for the
            server's own key: a binding that a new server key does not find is restored.
        method: The full method name, such as `/contextbridge.v1.ContextService/CreateContext`.
        is_exempt: The method needs neither a token nor room: health and reflection.
        peer: The client's address.
        metadata: The client's metadata; of a repeated key the last value.
        log_fields: Fields that the call adds to its log line.
        started: The start of the call, on `time.perf_counter`'s clock.
        first_message: The first message sent, on the same clock.
        messages_sent: The number of messages sent so far.
        aborted_with: The status code with which the method itself aborted the call; empty for none.
    """

    request_id: str
    deadline: float | None = None
    caller: Caller = ANYONE
    upstream_key: str | None = field(default=None, repr=False)
    account: str = ""
    method: str = ""
    is_exempt: bool = False
    peer: str = ""
    metadata: Mapping[str, str | bytes] = field(default_factory=dict, repr=False)
    log_fields: dict[str, object] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    first_message: float | None = None
    messages_sent: int = 0
    aborted_with: str = ""

    def use_upstream_key(self, key: str) -> None:
        """Send the call's upstream requests with the caller's own key."""
        self.upstream_key = key
        self.account = hashlib.sha256(key.encode()).hexdigest()[:ACCOUNT_DIGITS]

    def without_deadline(self) -> Self:
        """Return the context for work that serves other calls too."""
        return replace(self, deadline=None)
