"""Random interleavings of readers and failures, and a checker of what every reader was told.

An example is drawn from a seed. Callers of two bridges join a few generations by cache key or by
request id, unary or streaming, leave after some event, and resume from either bridge; upstream
fails at some event; and where the example breaks something, the store or a bridge dies in between.
What each call was told is the history. Each word that upstream says tells its generation and its
place, so that nothing can be mixed, repeated or left out unseen.
"""

import asyncio
import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import combinations
from typing import Any, Literal

import grpc
import pytest
from aiohttp import web
from google.rpc import error_details_pb2, status_pb2
from valkey.exceptions import ConnectionError as ValkeyConnectionError

from contextbridge import v1 as pb
from contextbridge_server import app
from contextbridge_server.generations import stored_journals
from contextbridge_server.store import embedded
from contextbridge_server.store.connections import unavailable
from contextbridge_server.store.valkey import opened_store

MORE = int(os.environ.get("CONTEXTBRIDGE_HISTORIES", "0"))
"""Histories for a long search; unset, the same few are drawn each time."""
CALM = range(MORE or 10)
BROKEN = range(MORE or 5)
KILLED = range(MORE // 10 or 2)

MOST_CALLERS = 12
HANGING_SECONDS = 60
MOST_TRIES = 8
USAGE = 1_000
"""Added to a generation's number, it is the number of tokens of its prompt."""

HUNG, LEFT, OK = "HUNG", "left", "OK"
REFUSED = "UPSTREAM_UNAVAILABLE"
BREAKS = {
    "error": "UPSTREAM_INTERNAL",
    "cut": "UPSTREAM_CONNECTION_LOST",
    "truncated": "UPSTREAM_STREAM_TRUNCATED",
}
"""How upstream breaks an answer off, and what the bridge makes of it."""
ABANDONED = {"GENERATION_ABANDONED"}
STORE_AWAY = ABANDONED | {"STORE_UNAVAILABLE", "NOT_RESUMABLE"}
"""What callers may be told when the store dies: what it had not heard of may be gone."""
CUT_OFF = {"UNAVAILABLE", "CANCELLED"}
BRIDGE_AWAY = ABANDONED | CUT_OFF | {"STORE_UNAVAILABLE"}
AGAIN = CUT_OFF | {REFUSED, "STORE_UNAVAILABLE"}
"""What a caller tries again after."""


# ---------------------------------------------------------------------------- histories


@dataclass(frozen=True)
class Told:
    """An event, as a reader was told it.

    Attributes:
        sequence: Its place.
        kind: What it is.
        generation: Which generation it says that it is of; None where it does not say.
        words: The places of the words that it says.
        content: All of it that does not depend on the reader.
    """

    sequence: int
    kind: str
    generation: int | None = None
    words: tuple[int, ...] = ()
    content: bytes = b""


@dataclass
class Reading:
    """One call.

    Attributes:
        caller: Who called.
        topic: What was asked.
        idempotency_key: Its request id, or nothing.
        way: Whether it is a streaming call; a unary one is told its answer in one event.
        before: The events that the caller had, and resumed after.
        events: The events that it was told.
        end: How it ended: OK, left, HUNG, or the reason of its failure.
        refused: The generation that failed before its first event, and failed the call.
        is_resumable: Whether it was told that it can be resumed; None where it was told nothing.
        is_billed: Whether it pays; None where it did not come so far.
    """

    caller: int
    topic: str
    idempotency_key: str
    way: Literal["stream", "unary"]
    bridge: int = 0
    before: tuple[Told, ...] = ()
    events: list[Told] = field(default_factory=list)
    end: str = HUNG
    refused: int | None = None
    is_resumable: bool | None = None
    is_billed: bool | None = None

    @property
    def all(self) -> list[Told]:
        """All that its caller has of its generation."""
        return [*self.before, *self.events]

    @property
    def generation(self) -> int | None:
        """Its generation, by the first event that says."""
        return next((told.generation for told in self.all if told.generation is not None), None)

    @property
    def payer(self) -> str:
        """Who pays, if it pays: a request id pays once."""
        return self.idempotency_key or f"{id(self)}"


@dataclass
class Generation:
    """One request to upstream, and what upstream said.

    Attributes:
        words: How many words it said.
        end: `running`, `whole`, `closed` by the bridge, or the reason that the bridge makes of it.
        began: When, in upstream's own order of things.
        ended: When it was no longer running.
    """

    number: int
    topic: str
    words: int = 0
    end: str = "running"
    began: int = 0
    ended: int | None = None


@dataclass
class History:
    """What happened.

    Attributes:
        readings: The calls.
        generations: The requests to upstream.
        cached: The topics whose calls all use the response cache.
        excuses: Why calls may have failed that upstream has not failed.
    """

    readings: list[Reading] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    cached: set[str] = field(default_factory=set)
    excuses: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        lines = [str(generation) for generation in self.generations]
        for r in self.readings:
            said = " ".join(
                f"{t.sequence}:{t.kind}"
                + (f"@{t.generation}" if t.generation is not None else "")
                + (f"[{t.words[0]}-{t.words[-1]}]" if t.words else "")
                for t in r.events
            )
            lines.append(
                f"caller {r.caller} {r.topic} id={r.idempotency_key!r} {r.way} bridge {r.bridge} "
                f"after {len(r.before)}: {said} => {r.end}"
                + (f" (of {r.refused})" if r.refused is not None else "")
                + (" resumable" if r.is_resumable else "")
                + (" billed" if r.is_billed else "")
            )
        return "\n".join(lines)


# ---------------------------------------------------------------------------- the checker


def violations(history: History) -> Iterator[str]:
    """Yield what is wrong with a history, a sentence each."""
    for reading in history.readings:
        for wrong in wrong_with(reading, history):
            yield f"caller {reading.caller}, {reading.way}: {wrong}"
    yield from wrong_between(history)
    yield from wrong_upstream(history)


def wrong_with(reading: Reading, history: History) -> Iterator[str]:
    """Yield what is wrong with a call by itself."""
    yield from wrong_end(reading, history)
    told = reading.all
    if reading.way == "stream":
        if [t.sequence for t in told] != list(range(1, len(told) + 1)):
            yield "sequences have a gap or a repeat"
        if any((t.kind == "started") != (t.sequence == 1) for t in told):
            yield "`started` is the first event, and no other"
    if len({t.generation for t in told} - {None}) > 1:
        yield "two generations in one sequence"
    words = [word for t in told for word in t.words]
    if words != list(range(len(words))):
        yield "words are missing, or are there twice"
    if reading.generation is None:
        return
    generation = history.generations[reading.generation]
    if generation.topic != reading.topic:
        yield "the answer to another question"
    if len(words) > generation.words:
        yield "words that upstream has not said"
    if reading.end == OK and (generation.end, len(words)) != ("whole", generation.words):
        yield "OK, but the answer is not whole"


def wrong_end(reading: Reading, history: History) -> Iterator[str]:
    """Yield what is wrong with how a call ended."""
    kinds = [told.kind for told in reading.all]
    if reading.end == OK and kinds[-1:] != ["completed"]:
        yield f"OK after {kinds[-1:]}"
    if any(told.kind == "completed" for told in reading.events):
        # A bridge that dies may take the status along, but makes no other of it.
        last = {OK, LEFT, *(history.excuses & CUT_OFF)}
        if reading.end not in last:
            yield f"ended with {reading.end} after `completed`"
    if kinds.count("completed") > 1 or "completed" in kinds[:-1]:
        yield "`completed` is not the last event"
    allowed = {OK, LEFT, *history.excuses}
    if reading.refused is not None and not reading.all:
        allowed.add(REFUSED)
    if reading.generation is not None:
        allowed.add(history.generations[reading.generation].end)
    elif not reading.events:
        # A unary call is told nothing of the generation that failed.
        allowed |= {g.end for g in history.generations if g.topic == reading.topic}
    if reading.end not in allowed - {"running", "closed", "whole"}:
        yield f"ended with {reading.end}"


def wrong_between(history: History) -> Iterator[str]:
    """Yield what is wrong with calls when they are compared."""
    by_generation: defaultdict[int, list[Reading]] = defaultdict(list)
    by_id: defaultdict[str, set[int]] = defaultdict(set)
    for reading in history.readings:
        if reading.generation is None:
            continue
        by_generation[reading.generation].append(reading)
        if reading.idempotency_key and reading.is_resumable:
            by_id[reading.idempotency_key].add(reading.generation)
    for id_, numbers in by_id.items():
        if len(numbers) > 1:
            yield f"request id {id_} names generations {sorted(numbers)}"
    for number, readings in by_generation.items():
        streams = [reading for reading in readings if reading.way == "stream"]
        contents: defaultdict[int, set[bytes]] = defaultdict(set)
        for told in (told for reading in streams for told in reading.events):
            contents[told.sequence].add(told.content)
        if any(len(same) > 1 for same in contents.values()):
            yield f"generation {number}: events differ at one sequence"
        if len({len(reading.all) for reading in streams if reading.end == OK}) > 1:
            yield f"generation {number}: whole answers of several lengths"
        if len({reading.payer for reading in readings if reading.is_billed}) > 1:
            yield f"generation {number}: billed twice"
        if history.excuses:
            continue
        ends = {r.end for r in readings if r.end != LEFT}
        lengths = {len(r.all) for r in streams if r.end != LEFT}
        if len(ends) > 1 or len(lengths) > 1:
            yield f"generation {number}: ends differ: {sorted(ends)}, at {sorted(lengths)}"


def wrong_upstream(history: History) -> Iterator[str]:
    """Yield what is wrong with the requests to upstream."""
    kept = [generation for generation in history.generations if generation.end != "closed"]
    if len(kept) > len(history.readings):
        yield "more requests than calls"
    if any(generation.end == "running" for generation in kept):
        yield "a request that nobody reads runs on"
    if history.excuses:
        return
    for number in {r.refused for r in history.readings if r.refused is not None}:
        if sum(r.refused == number for r in history.readings) > 1:
            yield f"the failure of generation {number} was told to several callers"
    for topic in history.cached:
        of_topic = [g for g in history.generations if g.topic == topic]
        for one, later in combinations([g for g in of_topic if is_told(g, history)], 2):
            if one.ended is None or one.ended > later.began:
                yield f"{topic}: {one.number} and {later.number} at once"
        whole = [g.number for g in of_topic if g.end == "whole" and is_told(g, history)]
        if whole and of_topic[-1].number > whole[0]:
            yield f"{topic}: asked again though {whole[0]} is whole"


def is_told(generation: Generation, history: History) -> bool:
    """Tell whether any caller was told how a generation ended; if all left, it need not matter."""
    return any(
        generation.number in (reading.refused, reading.generation) and reading.end != LEFT
        for reading in history.readings
    )


# ---------------------------------------------------------------------------- upstream


@dataclass(frozen=True)
class Fate:
    """What becomes of a request to upstream.

    Attributes:
        words: How many words it says before it ends.
        end: `whole`, `refused`, or one of BREAKS.
        pause: The longest pause before a word.
    """

    words: int
    end: str
    pause: float


class Upstream:
    """An upstream that says what the plan has it say.

    Args:
        fates: Those of the requests of each topic, in order; the last is that of all after it.
        seed: Decides how long the pauses are.
    """

    def __init__(self, fates: dict[str, list[Fate]], seed: int) -> None:
        self.generations: list[Generation] = []
        self._fates = fates
        self._random = random.Random(seed)
        self._clock = 0

    async def answer(self, _path: str, body: bytes) -> web.Response:
        """Answer a request."""
        asked = json.loads(body)
        topic = asked["messages"][-1]["content"]
        fates = self._fates[topic]
        fate = fates[min(sum(g.topic == topic for g in self.generations), len(fates) - 1)]
        generation = Generation(len(self.generations), topic, began=self._tick())
        self.generations.append(generation)
        with self._ending(generation):
            await asyncio.sleep(self._random.uniform(0, fate.pause))
            is_stream = asked.get("stream", False)
            if fate.end == "refused" or (fate.end in BREAKS and not is_stream):
                generation.end = "refused"
                error = {"message": f"refused {generation.number}", "type": "", "code": "x"}
                return web.json_response({"error": error}, status=503)
            if not is_stream:
                # A bridge that has lost its store asks for a whole answer as it is asked for it.
                generation.words, generation.end = fate.words, "whole"
                said = "".join(f"{generation.number}.{word} " for word in range(fate.words))
                message = {"role": "assistant", "content": said}
                return web.json_response(_body(generation, message=message, finish_reason="stop"))
        kind = {"Content-Type": "text/event-stream"}
        # Unless the stream is begun, which the bridge may leave too soon for.
        generation.end = "closed"
        return web.Response(body=self._stream(generation, fate), headers=kind)

    async def _stream(self, generation: Generation, fate: Fate) -> AsyncIterator[bytes]:
        generation.end, generation.ended = "running", None
        with self._ending(generation):
            yield self._chunk(generation, delta={"role": "assistant", "content": ""})
            for word in range(fate.words):
                generation.words += 1
                yield self._chunk(generation, delta={"content": f"{generation.number}.{word} "})
                await asyncio.sleep(self._random.uniform(0, fate.pause))
            generation.end = BREAKS.get(fate.end, fate.end)
            if fate.end == "cut":
                raise ConnectionResetError
            if fate.end == "error":
                error = {"message": "upstream closed", "type": "upstream_error", "code": "bad"}
                yield b"data: %b\n\n" % json.dumps({"error": error}).encode()
            if fate.end == "whole":
                yield self._chunk(generation, delta={}, finish_reason="stop")
                yield b"data: [DONE]\n\n"

    def _ending(self, generation: Generation) -> Any:
        return _Ending(generation, self._tick)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    @staticmethod
    def _chunk(generation: Generation, **choice: Any) -> bytes:
        return b"data: %b\n\n" % json.dumps(_body(generation, **choice)).encode()


def _body(generation: Generation, **choice: Any) -> dict[str, Any]:
    tokens = {"prompt_tokens": USAGE + generation.number, "completion_tokens": generation.words}
    return {
        "id": f"answer-{generation.number}",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": None} | choice],
        "usage": tokens if "finish_reason" in choice else None,
    }


class _Ending:
    """Notes when a request ends, and that the bridge ended it if it did."""

    def __init__(self, generation: Generation, tick: Callable[[], int]) -> None:
        self._generation = generation
        self._tick = tick

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind in (asyncio.CancelledError, GeneratorExit) and self._generation.end == "running":
            self._generation.end = "closed"
        self._generation.ended = self._tick()


# ---------------------------------------------------------------------------- plans


@dataclass(frozen=True)
class Visit:
    """A call that a caller makes.

    Attributes:
        bridge: Of which bridge.
        pause: How long the caller waits before.
        way: How it calls.
        leaves_after: It leaves after so many events, or this part of a second where it is unary;
            None for never.
    """

    bridge: int
    pause: float
    way: Literal["stream", "unary"]
    leaves_after: int | None


@dataclass(frozen=True)
class Plan:
    """An example.

    Attributes:
        fates: Those of upstream's requests, by topic.
        callers: Topic, request id and visits of each.
        breaks: Seconds, and what dies then: the store or a bridge.
    """

    seed: int
    fates: dict[str, list[Fate]]
    callers: list[tuple[str, str, list[Visit]]]
    breaks: list[tuple[float, int | Literal["store"]]]


TOPICS = ("cached", "cached too", "named")
"""The calls of the last use no response cache, but have request ids."""


def planned(seed: int, *, breaks: Sequence[int | Literal["store"]] = ()) -> Plan:
    """Draw a plan."""
    r = random.Random(seed)
    pauses = [0, 0.004, 0.02, 0.1] if not breaks else [0.02, 0.08]
    away = [0, 0.1, 0.1, 0.8]

    def fate() -> Fate:
        end = r.choice(["whole", "whole", "refused", *BREAKS])
        return Fate(r.randint(0 if end in BREAKS else 1, 14), end, r.choice(pauses))

    def visit() -> Visit:
        leaves = r.choice([None, r.randint(0, 8)])
        return Visit(r.randrange(2), r.uniform(0, r.choice(away)), r.choice(WAYS_OFTEN), leaves)

    def caller() -> tuple[str, str, list[Visit]]:
        topic = r.choice(TOPICS)
        ids = ["a", "b"] if topic == "named" else ["", "", "a", "b"]
        letter = r.choice(ids)
        visits = [visit() for _ in range(r.randint(1, 4))]
        return topic, f"{topic} {letter}" if letter else "", visits

    fates = {}
    for topic in TOPICS:
        last = Fate(r.randint(6, 14), "whole", r.choice(pauses))
        fates[topic] = [*(fate() for _ in range(r.randint(0, 3))), last]
    at = [(r.uniform(0, 0.6), r.choice(breaks)) for _ in range(r.randint(1, 3) if breaks else 0)]
    callers = [caller() for _ in range(r.randint(2, MOST_CALLERS))]
    return Plan(seed, fates, callers, sorted(at, key=lambda b: b[0]))


WAYS_OFTEN: tuple[Literal["stream", "unary"], ...] = ("stream", "stream", "stream", "unary")


# ---------------------------------------------------------------------------- a run


class Run:
    """Does what a plan says, and writes the history."""

    def __init__(self, plan: Plan, bridges: Sequence[Any], requests: Any) -> None:
        self.history = History(cached=set(TOPICS[:2]))
        self._plan = plan
        self._bridges = bridges
        self._requests = requests
        self._random = random.Random(plan.seed)

    async def callers(self) -> None:
        """Have all callers make their calls."""
        await asyncio.gather(
            *(self._caller(number, *caller) for number, caller in enumerate(self._plan.callers))
        )

    async def _caller(
        self, number: int, topic: str, idempotency_key: str, visits: Sequence[Visit]
    ) -> None:
        has: tuple[Told, ...] = ()
        last = replace(visits[-1], pause=0, way="stream", leaves_after=None)
        for visit in (*visits, *[last] * MOST_TRIES):
            await asyncio.sleep(visit.pause)
            reading = Reading(number, topic, idempotency_key, visit.way, visit.bridge)
            if visit.way == "stream":
                reading.before = has
            await self._read(reading, visit)
            if visit.way == "stream":
                # What cannot be resumed is begun again.
                has = tuple(reading.all) if idempotency_key and reading.is_resumable else ()
            if reading.end == OK and idempotency_key and has:
                await self._once_more(reading, has)
            if reading.end == HUNG or (visit is last and reading.end not in AGAIN):
                return
            if visit is last:
                await asyncio.sleep(0.1)

    async def _once_more(self, reading: Reading, has: tuple[Told, ...]) -> None:
        """Resume what is whole, at any place."""
        after = self._random.randint(0, len(has) - 1)
        bridge = self._random.randrange(2)
        again = replace(reading, before=has[:after], events=[], end=HUNG, bridge=bridge)
        await self._read(again, Visit(bridge, 0, "stream", None))

    async def _read(self, reading: Reading, visit: Visit) -> None:
        self.history.readings.append(reading)
        reading.is_resumable = True if reading.before else None
        try:
            async with asyncio.timeout(HANGING_SECONDS):
                if visit.way == "stream":
                    await self._stream(reading, visit)
                else:
                    await self._whole(reading, visit)
        except TimeoutError:
            reading.end = HUNG
        except grpc.aio.AioRpcError as error:
            self._note_failure(reading, error)
        except grpc.aio.UsageError:
            # The channel of a bridge that has died.
            reading.end = "UNAVAILABLE"

    async def _stream(self, reading: Reading, visit: Visit) -> None:
        call = await self._call("ChatWithContext", reading)
        try:
            if visit.leaves_after == 0:
                # Somewhere in the midst of joining.
                await asyncio.sleep(visit.pause / 10)
                reading.end = LEFT
                return
            async for event in call:
                reading.events.append(self._told(event, reading))
                if len(reading.events) == visit.leaves_after:
                    reading.end = LEFT
                    return
            reading.end = OK
        except asyncio.CancelledError:
            reading.end = "CANCELLED"
            _unless_cancelled()
        finally:
            call.cancel()

    async def _whole(self, reading: Reading, visit: Visit) -> None:
        call = await self._call("CompleteChatWithContext", reading)
        seconds = None if visit.leaves_after is None else visit.leaves_after / 100
        try:
            async with asyncio.timeout(seconds):
                answer = await call
        except TimeoutError:
            reading.end = LEFT
        except asyncio.CancelledError:
            reading.end = "CANCELLED"
            _unless_cancelled()
        else:
            told = Told(
                1,
                "completed",
                answer.usage.prompt_tokens - USAGE,
                _words(answer.choices[0].message.content, answer.usage.prompt_tokens - USAGE),
            )
            reading.events.append(told)
            reading.is_billed = answer.billed_usage.prompt_tokens > 0
            reading.end = OK
        finally:
            call.cancel()

    async def _call(self, method: str, reading: Reading) -> Any:
        fields: dict[str, Any] = {}
        if reading.topic in self.history.cached:
            fields["response_cache"] = pb.ResponseCachePolicy(enabled=True)
        request = self._requests.chatting(
            "ctx-raw",
            reading.topic,
            model="m",
            idempotency_key=reading.idempotency_key,
            resume_after=len(reading.before),
            **fields,
        )
        async with asyncio.timeout(HANGING_SECONDS):
            client = await self._bridges[reading.bridge].client()
        return client.call(method, request)

    def _told(self, event: pb.ChatWithContextResponse, reading: Reading) -> Told:
        kind = event.WhichOneof("event") or ""
        generation, words = None, ()
        same = pb.ChatWithContextResponse()
        same.CopyFrom(event)
        match kind:
            case "started":
                reading.is_resumable = event.started.resumable
                generation = int(event.started.id.removeprefix("answer-"))
                same.started.ClearField("resumable")
            case "content":
                generation = int(event.content.text.partition(".")[0])
                words = _words(event.content.text, generation)
            case "completed":
                reading.is_billed = event.completed.billed_usage.prompt_tokens > 0
                generation = event.completed.usage.prompt_tokens - USAGE
                for name in ("response_cache", "billed_usage", "context"):
                    same.completed.ClearField(name)
        content = same.SerializeToString(deterministic=True)
        return Told(event.sequence, kind, generation, words, content)

    def _note_failure(self, reading: Reading, error: grpc.aio.AioRpcError) -> None:
        info = error_details_pb2.ErrorInfo()
        packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        for detail in status_pb2.Status.FromString(packed).details:
            detail.Unpack(info)
        reading.end = info.reason.removeprefix("ERROR_REASON_") or error.code().name
        message = info.metadata.get("upstreamMessage", "")
        if message.startswith("refused "):
            reading.refused = int(message.removeprefix("refused "))


def _words(text: str, generation: int) -> tuple[int, ...]:
    """Return the places of words; a word of another generation has none that fits."""
    parts = [word.split(".") for word in text.split()]
    return tuple(int(n) if int(g) == generation else -1 for g, n in parts)


def _unless_cancelled() -> None:
    """Go on after a call that gRPC has cancelled, not where this task is."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


# ---------------------------------------------------------------------------- bridges


class Mortal:
    """A store that a bridge can lose from one moment to the next, for ever."""

    def __init__(self, store: Any, whole: "Mortal | None" = None) -> None:
        self._whole = whole or self
        self._is_lost = False
        self._store = store
        self.invalidations = store.invalidations

    @property
    def tracked(self) -> "Mortal":
        return Mortal(self._store.tracked, self._whole)

    @property
    def is_lost(self) -> bool:
        return self._whole._is_lost

    @is_lost.setter
    def is_lost(self, value: bool) -> None:
        self._whole._is_lost = value

    async def execute(self, *command: Any) -> Any:
        return await self._kept(lambda: self._store.execute(*command))

    async def execute_each(self, commands: Any) -> Any:
        return await self._kept(lambda: self._store.execute_each(commands))

    async def run(self, script: Any, keys: Any, *arguments: Any) -> Any:
        return await self._kept(lambda: self._store.run(script, keys, *arguments))

    async def _kept(self, command: Callable[[], Any]) -> Any:
        if self.is_lost:
            raise unavailable()
        reply = await command()
        if self.is_lost:
            raise unavailable()
        return reply


class Bridge:
    """A bridge in this process. When it dies it loses its store first, and its callers then."""

    def __init__(self, run: Callable[[], Any], client_of: Any, patching: Any) -> None:
        self._run = run
        self._client_of = client_of
        self._patching = patching
        self._stack = AsyncExitStack()
        self._stores: list[Mortal] = []
        self._client: Any = None
        self._is_up = asyncio.Event()

    async def start(self) -> None:
        @asynccontextmanager
        async def opened(*arguments: Any, **keywords: Any) -> AsyncIterator[Mortal]:
            async with opened_store(*arguments, **keywords) as store:
                self._stores.append(Mortal(store))
                yield self._stores[-1]

        self._patching.setattr(app, "opened_store", opened)
        channel = await self._stack.enter_async_context(self._run())
        # One that its bridge does not close, so that calls on it fail and are not cancelled.
        own = grpc.aio.insecure_channel(channel.address)
        self._client = self._client_of(own)
        self._is_up.set()

    async def client(self) -> Any:
        await self._is_up.wait()
        return self._client

    async def die(self) -> None:
        self._is_up.clear()
        for store in self._stores:
            store.is_lost = True
        await self.stop()

    async def stop(self) -> None:
        await self._stack.aclose()


class ProcessBridge:
    """A bridge that is a process. It dies by kill -9."""

    def __init__(self, run: Callable[[], Any], client_of: Any) -> None:
        self._run = run
        self._client_of = client_of
        self._stack = ExitStack()
        self._client: Any = None
        self._pid = 0
        self._is_up = asyncio.Event()

    async def start(self) -> None:
        self._pid, address = await asyncio.to_thread(self._stack.enter_context, self._run())
        self._client = self._client_of(grpc.aio.insecure_channel(address))
        self._is_up.set()

    async def client(self) -> Any:
        await self._is_up.wait()
        return self._client

    async def die(self) -> None:
        self._is_up.clear()
        os.kill(self._pid, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)


SETTINGS = {
    "upstream_api_key": "sk-test",
    "retry_max_attempts": 1,
    "drain_grace": "0s",
}


async def pid_of(engine: Any) -> int:
    """Return the id of the store's process, once it is there."""
    async with asyncio.timeout(HANGING_SECONDS):
        while True:
            with suppress(ValkeyConnectionError):
                (info,) = await engine.each("INFO", "server")
                return int(info["process_id"])
            await asyncio.sleep(0.01)


async def ran(
    plan: Plan, bridges: Sequence[Any], engine: Any, between: Any, requests: Any
) -> History:
    """Do what a plan says on two bridges, and return the history."""
    upstream = Upstream(plan.fates, plan.seed)
    between.rule = upstream.answer
    async with AsyncExitStack() as stack:
        for bridge in bridges:
            stack.push_async_callback(bridge.stop)
        await asyncio.gather(*(bridge.start() for bridge in bridges))
        run = Run(plan, bridges, requests)
        run.history.generations = upstream.generations

        async def break_things() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for seconds, what in plan.breaks:
                await asyncio.sleep(max(began + seconds - loop.time(), 0))
                if what == "store":
                    run.history.excuses |= STORE_AWAY
                    os.kill(await pid_of(engine), signal.SIGKILL)
                else:
                    run.history.excuses |= BRIDGE_AWAY
                    await bridges[what].die()
                    await bridges[what].start()

        breaking = asyncio.create_task(break_things())
        try:
            await run.callers()
            await breaking
            # What nobody reads is ended once its grace is over.
            with suppress(TimeoutError):
                async with asyncio.timeout(HANGING_SECONDS):
                    while any(g.end == "running" for g in upstream.generations):
                        await asyncio.sleep(0.05)
        finally:
            breaking.cancel()
    return run.history


def check(history: History, plan: Plan) -> None:
    """Fail where a history is not as it must be."""
    wrong = list(violations(history))
    assert not wrong, "\n".join([*wrong, "", str(plan), "", str(history)])


@pytest.mark.parametrize("engine", ["cluster"], indirect=True)
@pytest.mark.parametrize("seed", CALM)
async def test_each_reader_is_told_one_sequence(
    seed, engine, between, bridge, requests, client_of, monkeypatch
):
    plan = planned(seed)
    run = partial(bridge, between.url, store=engine.url, **SETTINGS)
    bridges = [Bridge(run, client_of, monkeypatch) for _ in range(2)]

    history = await ran(plan, bridges, engine, between, requests)

    check(history, plan)


@pytest.mark.parametrize("seed", BROKEN)
async def test_each_reader_is_told_one_sequence_whatever_dies(
    seed, running, between, bridge, requests, client_of, monkeypatch
):
    # So that what dies is given up soon, and the store is there again at once.
    monkeypatch.setattr(stored_journals, "ALIVE", timedelta(seconds=2))
    monkeypatch.setattr(embedded, "STEADY_SECONDS", 0)
    plan = planned(seed, breaks=["store", "store", 0, 1])
    async with running["embedded"]() as engine:
        run = partial(bridge, between.url, store=engine.url, **SETTINGS)
        bridges = [Bridge(run, client_of, monkeypatch) for _ in range(2)]

        history = await ran(plan, bridges, engine, between, requests)

    check(history, plan)


@pytest.mark.parametrize("engine", ["shared"], indirect=True)
@pytest.mark.parametrize("seed", KILLED)
async def test_each_reader_is_told_one_sequence_whichever_process_is_killed(
    seed, engine, between, serving_process, requests, client_of
):
    plan = planned(seed, breaks=[0, 1])
    given = {"upstream": between.url, "store": engine.url, **SETTINGS}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    bridges = [ProcessBridge(partial(serving_process, *flags), client_of) for _ in range(2)]

    history = await ran(plan, bridges, engine, between, requests)

    check(history, plan)


# ---------------------------------------------------------------------------- the checker itself


def told(*sequences: int, generation: int = 0, length: int = 6) -> list[Told]:
    """Return events of an answer that has so many, a word each but the first and the last."""
    events = []
    for place in sequences:
        kind = {1: "started", length: "completed"}.get(place, "content")
        words = (place - 2,) if kind == "content" else ()
        content = f"{generation} {place}".encode()
        events.append(Told(place, kind, generation, words, content))
    return events


def good() -> History:
    """Return a history in which all is well: one generation of four words, and four readings."""
    first = Reading(0, "cached", "a", "stream", events=told(1, 2, 3), end=LEFT, is_resumable=True)
    rest = Reading(0, "cached", "a", "stream", end=OK, is_resumable=True, is_billed=True)
    rest.before, rest.events = tuple(first.events), told(4, 5, 6)
    joined = Reading(1, "cached", "", "stream", events=told(1, 2, 3, 4, 5, 6), end=OK)
    whole = Told(1, "completed", 0, (0, 1, 2, 3))
    unary = Reading(2, "cached", "", "unary", events=[whole], end=OK, is_billed=False)
    generation = Generation(0, "cached", words=4, end="whole", began=1, ended=2)
    return History([first, rest, joined, unary], [generation], cached={"cached"})


def failed() -> History:
    """Return a history in which all is well, though upstream failed after two words."""
    ends = {"end": "UPSTREAM_CONNECTION_LOST"}
    readings = [
        Reading(number, "cached", "", "stream", events=told(1, 2, 3), **ends) for number in range(2)
    ]
    readings.append(Reading(2, "cached", "", "stream", end=REFUSED, refused=1))
    generations = [
        Generation(0, "cached", words=2, began=1, ended=2, **ends),
        Generation(1, "cached", end="refused", began=3, ended=4),
    ]
    return History(readings, generations, cached={"cached"})


def another(history: History, **fields: Any) -> None:
    """Let upstream have been asked once more, for the same."""
    given = {"topic": "cached", "words": 4, "end": "whole", "began": 7, "ended": 8} | fields
    history.generations.append(Generation(len(history.generations), **given))


def another_whole(history: History, *, allowed: bool = True) -> None:
    """Let it have been asked once more, and let that be allowed."""
    if allowed:
        history.cached.clear()
    another(history)


def another_told(history: History, **fields: Any) -> None:
    """Let a caller have been told that."""
    another(history, **fields)
    generation = history.generations[-1]
    events = told(*range(1, generation.words + 2), generation=generation.number)
    reading = Reading(9, "cached", "", "stream", events=events, end=generation.end)
    history.readings.append(reading)


def change(reading: int, **fields: Any) -> Callable[[History], None]:
    """Return what sets something of a call."""

    def changing(history: History) -> None:
        for name, value in fields.items():
            setattr(history.readings[reading], name, value)

    return changing


def both(*changes: Callable[[History], None]) -> Callable[[History], None]:
    """Return what makes several changes."""

    def changing(history: History) -> None:
        for one in changes:
            one(history)

    return changing


WHOLE = told(1, 2, 3, 4, 5, 6)
BAD: dict[str, tuple[Callable[[], History], Callable[[History], None]]] = {
    "a gap": (good, change(2, events=told(1, 2, 4, 5, 6))),
    "a gap where it was resumed": (good, change(1, events=told(5, 6))),
    "a gap in the words alone": (
        good,
        change(2, events=[*told(1, 2), replace(told(3)[0], words=(2,)), *told(4, 5, 6)]),
    ),
    "a repeat": (good, change(2, events=told(1, 2, 3, 3, 4, 5, 6))),
    "a repeat where it was resumed": (good, change(1, events=told(3, 4, 5, 6))),
    "a word twice": (
        good,
        change(2, events=[*told(1, 2), replace(told(3)[0], words=(1, 1)), *told(4, 5, 6)]),
    ),
    "the wrong order": (good, change(2, events=told(1, 3, 2, 4, 5, 6))),
    "no beginning": (good, change(2, events=told(2, 3, 4, 5, 6))),
    "a second beginning": (
        good,
        change(2, events=[*told(1, 2), replace(told(1)[0], sequence=3), *told(4, 5, 6)]),
    ),
    "resumed in another generation": (
        good,
        both(another_whole, change(1, events=told(4, 5, 6, generation=1))),
    ),
    "a word of another generation": (
        good,
        both(
            another_whole,
            change(2, events=[*told(1, 2), replace(told(3)[0], words=(-1,)), *told(4, 5, 6)]),
        ),
    ),
    "other content at the same sequence": (
        good,
        change(2, events=[*told(1, 2), replace(told(3)[0], content=b"else"), *told(4, 5, 6)]),
    ),
    "another topic's answer": (good, lambda h: setattr(h.generations[0], "topic", "named")),
    "OK without the end": (good, change(2, events=told(1, 2, 3, 4, 5))),
    "OK without anything": (good, change(2, events=[])),
    "OK, but cut short": (
        good,
        change(2, events=[*told(1, 2, 3), replace(told(6)[0], sequence=4)]),
    ),
    "unary, cut short": (good, change(3, events=[Told(1, "completed", 0, (0, 1))])),
    "unary, of nothing": (good, change(3, events=[])),
    "a failure after the end": (good, change(2, end="UPSTREAM_CONNECTION_LOST")),
    "a failure of the bridge's after the end": (
        good,
        both(lambda h: h.excuses.update(BRIDGE_AWAY), change(2, end="GENERATION_ABANDONED")),
    ),
    "something after the end": (good, change(2, events=[*WHOLE, replace(WHOLE[1], sequence=7)])),
    "two ends": (good, change(2, events=[*WHOLE, replace(WHOLE[-1], sequence=7)])),
    "no end": (good, change(2, events=told(1, 2, 3), end=HUNG)),
    "a failure that nothing excuses": (
        good,
        change(2, events=told(1, 2, 3), end="GENERATION_ABANDONED"),
    ),
    "a failure that only others excuse": (
        good,
        both(
            lambda h: h.excuses.add("GENERATION_ABANDONED"),
            change(2, events=told(1, 2, 3), end="INTERNAL"),
        ),
    ),
    "one id for two generations": (
        good,
        both(
            another_whole,
            change(2, events=told(1, 2, 3, 4, 5, 6, generation=1)),
            change(2, idempotency_key="a", is_resumable=True),
        ),
    ),
    "billed twice": (good, change(2, is_billed=True)),
    "words that upstream never said": (good, lambda h: setattr(h.generations[0], "words", 3)),
    "a generation that runs on": (
        good,
        both(lambda h: h.cached.clear(), lambda h: another(h, end="running", ended=None)),
    ),
    "asked again though it was whole": (good, another),
    "asked twice at once": (
        failed,
        lambda h: another_told(h, words=2, end="UPSTREAM_CONNECTION_LOST", began=3, ended=9),
    ),
    "asked more often than called": (
        good,
        both(lambda h: h.cached.clear(), *[another] * 4),
    ),
    "a failure told at another place": (failed, change(1, events=told(1, 2))),
    "a failure told as another": (failed, change(1, end=REFUSED)),
    "a failure not told": (failed, change(1, end=OK)),
    "one refusal for two callers": (failed, lambda h: h.readings.append(h.readings[-1])),
    "a refusal of nobody's": (failed, change(2, refused=None)),
    "a refusal after the beginning": (failed, change(2, events=told(1, 2))),
}


def failed_again() -> History:
    """Return a history in which all is well, though upstream failed again and again."""
    history = failed()
    another_told(history, words=2, end="UPSTREAM_INTERNAL")
    # Nobody stayed to hear the last.
    for ended in (10, 11):
        another(history, began=9, ended=ended)
        history.readings.append(Reading(8, "cached", "", "stream", end=LEFT))
    return history


@pytest.mark.parametrize("make", [good, failed, failed_again])
def test_the_checker_finds_nothing_wrong_with_a_good_history(make):
    assert not list(violations(make()))


@pytest.mark.parametrize("name", BAD)
def test_the_checker_rejects(name):
    make, spoil = BAD[name]
    history = make()

    spoil(history)

    assert list(violations(history))


@pytest.mark.parametrize("name", ["shorter", "longer", "other ends", "no status"])
def test_the_checker_knows_what_a_crash_excuses(name):
    """What was told may end early then, but not be wrong."""
    history = good()
    history.excuses |= BRIDGE_AWAY
    spoils = {
        "shorter": change(2, events=told(1, 2, 3), end="UNAVAILABLE"),
        "longer": lambda h: another(h, end="closed"),
        "other ends": change(3, events=[], end="GENERATION_ABANDONED"),
        "no status": change(2, end="UNAVAILABLE"),
    }

    spoils[name](history)

    assert not list(violations(history))
