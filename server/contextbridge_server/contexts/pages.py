"""Pages of a list of contexts."""

import base64
import binascii
from dataclasses import dataclass

from contextbridge import v1 as pb

from ..translate.context_ids import is_ours
from ..translate.violations import Violations

DEFAULT_SIZE = 50
MAX_SIZE = 1_000
LOOKS = 20
"""Reads for one page: where few contexts fit the filters, a page may be shorter than asked for."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds.

    Attributes:
        size: Most contexts on it.
        before: Only contexts made before this one; empty for the newest.
        model: Only contexts of this model; empty for all.
        state: Only contexts in this state; UNSPECIFIED for all.
    """

    size: int
    before: str
    model: str
    state: pb.ContextState.ValueType

    def wants(self, context: pb.Context) -> bool:
        """Tell whether a context passes the filters."""
        is_of_model = not self.model or _bare(context.model) == _bare(self.model)
        return is_of_model and self.state in (pb.CONTEXT_STATE_UNSPECIFIED, context.state)

    @staticmethod
    def token(last: str) -> str:
        """Return what asks for the page after some context; empty after the last."""
        return base64.urlsafe_b64encode(last.encode()).decode() if last else ""


def page_of(request: pb.ListContextsRequest) -> Page:
    """Return the page that a request asks for.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    violations.within("page_size", request.page_size, 0)
    before = _id_of_token(request.page_token)
    if request.page_token and not is_ours(before):
        violations.add("page_token", "Is no next_page_token of this server's.")
    if request.state not in pb.ContextState.values():
        violations.add("state", "Is no known ContextState.")
    violations.raise_if_any()
    size = min(request.page_size, MAX_SIZE) or DEFAULT_SIZE
    return Page(size, before, request.model, request.state)


def _id_of_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError):
        return ""


def _bare(model: str) -> str:
    return model.removeprefix("models/")
