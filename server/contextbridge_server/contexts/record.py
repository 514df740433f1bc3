"""A context as it is stored, and what follows from it; no I/O."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from contextbridge import v1 as pb

from .prices import PriceTable
from .statistics import Counters, statistics_of

MIN_LIFE = timedelta(seconds=1)
"""A record is kept at least so long: Valkey knows no life of zero."""
LAPSE_MARGIN = timedelta(milliseconds=50)
"""A binding that ends sooner would end before a call reached upstream."""
UNKNOWN_END = timedelta(days=8)
"""How long a context without stored content is kept whose binding's end upstream did not say."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The upstream cache that a context has.

    Attributes:
        upstream_id: What upstream calls it.
        made: When it was made.
        expires: When it lapses; None where upstream did not say.
        token_count: How large it is.
        ttl: The life that upstream granted it; None where it did not say.
    """

    upstream_id: str
    made: datetime
    expires: datetime | None
    token_count: int
    ttl: timedelta | None = None

    @property
    def is_cached_content(self) -> bool:
        """Whether it is Gemini's kind: its end is fixed, can be moved, and it can be deleted."""
        return is_cached_content(self.upstream_id)

    def is_live(self, now: datetime) -> bool:
        """Tell whether it lasts long enough for a call to reach it."""
        return self.expires is None or self.expires - now > LAPSE_MARGIN

    def held_until(self, now: datetime) -> datetime:
        """Return until when upstream has held it."""
        return now if self.expires is None else min(self.expires, now)

    def held_token_ms(self, now: datetime) -> int:
        """Return its tokens times the milliseconds that upstream has held them."""
        held = max(self.held_until(now) - self.made, timedelta(0))
        return self.token_count * round(held.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """A context as it is stored.

    Attributes:
        tenant: Whose it is.
        context: What it was created as; its recovery and retention are settled.
        display_name: Its name now.
        ttl: The life of its next binding; None for upstream's default.
        retention: How long after its last use it can be brought back; None where nothing of the
            content is stored.
        updated: When it was last changed.
        used: When it was last used.
        binding: Its binding; None where it has none for this upstream account.
        uncacheable_until: Until when upstream is not asked to cache it again.
        turns_begun: Calls that a session has had, those under way and those that failed included.
        counters: What has happened to it.
        content_identity: Hash of what it was made from, model and life apart; empty for one stored
            before this was noted.
    """

    tenant: str
    context: pb.Context
    display_name: str
    ttl: timedelta | None
    retention: timedelta | None
    updated: datetime
    used: datetime
    binding: Binding | None
    uncacheable_until: datetime | None = None
    turns_begun: int = 0
    counters: Counters = field(default_factory=Counters)
    content_identity: str = ""

    @property
    def id(self) -> str:
        """The context's id."""
        return self.context.id

    @property
    def is_restorable(self) -> bool:
        """Whether its content is stored."""
        return self.context.recovery != pb.RECOVERY_NEVER

    @property
    def is_cached_content(self) -> bool:
        """Whether its bindings are of Gemini's kind."""
        return is_cached_content(self.context.upstream_id)

    @property
    def is_session(self) -> bool:
        """Whether it gains a turn with each call, as it does by default; a cache never does."""
        return not self.is_cached_content and self.context.mode != pb.CONTEXT_MODE_COMMON_PREFIX

    def live_binding(self, now: datetime) -> Binding | None:
        """Return the binding if it lasts long enough for a call to reach it."""
        return self.binding if self.binding and self.binding.is_live(now) else None

    def goes_inline(self, now: datetime) -> bool:
        """Tell whether its prefix goes inline without asking upstream for a binding."""
        wants = self.context.recovery == pb.RECOVERY_RESTORE_OR_INLINE
        return wants and self.uncacheable_until is not None and self.uncacheable_until > now

    def retain_until(self) -> datetime | None:
        """Return until when it can be brought back; None where nothing of it is stored."""
        return self.used + self.retention if self.retention is not None else None

    def life(self, now: datetime) -> timedelta:
        """Return how much longer it is kept."""
        end = self.retain_until()
        if end is None:
            expires = self.binding.expires if self.binding else now
            end = now + UNKNOWN_END if expires is None else expires
        return max(end - now, MIN_LIFE)

    def owner_due(self, now: datetime) -> str:
        """Return the upstream id whose owner a use notes again, or nothing.

        That is once a day, and where a binding's life begins anew with each use.
        """
        binding = self.binding
        if binding is None or binding.is_cached_content or self.used.date() == now.date():
            return ""
        return binding.upstream_id

    def used_at(self, now: datetime) -> "ContextRecord":
        """Return it as a call leaves it: its binding's life begins anew where it slides."""
        binding = self.binding
        if binding and binding.ttl is not None and not binding.is_cached_content:
            binding = replace(binding, expires=now + binding.ttl)
        return replace(self, used=now, binding=binding)

    def not_before(self, known: "ContextRecord") -> "ContextRecord":
        """Return it, used and ending no earlier than is known of it.

        Calls do not end in the order in which they began.
        """
        binding, other = self.binding, known.binding
        is_same = binding and other and binding.upstream_id == other.upstream_id
        if binding and other and is_same and binding.expires and other.expires:
            binding = replace(binding, expires=max(binding.expires, other.expires))
        return replace(self, used=max(self.used, known.used), binding=binding)

    def described(self, now: datetime, prices: PriceTable) -> pb.Context:
        """Return it as callers see it."""
        shown = pb.Context()
        shown.CopyFrom(self.context)
        shown.display_name = self.display_name
        shown.update_time.FromDatetime(self.updated)
        live = self.live_binding(now)
        shown.state = pb.CONTEXT_STATE_WARM if live else pb.CONTEXT_STATE_COLD
        shown.upstream_id = self.binding.upstream_id if self.binding else ""
        for name in ("ttl", "expire_time", "retention", "retain_until"):
            shown.ClearField(name)
        if self.ttl is not None:
            shown.ttl.FromTimedelta(self.ttl)
        if self.binding and self.binding.expires is not None:
            shown.expire_time.FromDatetime(self.binding.expires)
        if self.retention is not None:
            shown.retention.FromTimedelta(self.retention)
            shown.retain_until.FromDatetime(self.used + self.retention)
        shown.statistics.CopyFrom(self._statistics(now, prices))
        return shown

    def _statistics(self, now: datetime, prices: PriceTable) -> pb.ContextStatistics:
        return statistics_of(
            self.counters,
            prefix_tokens=prefix_tokens(self.context.usage),
            live_token_ms=self.binding.held_token_ms(now) if self.binding else 0,
            price=prices.price_of(self.context.model),
            currency=prices.currency,
        )


def is_cached_content(upstream_id: str) -> bool:
    """Tell whether upstream holds a prefix in Gemini's way."""
    return "cachedContents/" in upstream_id


def prefix_tokens(usage: pb.Usage) -> int:
    """Return how many tokens a binding holds, by what making it cost (wire.md A.1)."""
    return usage.cache_creation_tokens or usage.prompt_tokens


def milliseconds(moment: datetime) -> int:
    """Return a time as Unix milliseconds."""
    return round(moment.timestamp() * 1000)


def moment_of(unix_milliseconds: int) -> datetime:
    """Return Unix milliseconds as a time."""
    return datetime.fromtimestamp(unix_milliseconds / 1000, UTC)


def as_stored(moment: datetime) -> datetime:
    """Return a time as it comes back from the store."""
    return moment_of(milliseconds(moment))
