"""The one error that callers are told about.

`upstream/failures.py` makes it from what upstream did, `rpc/status.py` makes a status of it;
code between raises it and chains what caused it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from contextbridge import v1 as pb

REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that is wrong, and how."""

    field: str
    description: str


class BridgeError(Exception):
    """A failure with a reason, a message for people, and what a caller can do with it.

    Attributes:
        reason: An `ErrorReason`; decides the status (`rpc/status.py`).
        message: One sentence for people, without anything secret.
        metadata: What is variable in the message, by lowerCamelCase keys (AIP-193).
        retry_after: How long upstream asks to wait, where it says so.
        violations: Every wrong field, for REQUEST_INVALID.
        http_status: Upstream's HTTP status, where upstream answered.
    """

    def __init__(
        self,
        reason: pb.ErrorReason.ValueType,
        message: str,
        *,
        metadata: Mapping[str, str] = MappingProxyType({}),
        retry_after: timedelta | None = None,
        violations: Sequence[Violation] = (),
        http_status: int | None = None,
    ) -> None:
        super().__init__(f"{pb.ErrorReason.Name(reason)}: {message}")
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata)
        self.retry_after = retry_after
        self.violations = tuple(violations)
        self.http_status = http_status

    def again(self) -> "BridgeError":
        """Return the same failure for another call; raising and redacting change it."""
        return BridgeError(
            self.reason,
            self.message,
            metadata=self.metadata,
            retry_after=self.retry_after,
            violations=self.violations,
            http_status=self.http_status,
        )

    def redact(self, secret: str) -> None:
        """Take a secret out of what a caller or a log would see: upstream may echo it."""
        self.message = self.message.replace(secret, REDACTED)
        self.metadata = {key: v.replace(secret, REDACTED) for key, v in self.metadata.items()}
        self.args = (f"{pb.ErrorReason.Name(self.reason)}: {self.message}",)


def malformed(what: str) -> BridgeError:
    """Return the error for an answer of upstream's that is not what its API promises."""
    return BridgeError(
        pb.ERROR_REASON_UPSTREAM_RESPONSE_MALFORMED, f"Upstream's answer is malformed: {what}."
    )


def too_large(limit_bytes: int) -> BridgeError:
    """Return the error for an answer of upstream's, or an event of it, past a limit."""
    return BridgeError(
        pb.ERROR_REASON_UPSTREAM_RESPONSE_TOO_LARGE,
        f"Upstream sent more than {limit_bytes} bytes at once.",
        metadata={"limitBytes": str(limit_bytes)},
    )
