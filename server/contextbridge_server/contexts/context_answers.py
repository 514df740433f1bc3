"""Answers from contexts of ours, healed, and from upstream's own ids, as they are."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from ..translate.prompt import Prompt
from ..upstream.interface import Batch, Upstream
from ..upstream.json_object import fetch_object
from .answers import Answer, Batches, DirectAnswers, Tell, Told, begin_stream
from .asker import Asker
from .healing import ContextUse, Healer
from .record import ContextRecord
from .records import ContextKey, is_ours, not_found
from .sessions import Sessions


class ContextAnswers:
    """Answers of a server that keeps contexts.

    Args:
        upstream: The upstream that is asked.
        healer: Heals contexts.
        sessions: Give calls on a session their turns.
    """

    def __init__(self, upstream: Upstream, healer: Healer, sessions: Sessions) -> None:
        self._upstream = upstream
        self._straight = DirectAnswers(upstream)
        self._healer = healer
        self._sessions = sessions

    async def whole(self, prompt: Prompt, asker: Asker, tell: Tell[Told]) -> Told:
        """Ask for a whole answer; return what `tell` makes of it, while its session is held."""
        if not is_ours(prompt.context_id):
            return await self._straight.whole(prompt, asker, tell)
        async with self._use(prompt, asker) as use:
            value = await use.send(lambda asked: fetch_object(self._upstream, asked, asker.terms))
            use.read([value])
            return await tell(Answer(value, use.outcome, use.conclude))

    @asynccontextmanager
    async def stream(self, prompt: Prompt, asker: Asker) -> AsyncIterator[Answer[Batches]]:
        """Ask for an answer in chunks; leaving the context closes the request."""
        if not is_ours(prompt.context_id):
            async with self._straight.stream(prompt, asker) as answer:
                yield answer
            return
        async with self._use(prompt, asker) as use, AsyncExitStack() as stack:
            batches = await use.send(
                lambda asked: begin_stream(self._upstream, asked, asker.terms, stack)
            )
            watched = await stack.enter_async_context(aclosing(_watched(batches, use)))
            yield Answer(watched, use.outcome, use.conclude)

    @asynccontextmanager
    async def _use(self, prompt: Prompt, asker: Asker) -> AsyncIterator[ContextUse]:
        place = asker.place(prompt.context_id)
        record = await self._loaded(place)
        async with AsyncExitStack() as stack:
            token = None
            if record.is_session:
                token = await stack.enter_async_context(self._sessions.turn(place))
                # The call before may have had the binding made again.
                record = await self._loaded(place)
            yield ContextUse(
                self._healer,
                place=place,
                record=record,
                prompt=prompt,
                asker=asker,
                turn_token=token,
            )

    async def _loaded(self, place: ContextKey) -> ContextRecord:
        record = await self._healer.records.recent(place)
        if record is None:
            raise not_found(place.id)
        return record


async def _watched(batches: Batches, use: ContextUse) -> AsyncGenerator[Batch, None]:
    async for batch in batches:
        use.read(batch)
        yield batch
