"""Answers to those only who may name what a prompt names."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ..store.keys import owner_key
from ..translate.prompt import Prompt
from .answers import Answer, Answers, Batches, Tell, Told
from .asker import Asker
from .ownership import Ownership
from .records import is_ours
from .upstream_names import Resource, files_in, named_cached_content, named_context


class AuthorizingAnswers:
    """Answers of which each tenant gets those that start from what is its own.

    Args:
        answers: Where they come from.
        ownership: Decides who may name what.
    """

    def __init__(self, answers: Answers, ownership: Ownership) -> None:
        self._answers = answers
        self._ownership = ownership

    async def check(self, prompt: Prompt, asker: Asker) -> None:
        """Refuse who may not name what a prompt names, where the answer is there already.

        Raises:
            BridgeError: CACHE_NOT_FOUND, CONTEXT_NOT_FOUND or FILE_NOT_FOUND, where something is
                not for the asker to name; STORE_UNAVAILABLE.
        """
        async with self._naming(prompt, asker):
            pass

    def keys(self, prompt: Prompt) -> tuple[str, ...] | None:
        """Return where in the store it stands whose everything is that a prompt names.

        None where it names files: they are found by reading all of it.
        """
        files = files_in(prompt.first.body)
        if files.certain or files.possible:
            return None
        return tuple(owner_key(resource.key) for resource in _named(prompt))

    async def whole(self, prompt: Prompt, asker: Asker, tell: Tell[Told]) -> Told:
        """Ask for a whole answer; return what `tell` makes of it, while its session is held."""
        async with self._naming(prompt, asker):
            return await self._answers.whole(prompt, asker, tell)

    @asynccontextmanager
    async def stream(self, prompt: Prompt, asker: Asker) -> AsyncIterator[Answer[Batches]]:
        """Ask for an answer in chunks; leaving the context closes the request."""
        async with (
            self._naming(prompt, asker),
            self._answers.stream(prompt, asker) as answer,
        ):
            yield answer

    def _naming(self, prompt: Prompt, asker: Asker) -> AbstractAsyncContextManager[None]:
        return self._ownership.naming(asker.caller, *_named(prompt), body=prompt.first.body)


def _named(prompt: Prompt) -> list[Resource]:
    """Return what a prompt names of upstream's; contexts of ours are kept by tenant anyway."""
    if not prompt.context_id or is_ours(prompt.context_id):
        return []
    if prompt.is_native:
        return [named_cached_content(prompt.context_id)]
    return [named_context(prompt.context_id)]
