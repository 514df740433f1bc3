"""Authorization of prompts: a tenant reaches only resources of its own."""

from contextlib import AsyncExitStack

from ..request_context import RequestContext
from ..store.keys import owner_key
from ..translate.context_ids import is_ours
from ..translate.prompt import Prompt
from .answers import Answer, Answers
from .ownership import Ownership
from .upstream_names import Resource, files_in, named_cached_content, named_context


class AuthorizingAnswers:
    """Answers to prompts whose caller is authorized for every resource that they reference.

    Args:
        answers: The answers.
        ownership: The owners of upstream's resources.
    """

    def __init__(self, answers: Answers, ownership: Ownership) -> None:
        self._answers = answers
        self._ownership = ownership

    async def open(self, prompt: Prompt, ctx: RequestContext, stack: AsyncExitStack) -> Answer:
        """Authorize a prompt, send it upstream and return the answer.

        Raises:
            BridgeError: CACHE_NOT_FOUND, CONTEXT_NOT_FOUND or FILE_NOT_FOUND, where the caller is
                not authorized for a resource; STORE_UNAVAILABLE.
        """
        authorized = self._ownership.authorize(ctx.caller, *_resources(prompt), body=prompt.encoded)
        await stack.enter_async_context(authorized)
        return await self._answers.open(prompt, ctx, stack)

    async def check(self, prompt: Prompt, ctx: RequestContext) -> None:
        """Authorize a prompt whose answer is already there.

        Raises:
            BridgeError: As `open`.
        """
        async with self._ownership.authorize(ctx.caller, *_resources(prompt), body=prompt.encoded):
            pass

    def keys(self, prompt: Prompt) -> tuple[str, ...] | None:
        """Return the store's keys that the authorization of a prompt depends on.

        None where the prompt references files: they are found by reading all of it.
        """
        files = files_in(prompt.encoded)
        if files.certain or files.possible:
            return None
        return tuple(owner_key(resource.key) for resource in _resources(prompt))


def _resources(prompt: Prompt) -> list[Resource]:
    """Return the upstream resources that a prompt names; the keys of our contexts have a tenant."""
    if not prompt.context_id or is_ours(prompt.context_id):
        return []
    if prompt.is_native:
        return [named_cached_content(prompt.context_id)]
    return [named_context(prompt.context_id)]
