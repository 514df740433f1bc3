"""Random sequences of calls, expiries and crashes, against a simple model of what was acknowledged.

An example is a list of steps. They are done one by one on two bridges that share a data directory,
by three tenants. The model knows of each context what its owner knows: its text, its turns, its
name. Whatever expired or broke in between, what is answered is what the model says.
"""

import asyncio
import hashlib
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import contextbridge_emulator
from contextbridge import v1 as pb
from contextbridge_emulator.config import Config
from contextbridge_server import app
from contextbridge_server.errors import BridgeError
from contextbridge_server.store import claims, embedded, leases
from contextbridge_server.store.connections import unavailable
from contextbridge_server.store.valkey import opened_store
from contextbridge_server.translate import families

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"
TENANTS = ("acme", "bolt", "core")
KEY = "sk-test"
OPENING = "Good morning."
QUOTED = 80
SHORT, LONG = timedelta(seconds=1), timedelta(hours=2)
PATIENCE_SECONDS = 30
LEASE = timedelta(seconds=3)
"""The life of leases and claims here, so that what a crash leaves behind lapses soon."""
FSYNC = "no"
"""Has each write with the system before its reply; `everysec` may keep it back for a moment."""
NEAR_SECONDS = 0.5
"""A binding that ends so soon after its use may be used or renewed: either is right."""

GONE = {"CONTEXT_NOT_FOUND", "CACHE_NOT_FOUND", "CACHE_EXPIRED"}
STORE_AWAY = {"STORE_UNAVAILABLE"}
BRIDGE_AWAY = {"UNAVAILABLE", "CANCELLED"}
SLOW = "+pace=0.005"
TURN = re.compile(r"\(turn (\d+)\)$")

MORE = int(os.environ.get("CONTEXTBRIDGE_SEQUENCES", "0"))
"""Sequences for a long search; unset, the same few are drawn each time."""
FEW = MORE // 20 or 3
SOME = settings(
    deadline=None,
    max_examples=MORE or 16,
    derandomize=not MORE,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


# ---------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Kind:
    """A kind of context.

    Attributes:
        model: Its model.
        mode: The mode that is asked for.
        is_session: Whether it gains a turn with each call.
    """

    model: str
    mode: pb.ContextMode.ValueType
    is_session: bool


SESSION = Kind(ARK, pb.CONTEXT_MODE_SESSION, is_session=True)
BY_DEFAULT = Kind(ARK, pb.CONTEXT_MODE_UNSPECIFIED, is_session=True)
PREFIX = Kind(ARK, pb.CONTEXT_MODE_COMMON_PREFIX, is_session=False)
CACHE = Kind(GEMINI, pb.CONTEXT_MODE_UNSPECIFIED, is_session=False)
CACHE_WITH_MODE = Kind(GEMINI, pb.CONTEXT_MODE_SESSION, is_session=False)
KINDS = (SESSION, BY_DEFAULT, PREFIX, CACHE, CACHE_WITH_MODE)


@dataclass(frozen=True)
class Create:
    """A tenant makes a context.

    Attributes:
        tenant: Who.
        kind: Of which kind.
        recovery: What happens when its binding is found gone.
        is_short: Its binding lives for a second.
        times: 0 asks without a `idempotency_key`, 1 and more so often at once with the same.
        shared: The content, for a context that may be reused; None for content of its own.
    """

    tenant: str
    kind: Kind
    recovery: pb.Recovery.ValueType = pb.RECOVERY_UNSPECIFIED
    is_short: bool = False
    times: int = 0
    shared: int | None = None


Words = Literal["plain", "say", "recall"]
Way = Literal["chat", "stream", "slow stream", "generate", "stream_generate"]


@dataclass(frozen=True)
class GenerationCall:
    """The owner of a context asks something, or several things at once."""

    context: int
    asks: tuple[tuple[Words, Way], ...] = (("plain", "chat"),)


@dataclass(frozen=True)
class Leave:
    """The owner of a context asks for a stream, and leaves in the midst of it."""

    context: int
    after_ms: int


@dataclass(frozen=True)
class Evict:
    """Upstream drops a binding, or all bindings."""

    context: int | None
    dialect: str


@dataclass(frozen=True)
class Lapse:
    """Short lives end."""


@dataclass(frozen=True)
class RefuseCaching:
    """Upstream begins, or ceases, to find every prefix too small."""

    refuses: bool


@dataclass(frozen=True)
class Update:
    """The owner of a context changes it."""

    context: int
    what: Literal["name", "retention", "ttl", "short ttl"]


@dataclass(frozen=True)
class Delete:
    """The owner of a context deletes it."""

    context: int


@dataclass(frozen=True)
class Trespass:
    """Another tenant tries everything with a context."""

    context: int
    by: int


@dataclass(frozen=True)
class Look:
    """Every tenant looks at all contexts."""


@dataclass(frozen=True)
class Restart:
    """A bridge, or both, stop and start again."""

    which: tuple[int, ...]


@dataclass(frozen=True)
class During:
    """Something breaks while a step is done.

    Attributes:
        breaks: The store's process, or the bridge that uses it right then.
        step: What is done.
        at: When it breaks: after so many commands to the store, or milliseconds.
        is_late: The command in flight is carried out before, and only its reply is lost.
    """

    breaks: Literal["store", "bridge"]
    step: Create | GenerationCall | Update | Delete
    at: int
    is_late: bool = False


@dataclass(frozen=True)
class Together:
    """A context is changed or deleted while it is used."""

    ask: GenerationCall
    other: Update | Delete


INDEXES = st.integers(0, 2)
WAYS = st.sampled_from(["chat", "stream", "slow stream", "generate", "stream_generate"])
WORDS = st.sampled_from(["plain", "plain", "say", "recall"])
ASKS = st.builds(
    GenerationCall,
    context=INDEXES,
    asks=st.lists(st.tuples(WORDS, WAYS), min_size=1, max_size=6).map(tuple),
)
EVICTIONS = st.builds(
    Evict,
    context=st.none() | INDEXES,
    dialect=st.sampled_from(["gemini-api", "vertex-expired", "vertex-reaped", "ark"]),
)
DELETES = st.builds(Delete, context=INDEXES)


def sequences(*, with_short_lives: bool) -> st.SearchStrategy[list[Any]]:
    """Return what draws sequences of steps."""
    own = st.builds(
        Create,
        tenant=st.sampled_from(TENANTS),
        kind=st.sampled_from(KINDS),
        recovery=st.sampled_from([0, 0, 2, 2, 3, 3, pb.RECOVERY_NEVER]),
        is_short=st.sampled_from([False, False, False, with_short_lives]),
        times=st.sampled_from([0, 1, 3]),
    )
    shared = st.builds(
        Create,
        tenant=st.sampled_from(TENANTS[:2]),
        kind=st.sampled_from([SESSION, CACHE]),
        times=st.sampled_from([0, 0, 2]),
        shared=st.just(1),
    )
    creates = own | shared
    changes = ["name", "retention", "ttl", *(["short ttl"] if with_short_lives else [])]
    updates = st.builds(Update, context=INDEXES, what=st.sampled_from(changes))
    breaking = st.builds(
        During,
        breaks=st.sampled_from(["store", "bridge"]),
        step=ASKS | ASKS | creates | updates | DELETES,
        at=st.integers(0, 25),
        is_late=st.booleans(),
    )
    steps = st.one_of(
        *(ASKS, ASKS, EVICTIONS, creates, updates, DELETES, breaking, breaking),
        st.builds(Leave, context=INDEXES, after_ms=st.integers(0, 60)),
        st.just(Lapse()),
        st.builds(RefuseCaching, refuses=st.booleans()),
        st.builds(Trespass, context=INDEXES, by=st.integers(1, 2)),
        st.just(Look()),
        st.builds(Restart, which=st.sampled_from([(0,), (1,), (0, 1)])),
        st.builds(Together, ask=ASKS, other=updates | DELETES),
    )
    # What is lost shows when it is asked for.
    losses = st.tuples(EVICTIONS, ASKS | breaking)
    first = st.lists(creates, min_size=1, max_size=3)
    rest = st.lists(st.tuples(steps) | st.tuples(steps) | losses, min_size=6, max_size=16)
    return st.tuples(first, rest).map(lambda parts: [*parts[0], *chain(*parts[1])])


# ---------------------------------------------------------------------------- upstream


class Remembering(dict[str, Any]):
    """A shelf of the emulator's that forgets nothing of what was ever put on it."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: dict[str, Any] = {}

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.ever[key] = value


class Upstream:
    """What upstream has made, and what became of it."""

    def __init__(self, emulator: contextbridge_emulator.serving.Emulator, refusing: dict[str, int]):
        self.emulator = emulator
        self._account = emulator._state.account(KEY)
        self._contexts, self._caches = Remembering(), Remembering()
        self._account.contexts, self._account.caches = self._contexts, self._caches
        self._refusing = refusing

    @property
    def refuses(self) -> bool:
        """Whether it finds every prefix too small."""
        return self._refusing["gemini-"] > 0

    def refuse(self, *, refuses: bool) -> None:
        self._refusing["gemini-"] = 1_000_000 if refuses else 0

    def made_from(self, text: str) -> list[str]:
        """Return the ids of all bindings ever made from a text."""
        contexts = [id_ for id_, c in self._contexts.ever.items() if c.initial[0].text == text]
        return contexts + [id_ for id_, c in self._caches.ever.items() if c.turns[0].text == text]

    def creates_asked(self, text: str) -> int:
        """Return how often a binding was made, by the requests."""
        return sum(
            record.path.endswith("/context/create")
            and record.status == 200
            and record.json["messages"][0]["content"] == text
            for record in self.emulator.requests
        )

    def seconds_left(self, upstream_id: str) -> float:
        """Return how long a binding lives; what is gone has nothing left."""
        entry = self._contexts.get(upstream_id) or self._caches.get(upstream_id)
        return 0.0 if entry is None else max(entry.expires_ns / 1e9 - time.time(), 0.0)

    def has_ended(self, upstream_id: str) -> bool:
        """Tell whether a binding expired or was evicted; not if it was deleted by its owner."""
        if upstream_id in self._account.gone:
            return True
        is_there = upstream_id in self._contexts or upstream_id in self._caches
        return is_there and self.seconds_left(upstream_id) < NEAR_SECONDS

    def evict(self, text: str, dialect: str | None = None) -> None:
        for upstream_id in self.made_from(text):
            self.emulator.expire(upstream_id, dialect=dialect)


# ---------------------------------------------------------------------------- bridges


Break = Callable[[Any], None]
Opened = Callable[[str], grpc.aio.Channel]
"""Opens a channel to an address; it is closed when all is done."""


class AtCommand:
    """Breaks something while a command is on its way to the store."""

    def __init__(self) -> None:
        self._left = 0
        self._is_late = False
        self._break: Break = lambda _: None
        self._broke = asyncio.Event()

    async def reply_to(self, command: Coroutine[Any, Any, Any], bridge: "Bridge") -> Any:
        """Send a command and return its reply; break something meanwhile, if the time has come."""
        self._left -= 1
        if self._left:
            return await command
        if self._is_late:
            with suppress(BridgeError):
                await command
            self._now(bridge)
            raise unavailable()
        reply = asyncio.create_task(command)
        await asyncio.sleep(0)
        self._now(bridge)
        return await reply

    def _now(self, bridge: "Bridge") -> None:
        self._break(bridge)
        self._broke.set()

    async def break_during(
        self, doing: "asyncio.Task[None]", step: During, bridges: Sequence[Any], break_: Break
    ) -> None:
        """Break something during a step, or when all is done."""
        self._left, self._is_late, self._break = step.at + 1, step.is_late, break_
        self._broke.clear()
        broke = asyncio.create_task(self._broke.wait())
        await asyncio.wait([doing, broke], return_when=asyncio.FIRST_COMPLETED)
        if not broke.done():
            self._left = 0
            broke.cancel()
            break_(bridges[0])


class AtMillisecond:
    """Breaks something after a while."""

    async def break_during(
        self, doing: "asyncio.Task[None]", step: During, bridges: Sequence[Any], break_: Break
    ) -> None:
        """Break something during a step, or when all is done."""
        await asyncio.wait([doing], timeout=step.at / 1000)
        break_(bridges[step.at % len(bridges)])


class Mortal:
    """A store as a process has it, which can be no more from one moment to the next."""

    def __init__(
        self, store: Any, bridge: "Bridge", moment: AtCommand, whole: "Mortal | None" = None
    ) -> None:
        self._store = store
        self._bridge = bridge
        self._moment = moment
        self._whole = whole or self
        self._has_died = False
        self.invalidations = store.invalidations

    @property
    def tracked(self) -> "Mortal":
        return Mortal(self._store.tracked, self._bridge, self._moment, self._whole)

    @property
    def _is_dead(self) -> bool:
        return self._whole._has_died

    def die(self) -> None:
        self._has_died = True

    async def execute(self, *command: Any) -> Any:
        return await self._alive(self._store.execute(*command))

    async def execute_each(self, commands: Any) -> Any:
        return await self._alive(self._store.execute_each(commands))

    async def run(self, script: Any, keys: Any, *arguments: Any) -> Any:
        return await self._alive(self._store.run(script, keys, *arguments))

    async def _alive(self, command: Coroutine[Any, Any, Any]) -> Any:
        if self._is_dead:
            command.close()
            raise asyncio.CancelledError
        try:
            return await self._moment.reply_to(command, self._bridge)
        finally:
            if self._is_dead:
                raise asyncio.CancelledError


class Bridge:
    """A bridge in this process. When it dies, its store is gone, and nothing is cleaned up."""

    def __init__(self, run: Callable[[], Any], opened: Opened, moment: AtCommand) -> None:
        self._run = run
        self._opened = opened
        self._moment = moment
        self._stack = AsyncExitStack()
        self._stores: list[Mortal] = []
        self.channel: grpc.aio.Channel | None = None

    async def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @asynccontextmanager
        async def opened(*arguments: Any, **keywords: Any) -> AsyncIterator[Mortal]:
            async with opened_store(*arguments, **keywords) as store:
                self._stores.append(Mortal(store, self, self._moment))
                yield self._stores[-1]

        monkeypatch.setattr(app, "opened_store", opened)
        inner = await self._stack.enter_async_context(self._run())
        self.channel = self._opened(inner.address)

    def die(self) -> None:
        for store in self._stores:
            store.die()

    async def stop(self) -> None:
        await self._stack.aclose()


class ProcessBridge:
    """A bridge that is a process. It dies by kill -9."""

    def __init__(self, run: Callable[[], Any], opened: Opened) -> None:
        self._run = run
        self._opened = opened
        self._stack = ExitStack()
        self._pid = 0
        self.channel: grpc.aio.Channel | None = None

    async def start(self, _: pytest.MonkeyPatch) -> None:
        self._pid, address = await asyncio.to_thread(self._stack.enter_context, self._run())
        self.channel = self._opened(address)

    def die(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)


async def pid_of_valkey(data_dir: Path) -> int:
    """Return the id of the process that is the store of a data directory."""
    reader, writer = await asyncio.open_unix_connection(data_dir / "valkey.sock")
    try:
        writer.write(b"INFO server\r\n")
        await reader.readuntil(b"process_id:")
        return int(await reader.readline())
    finally:
        writer.close()


# ---------------------------------------------------------------------------- the model


@dataclass
class Known:
    """What the owner of a context knows of it.

    Attributes:
        users: What users said, the prefix's own first: `recall turn 1` answers its first.
        least_calls: The calls that were surely counted.
        most_calls: The calls that may have been counted.
        is_inline: Upstream refused to cache it, so that calls bring the prefix along for a while.
        is_dead: It is deleted; or its binding ended, and nothing of it is stored.
    """

    context: pb.Context
    tenant: str
    kind: Kind
    text: str
    recovery: pb.Recovery.ValueType
    is_short: bool
    name: str
    retention: timedelta | None = None
    users: list[str] = field(default_factory=lambda: [OPENING])
    least_calls: int = 0
    most_calls: int = 0
    is_inline: bool = False
    is_dead: bool = False
    is_deleted: bool = False

    @property
    def id(self) -> str:
        return self.context.id

    @property
    def is_restorable(self) -> bool:
        return self.recovery != pb.RECOVERY_NEVER

    def answer(self, words: str, turn: int | None = None) -> str:
        """Return what a model answers to words behind this prefix."""
        users = [*self.users, words]
        if words.startswith("say: "):
            return words.removeprefix("say: ")
        if words.startswith("recall turn "):
            place = int(words.removeprefix("recall turn "))
            return users[place - 1] if place <= len(users) else "There was no such turn."
        said = f'You said: "{words}". The context says: "{self.text[:QUOTED]}".'
        return f"{said} (turn {turn or len(users)})"


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return why a call failed; its status where the bridge said nothing."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            return info.reason.removeprefix("ERROR_REASON_")
    return error.code().name


def turn_in(answer: str) -> int:
    """Return which of the turns an answer says that it is."""
    found = TURN.search(answer)
    assert found is not None, answer
    return int(found[1])


def token_of(tenant: str) -> tuple[str, str]:
    """Return the metadata of a tenant's calls."""
    return "authorization", f"Bearer tok-{tenant}"


def callers_of(tenants: Sequence[str]) -> str:
    """Return a callers file."""
    return "".join(
        f'[[callers]]\nname = "{tenant}"\ntenant = "{tenant}"\n'
        f'token_sha256 = "{hashlib.sha256(f"tok-{tenant}".encode()).hexdigest()}"\n'
        for tenant in tenants
    )


# ---------------------------------------------------------------------------- a run


class Run:
    """Does steps, and compares what is answered with the model."""

    def __init__(
        self,
        upstream: Upstream,
        bridges: Sequence[Bridge | ProcessBridge],
        moment: AtCommand | AtMillisecond,
        data_dir: Path,
        client_of: Callable[..., Any],
        requests: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._upstream = upstream
        self._bridges = bridges
        self._moment = moment
        self._data_dir = data_dir
        self._client_of = client_of
        self._requests = requests
        self._monkeypatch = monkeypatch
        self._known: list[Known] = []
        self._count = 0
        # Bindings that nobody was told of, by their text: calls failed, or a bridge crashed.
        self._unacknowledged: Counter[str] = Counter()
        self._unacknowledged_names: set[str] = set()
        self._breaks: Literal["store", "bridge"] | None = None

    # ---- steps

    async def do(self, steps: Sequence[Any]) -> None:
        """Do steps, and check after each what upstream was asked to make."""
        for step in steps:
            await self._do(step)
            self._check_upstream()
        await self._do(Look())
        for known in self._alive():
            await self._ask(known, [("plain", "chat")])
        self._check_upstream()

    async def _do(self, step: Any) -> None:  # noqa: PLR0912 - a case for each kind of step
        match step:
            case Create():
                await self._create(step)
            case GenerationCall(context, asks):
                if known := self._chosen(context):
                    await self._ask(known, asks)
            case Leave(context, after_ms):
                known = self._chosen(context)
                # Nobody would know whether the prefix went inline.
                if known and not self._upstream.refuses:
                    await self._leave(known, after_ms)
            case Evict(context, dialect):
                self._evict(context, dialect)
            case Lapse():
                await self._lapse()
            case RefuseCaching(refuses):
                self._upstream.refuse(refuses=refuses)
            case Update(context, what):
                if known := self._chosen(context):
                    await self._update(known, what)
            case Delete(context):
                if known := self._chosen(context):
                    await self._check_last(known)
                    await self._delete(known)
                    await self._nothing_is_left(known)
            case Trespass(context, by):
                if known := self._chosen(context):
                    await self._trespass(known, by)
            case Look():
                await self._look()
            case Restart(which):
                await self._restart(which)
            case During():
                await self._during(step)
            case Together(ask, other):
                if known := self._chosen(ask.context):
                    await self._together(known, ask, other)

    def _alive(self) -> list[Known]:
        return [known for known in self._known if not known.is_dead]

    def _chosen(self, index: int) -> Known | None:
        alive = self._alive()
        return alive[index % len(alive)] if alive else None

    def _new(self) -> int:
        self._count += 1
        return self._count

    @property
    def _is_crash(self) -> bool:
        return self._breaks == "bridge"

    # ---- create

    async def _create(self, step: Create) -> None:
        number = self._new()
        text = f"{step.tenant} keeps rule {number} of the house."
        if step.shared is not None:
            # The same for all tenants: what one made, no other may be given.
            text = f"Everybody who asks {step.kind.model} keeps rule {step.shared}."
        request = pb.CreateContextRequest(
            model=step.kind.model,
            messages=[
                pb.ChatMessage(role="system", content=text),
                pb.ChatMessage(role="user", content=OPENING),
            ],
            ttl=SHORT if step.is_short else LONG,
            mode=step.kind.mode,
            display_name=f"{step.tenant} {number}",
            idempotency_key=f"{number}" if step.times else "",
            reuse=pb.REUSE_NEVER if step.shared is None else pb.REUSE_IDENTICAL,
            recovery=step.recovery,
        )
        # A bridge that crashes may have made one that no other knows of.
        self._unacknowledged[text] += self._is_crash
        self._unacknowledged_names.add(request.display_name)
        refused = self._upstream.refuses and step.kind.model == GEMINI
        once = [self._created(step.tenant, request, refused) for _ in range(step.times or 1)]
        answers = [answer for answer in await asyncio.gather(*once) if answer is not None]
        if not answers:
            # Upstream may have been paid all the same; with a request id, it was asked again.
            self._unacknowledged[text] += 0 if refused else 1
            return
        assert len({answer.context.id for answer in answers}) == 1
        self._keep(step, text, request, answers[0])

    async def _created(
        self, tenant: str, request: pb.CreateContextRequest, refused: bool
    ) -> pb.CreateContextResponse | None:
        try:
            begin = self._insist if request.idempotency_key else self._call
            return await begin(tenant, "CreateContext", request)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) in self._excuses():
                assert not request.idempotency_key
                return None
            # One that is reused need not be cached again.
            assert refused, reason_of(error)
            assert reason_of(error) == "CACHE_TOO_SMALL"
            return None

    def _keep(
        self,
        step: Create,
        text: str,
        request: pb.CreateContextRequest,
        answer: pb.CreateContextResponse,
    ) -> None:
        context = answer.context
        same = [known for known in self._known if known.id == context.id]
        if same:
            (known,) = same
            assert answer.reused
            assert (known.tenant, known.kind, known.text) == (step.tenant, step.kind, text)
            assert not known.is_dead
            assert known.users == [OPENING] or not known.kind.is_session
            known.is_short = known.is_short and step.is_short
            return
        if answer.reused:
            # One whose making was not acknowledged.
            assert context.display_name in self._unacknowledged_names
            assert context.display_name.startswith(f"{step.tenant} ")
            self._unacknowledged[text] -= 1
        recovery = step.recovery or pb.RECOVERY_RESTORE_OR_INLINE
        name = context.display_name if answer.reused else request.display_name
        self._known.append(
            Known(context, step.tenant, step.kind, text, recovery, step.is_short, name)
        )
        if not self._is_crash:
            self._unacknowledged_names.discard(request.display_name)

    # ---- ask

    async def _ask(self, known: Known, asks: Sequence[tuple[Words, Way]]) -> None:
        began = time.time()
        left = None if self._breaks is not None else await self._seconds_left(known)
        # The answers to plain words tell in which order a session took them.
        is_mixed = len(asks) == 1 or not known.kind.is_session
        words = [self._words(kind if is_mixed else "plain", known) for kind, _ in asks]
        told = await self._answers(known, words, asks)
        is_near = left is not None and 0 < left < time.time() - began + NEAR_SECONDS
        self._check_outcomes(known, told, left, is_near=is_near)
        self._take(known, words, told)
        lost = [text for text, one in zip(words, told, strict=True) if isinstance(one, str)]
        if lost and self._is_crash:
            await self._find_out(known, lost)

    def _words(self, kind: Words, known: Known) -> str:
        number = self._new()
        if kind == "say":
            return f"say: I am {number}."
        if kind == "recall":
            return f"recall turn {1 + number % (len(known.users) + 2)}"
        return f"This is {number}."

    async def _answers(
        self, known: Known, words: Sequence[str], asks: Sequence[tuple[Words, Way]]
    ) -> list[Any]:
        pairs = zip(words, asks, strict=True)
        return await asyncio.gather(*(self._answer(known, text, way) for text, (_, way) in pairs))

    async def _answer(self, known: Known, words: str, way: Way = "chat") -> Any:
        """Ask for an answer; return it, or the reason why there was none."""
        if known.kind.model != GEMINI and "generate" in way:
            way = "chat"
        fields = {"model": known.kind.model + SLOW} if way == "slow stream" else {}
        client = self._client(known.tenant)
        try:
            return await client.ask(way.removeprefix("slow "), known.context, words, **fields)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)

    def _check_outcomes(
        self, known: Known, told: Sequence[Any], left: float | None, *, is_near: bool
    ) -> None:
        """Check what became of the context; exactly so where nothing broke.

        Args:
            known: The context.
            told: Answers, and reasons why there were none.
            left: How long its binding lived when it was asked; None where something broke.
            is_near: It may have ended before all was answered.
        """
        outcomes = [one.context for one in told if not isinstance(one, str)]
        reasons = {one for one in told if isinstance(one, str)}
        assert all(outcome.id == known.id for outcome in outcomes)
        if left is None:
            refusals = {"CACHE_TOO_SMALL"} if self._upstream.refuses else set()
            gone = set() if known.is_restorable else GONE
            assert reasons <= self._excuses() | refusals | gone, reasons
            known.is_inline = known.is_inline or any(outcome.inlined for outcome in outcomes)
            return
        refused = self._upstream.refuses and known.kind.model == GEMINI
        if is_near:
            assert reasons <= GONE | {"CACHE_TOO_SMALL"}, reasons
        elif not known.is_restorable:
            assert reasons <= (GONE if left == 0 else set()), reasons
            assert bool(outcomes) == (left > 0)
        elif known.is_inline or (left == 0 and refused):
            is_inline = known.recovery == pb.RECOVERY_RESTORE_OR_INLINE
            assert reasons == (set() if is_inline else {"CACHE_TOO_SMALL"}), reasons
            assert all(outcome.inlined for outcome in outcomes)
        else:
            assert not reasons, reasons
            assert any(outcome.restored for outcome in outcomes) == (left == 0)
            assert not any(outcome.inlined for outcome in outcomes)
        known.is_inline = any(outcome.inlined for outcome in outcomes)
        known.is_dead = not known.is_restorable and bool(reasons)

    def _take(self, known: Known, words: Sequence[str], told: Sequence[Any]) -> None:
        """Check the answers' texts, and take what they tell into the model."""
        pairs = zip(words, told, strict=True)
        answered = [(text, one.text) for text, one in pairs if not isinstance(one, str)]
        known.most_calls += len(words)
        if self._breaks is None or known.kind.is_session:
            known.least_calls += len(answered)
        if not known.kind.is_session or len(words) == 1:
            for text, answer in answered:
                assert answer == known.answer(text)
            known.users += [text for text, _ in answered] if known.kind.is_session else []
            return
        turns = {turn_in(answer): text for text, answer in answered}
        assert len(turns) == len(answered)
        for text, answer in answered:
            assert answer == known.answer(text, turn_in(answer))
        first = len(known.users) + 1
        last = max(turns, default=len(known.users))
        assert self._is_crash or sorted(turns) == list(range(first, last + 1))
        # A turn in between is one whose answer was lost; who asked does not know yet which.
        known.users += [turns.get(turn, "") for turn in range(first, last + 1)]

    async def _find_out(self, known: Known, lost: Sequence[str]) -> None:
        """Ask a session which of the turns it has whose answers were lost.

        The binding is dropped first: upstream may know of a turn that the bridge never heard of.
        """
        if not known.kind.is_session or known.is_dead:
            return
        if not known.is_restorable:
            known.is_dead = True
            return
        self._upstream.evict(known.text)
        words = self._words("plain", known)
        gained = turn_in(await self._told(known, words)) - 1 - len(known.users)
        known.users += [""] * gained
        unknown = [place for place, text in enumerate(known.users) if not text]
        assert 0 <= gained <= len(lost) - (len(unknown) - gained), "a turn was lost, or made up"
        known.users.append(words)
        left = list(lost)
        for place in unknown:
            recall = f"recall turn {place + 1}"
            known.users[place] = await self._told(known, recall)
            left.remove(known.users[place])
            known.users.append(recall)
        calls = 1 + len(unknown)
        known.least_calls += calls + len(unknown)
        known.most_calls += calls

    async def _told(self, known: Known, words: str) -> str:
        """Return an answer's text once there is one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while isinstance(told := await self._answer(known, words), str):
                # Nothing of it reached upstream.
                assert told in STORE_AWAY | {"UNAVAILABLE"}, told
                await asyncio.sleep(0.05)
        return told.text

    async def _leave(self, known: Known, after_ms: int) -> None:
        words = self._words("plain", known)
        request = self._requests.chatting(known.context, words, model=known.kind.model + SLOW)
        call = self._client(known.tenant).call("ChatWithContext", request)
        await asyncio.sleep(after_ms / 1000)
        call.cancel()
        known.most_calls += 1
        await self._find_out(known, [words])

    # ---- what upstream does

    def _evict(self, index: int | None, dialect: str) -> None:
        known = None if index is None else self._chosen(index)
        if known is None:
            self._upstream.emulator.expire(dialect=dialect)
        else:
            self._upstream.evict(known.text, dialect)

    async def _lapse(self) -> None:
        short = [known for known in self._alive() if known.is_short]
        ids = [id_ for known in short for id_ in self._upstream.made_from(known.text)]
        lefts = [self._upstream.seconds_left(id_) for id_ in ids]
        soon = [left for left in lefts if 0 < left < 2]
        if soon:
            await asyncio.sleep(max(soon) + 0.02)

    async def _seconds_left(self, known: Known) -> float:
        if not known.is_restorable:
            return self._upstream.seconds_left(known.context.upstream_id)
        context = await self._get(known)
        return self._upstream.seconds_left(context.upstream_id)

    # ---- update, delete

    async def _update(self, known: Known, what: str) -> None:
        request = pb.UpdateContextRequest(id=known.id)
        if what == "retention" and not known.is_restorable:
            what = "name"
        if what == "name":
            known.name = request.display_name = f"{known.tenant} {self._new()}"
        elif what == "retention":
            known.retention = LONG + timedelta(seconds=self._new())
            request.retention.FromTimedelta(known.retention)
        else:
            request.ttl.FromTimedelta(SHORT if what == "short ttl" else LONG)
            # Of Ark's kind, it is the next binding's: this one goes on sliding by what it has.
            known.is_short = known.kind.model == GEMINI and what == "short ttl"
        try:
            await self._insist(known.tenant, "UpdateContext", request)
        except grpc.aio.AioRpcError as error:
            assert not known.is_restorable, reason_of(error)
            assert reason_of(error) in GONE
            known.is_dead = True

    async def _check_last(self, known: Known) -> None:
        if self._breaks is None and known.is_restorable:
            self._check_context(known, await self._get(known))

    async def _delete(self, known: Known) -> None:
        request = pb.DeleteContextRequest(id=known.id)
        try:
            await self._insist(known.tenant, "DeleteContext", request)
        except grpc.aio.AioRpcError as error:
            # It was gone already, or the answer to its deletion was lost.
            assert reason_of(error) == "CONTEXT_NOT_FOUND"
            assert self._breaks is not None or not known.is_restorable
        known.is_dead = known.is_deleted = True

    async def _together(self, known: Known, ask: GenerationCall, other: Update | Delete) -> None:
        if not known.is_restorable:
            return
        if isinstance(other, Update):
            # Moving an end may come before or after its use.
            what = "name" if other.what.endswith("ttl") else other.what
            await asyncio.gather(self._ask(known, ask.asks), self._update(known, what))
            return
        words = [self._words("plain", known) for _ in ask.asks]
        told, _ = await asyncio.gather(self._answers(known, words, ask.asks), self._delete(known))
        refusals = {"CACHE_TOO_SMALL"} if self._upstream.refuses else set()
        assert {one for one in told if isinstance(one, str)} <= {"CONTEXT_NOT_FOUND"} | refusals
        await self._nothing_is_left(known)

    async def _nothing_is_left(self, known: Known) -> None:
        """Wait until what was deleted is deleted upstream too, where upstream can."""
        if known.kind.model != GEMINI or self._breaks is not None:
            return
        others = sum(k.text == known.text and not k.is_deleted for k in self._known)
        for _ in range(100 * PATIENCE_SECONDS):
            left = [self._upstream.seconds_left(i) for i in self._upstream.made_from(known.text)]
            if sum(seconds > 0 for seconds in left) <= others + self._unacknowledged[known.text]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a binding is left of a context that was deleted")

    # ---- other tenants

    async def _trespass(self, known: Known, by: int) -> None:
        stranger = TENANTS[(TENANTS.index(known.tenant) + by) % len(TENANTS)]
        update = pb.UpdateContextRequest(id=known.id, display_name="mine")
        deadly = pb.DeleteContextRequest(id=known.id)
        model, ids = known.kind.model, [known.id, known.context.upstream_id]
        tries = [
            ("GetContext", pb.GetContextRequest(id=known.id)),
            ("UpdateContext", update),
            ("DeleteContext", deadly),
            *(("CompleteChatWithContext", self._requests.chatting(i, model=model)) for i in ids),
        ]
        if known.kind.model == GEMINI:
            tries += [("GenerateContent", self._requests.generating(i, model=model)) for i in ids]
        for method, request in tries:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await self._call(stranger, method, request)
            assert raised.value.code() is grpc.StatusCode.NOT_FOUND
            assert reason_of(raised.value) in {"CONTEXT_NOT_FOUND", "CACHE_NOT_FOUND"}
            assert known.tenant not in str(raised.value.details())

    async def _look(self) -> None:
        for tenant in TENANTS:
            await self._check_list(tenant)
        for known in self._known:
            if known.is_deleted:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await self._get(known)
                assert reason_of(raised.value) == "CONTEXT_NOT_FOUND"
            elif known.is_restorable:
                self._check_context(known, await self._get(known))

    async def _check_list(self, tenant: str) -> None:
        listed: list[pb.Context] = []
        request = pb.ListContextsRequest(page_size=2)
        while True:
            page = await self._call(tenant, "ListContexts", request)
            listed += page.contexts
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        ids = [context.id for context in listed]
        assert len(set(ids)) == len(ids)
        created = [context.create_time.ToMilliseconds() for context in listed]
        assert created == sorted(created, reverse=True)
        own = {known.id for known in self._known if known.tenant == tenant}
        there = {known.id for known in self._alive() if known.tenant == tenant}
        deleted = {known.id for known in self._known if known.is_deleted}
        surely = {known.id for known in self._alive() if known.is_restorable} & there
        assert surely <= set(ids), "an acknowledged context is not listed"
        assert not deleted & set(ids), "a deleted context is listed"
        for context in listed:
            if context.id not in own:
                assert context.display_name in self._unacknowledged_names
                assert context.display_name.startswith(f"{tenant} ")

    def _check_context(self, known: Known, context: pb.Context) -> None:
        assert context.display_name == known.name
        assert context.model == known.kind.model
        assert context.recovery == known.recovery
        if known.retention is not None:
            assert context.retention.ToTimedelta() == known.retention
        statistics = context.statistics
        if known.kind.is_session:
            assert statistics.call_count == len(known.users) - 1
        assert known.least_calls <= statistics.call_count <= known.most_calls
        made = len(self._upstream.made_from(known.text))
        assert statistics.restore_count < max(made, 1)
        same = [other for other in self._known if other.text == known.text]
        if not self._unacknowledged[known.text] and same == [known]:
            assert statistics.restore_count == made - 1

    def _check_upstream(self) -> None:
        """Check that no binding was made but for a context, or for a binding that ended."""
        for text in {known.text for known in self._known}:
            made = self._upstream.made_from(text)
            assert len(made) == self._upstream.creates_asked(text)
            ended = sum(self._upstream.has_ended(id_) for id_ in made)
            contexts = sum(known.text == text for known in self._known)
            spare = self._unacknowledged[text]
            assert len(made) <= contexts + ended + spare, (text, made, ended, contexts, spare)

    # ---- crashes

    async def _restart(self, which: Sequence[int]) -> None:
        bridges = {id(b): b for b in (self._bridges[i % len(self._bridges)] for i in which)}
        for bridge in bridges.values():
            await self._stopped(bridge)
        for bridge in bridges.values():
            await bridge.start(self._monkeypatch)
        await self._are_well()

    async def _during(self, step: During) -> None:
        known = None if isinstance(step.step, Create) else self._chosen(step.step.context)
        if known is not None:
            self._unacknowledged[known.text] += step.breaks == "bridge"
        pid = await pid_of_valkey(self._data_dir)
        dead = []

        def break_(bridge: Bridge | ProcessBridge) -> None:
            if step.breaks == "store":
                os.kill(pid, signal.SIGKILL)
            else:
                bridge.die()
                dead.append(bridge)

        self._breaks = step.breaks
        doing = asyncio.create_task(self._do(step.step))
        await self._moment.break_during(doing, step, self._bridges, break_)
        for bridge in dead:
            await self._stopped(bridge)
            await bridge.start(self._monkeypatch)
        await doing
        await self._are_well()

    async def _stopped(self, bridge: Bridge | ProcessBridge) -> None:
        # Its channel stays open, so that calls on it fail and are not cancelled.
        bridge.channel = None
        await bridge.stop()

    async def _are_well(self) -> None:
        """Wait until every bridge has its store again."""
        for bridge in self._bridges:
            client = self._client_of(bridge.channel, token_of(TENANTS[0]))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await self._has_store(client):
                    await asyncio.sleep(0.02)
        self._breaks = None

    async def _has_store(self, client: Any) -> bool:
        try:
            await client.list()
        except grpc.aio.AioRpcError as error:
            assert reason_of(error) in STORE_AWAY, reason_of(error)
            return False
        return True

    def _excuses(self) -> set[str]:
        """Return why calls may fail right now."""
        if self._breaks is None:
            return set()
        return STORE_AWAY if self._breaks == "store" else STORE_AWAY | BRIDGE_AWAY

    # ---- calls

    def _client(self, tenant: str) -> Any:
        """Return a tenant's client of one bridge after the other."""
        there = [bridge for bridge in self._bridges if bridge.channel is not None]
        channel = there[self._new() % len(there)].channel
        return self._client_of(channel, token_of(tenant))

    async def _call(self, tenant: str, method: str, request: Any) -> Any:
        return await self._client(tenant).call(method, request)

    async def _insist(self, tenant: str, method: str, request: Any) -> Any:
        """Make a call again and again until nothing is broken any more."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return await self._call(tenant, method, request)
                except grpc.aio.AioRpcError as error:
                    if reason_of(error) not in self._excuses():
                        raise
                await asyncio.sleep(0.05)

    async def _get(self, known: Known) -> pb.Context:
        return await self._client(known.tenant).get(known.context)


# ---------------------------------------------------------------------------- tests


Running = Callable[[Sequence[Any]], Awaitable[None]]


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """Run the emulator; it takes short lives, and small prefixes unless told otherwise."""
    refusing = {"gemini-": 0}
    config = Config(
        delay=timedelta(milliseconds=3),
        minimum_cache_tokens=refusing,
        context_ttl_range=(SHORT, timedelta(days=7)),
        max_records=100_000,
    )
    async with contextbridge_emulator.serve(config=config) as emulator:
        yield Upstream(emulator, refusing)


@pytest.fixture(name="running")
def running_fixture(
    client_of: Any, requests: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractAsyncContextManager[Run]]:
    """Return what runs two bridges on an empty directory, and yields what does steps on them."""
    # The emulator speaks no TLS, and reading the system's authorities takes a bridge long.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)

    @asynccontextmanager
    async def running(make: Callable[..., Any], moment: Any) -> AsyncIterator[Run]:
        with tempfile.TemporaryDirectory() as directory:
            data_dir, callers = Path(directory) / "data", Path(directory) / "callers.toml"
            callers.write_text(callers_of(TENANTS))
            given = {"upstream_api_key": KEY, "data_dir": data_dir, "callers_file": callers}
            async with running_upstream() as upstream, AsyncExitStack() as stack:

                def opened(address: str) -> grpc.aio.Channel:
                    channel = grpc.aio.insecure_channel(address)
                    stack.push_async_callback(channel.close)
                    return channel

                url = upstream.emulator.url
                bridges = [make(opened, upstream=url, store_fsync=FSYNC, **given) for _ in "12"]
                for bridge in bridges:
                    stack.push_async_callback(bridge.stop)
                    await bridge.start(monkeypatch)
                yield Run(upstream, bridges, moment, data_dir, client_of, requests, monkeypatch)

    return running


@pytest.fixture(name="run_sequence")
def run_sequence_fixture(
    running: Any, bridge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Running:
    """Return what does steps on two bridges in this process."""
    monkeypatch.setattr(families, "ARK", families.Family(SHORT, families.ARK.max_ttl))
    for module in (leases, claims):
        monkeypatch.setattr(module, "LIFE", LEASE)
    # A store that dies again and again is started again at once.
    monkeypatch.setattr(embedded, "STEADY_SECONDS", 0)

    async def run_sequence(steps: Sequence[Any]) -> None:
        moment = AtCommand()

        def make(opened: Opened, **given: Any) -> Bridge:
            return Bridge(partial(bridge, **given), opened, moment)

        async with running(make, moment) as run:
            await run.do(steps)

    return run_sequence


@pytest.fixture(name="run_sequence_on_processes")
def run_sequence_on_processes_fixture(running: Any, serving_process: Callable[..., Any]) -> Running:
    """Return what does steps on two bridges that are processes."""

    def make(opened: Opened, **given: Any) -> ProcessBridge:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        return ProcessBridge(partial(serving_process, *flags), opened)

    async def run_sequence(steps: Sequence[Any]) -> None:
        async with running(make, AtMillisecond()) as run:
            await run.do(steps)

    return run_sequence


@SOME
@given(steps=sequences(with_short_lives=True))
async def test_whatever_happens_each_context_is_what_its_owner_knows(
    steps: list[Any], run_sequence: Running
) -> None:
    # Act and assert
    await run_sequence(steps)


@settings(SOME, max_examples=FEW)
@given(steps=sequences(with_short_lives=False))
async def test_whatever_happens_to_processes_each_context_is_what_its_owner_knows(
    steps: list[Any], run_sequence_on_processes: Running
) -> None:
    # Act and assert
    await run_sequence_on_processes(steps)


EVICTED = Evict(None, "ark")
MADE = Create("acme", CACHE)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(
    "before, step, commands",
    [
        pytest.param([], GenerationCall(0), 6, id="use"),
        pytest.param([EVICTED], GenerationCall(0), 15, id="heal"),
        pytest.param(
            [EVICTED], GenerationCall(1, (("plain", "stream_generate"),)), 13, id="heal a cache"
        ),
        pytest.param([], Create("acme", SESSION, times=1), 12, id="create"),
        pytest.param([], Update(1, "ttl"), 4, id="update"),
        pytest.param([MADE], Delete(2), 4, id="delete"),
    ],
)
async def test_the_store_may_die_at_any_command(
    before: list[Any], step: Any, commands: int, is_late: bool, run_sequence: Running
) -> None:
    # Arrange
    steps: list[Any] = [Create("acme", SESSION), MADE]
    for at in range(commands):
        steps += [*before, During("store", step, at, is_late), GenerationCall(0), GenerationCall(1)]

    # Act and assert
    await run_sequence(steps)


@pytest.mark.parametrize(
    "before, step, ats",
    [
        pytest.param([EVICTED], GenerationCall(0), (6, 9), id="heal"),
        pytest.param([], Create("acme", SESSION, times=1), (1, 6), id="create"),
    ],
)
async def test_a_bridge_may_die_at_any_command(
    before: list[Any], step: Any, ats: Sequence[int], run_sequence: Running
) -> None:
    # Arrange
    steps: list[Any] = [Create("acme", SESSION)]
    for at in ats:
        steps += [*before, During("bridge", step, at), GenerationCall(0)]

    # Act and assert
    await run_sequence(steps)


async def test_a_call_that_began_earlier_and_ends_later_does_not_move_an_end_back(
    gateway: Any, bridge: Callable[..., Any], client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Arrange
    now = datetime.now(UTC)
    monkeypatch.setattr(app, "_now", lambda: now)
    async with bridge(gateway.url) as channel:
        client = client_of(channel)
        context = await client.made(ARK, mode=pb.CONTEXT_MODE_COMMON_PREFIX, ttl=timedelta(hours=1))
        slow = asyncio.create_task(client.stream(context, model=f"{ARK}+pace=0.05"))
        await gateway.wait_for_open(1)
        now += timedelta(minutes=50)
        await client.chat(context)
        await slow

        # Act
        now += timedelta(minutes=20)
        answer = await client.chat(context)

    # Assert
    assert not answer.context.restored
