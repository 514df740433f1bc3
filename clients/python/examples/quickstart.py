"""The first ten minutes: a context, a chat on it, Gemini, and a call that fails.

Run it against `make run`; CONTEXTBRIDGE_ADDRESS names another server.
"""

import asyncio
import os
import uuid
from datetime import timedelta

from contextbridge import AsyncClient, ContextBridgeError, text_of
from contextbridge import v1 as pb


async def main() -> None:
    """Make one call of each kind."""
    async with AsyncClient(os.environ.get("CONTEXTBRIDGE_ADDRESS", "127.0.0.1:50051")) as client:
        created = await client.create_context(
            "Doubao-1.5-pro-32k",
            [("system", "You keep the lighthouse at Oban.")],
            mode=pb.CONTEXT_MODE_SESSION,
            ttl=timedelta(hours=1),
        )

        # The idempotency key lets the stream go on where it was, should its connection break.
        idempotency_key = str(uuid.uuid4())
        async with client.chat(
            created.context, "Where are you?", idempotency_key=idempotency_key
        ) as stream:
            async for piece in stream.text():
                print(piece, end="", flush=True)
            print()
            usage = (await stream.answer()).usage
        print(f"{usage.cached_tokens} of {usage.prompt_tokens} prompt tokens came from the cache")

        answer = await client.generate_content("gemini-2.5-flash", "Name one sea bird.")
        print(text_of(answer))

        try:
            await client.get_context("context-that-is-gone")
        except ContextBridgeError as error:
            print(error.code.name, error.reason)

        await client.delete_context(created.context)


asyncio.run(main())
