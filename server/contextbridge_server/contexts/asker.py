"""Who asks for something, and on what terms."""

import hashlib
from dataclasses import dataclass

from ..callers import Caller
from ..upstream.interface import CallTerms
from .records import ContextKey

ACCOUNT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks.

    Attributes:
        caller: Who calls.
        terms: What the call brings to its upstream requests.
    """

    caller: Caller
    terms: CallTerms

    @property
    def account(self) -> str:
        """What tells upstream accounts apart: a binding of one is unknown to another.

        Empty for the server's own key, whatever it is: a binding that a new key does not find is
        made again.
        """
        key = self.terms.upstream_key
        return "" if key is None else hashlib.sha256(key.encode()).hexdigest()[:ACCOUNT_DIGITS]

    @property
    def patient(self) -> CallTerms:
        """The same terms without the deadline: for what serves others too."""
        return CallTerms(self.terms.request_id, None, self.terms.upstream_key)

    def place(self, context_id: str) -> ContextKey:
        """Return where a context of the caller's is."""
        return ContextKey(self.caller.tenant, self.account, context_id)
