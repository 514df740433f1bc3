"""The floor of any Python server: grpc.aio that answers the bridge's calls with constants.

It has the bridge's messages, parses each request and serializes each answer, on the bridge's event
loop, and does nothing else: no layers, no log, no upstream. A stream is one write per event.
"""

import argparse
import asyncio
from typing import Any

import grpc
import uvloop

from contextbridge import v1 as pb

DELTAS = 64
USAGE = pb.Usage(prompt_tokens=64, completion_tokens=64, total_tokens=128, cached_tokens=48)
WORDS = [f" word{number % 100:02d}" for number in range(DELTAS)]
CONTEXT = pb.ContextOutcome(id="ctx-bench")
BYPASSED = pb.ResponseCacheOutcome(status=pb.RESPONSE_CACHE_STATUS_BYPASSED)


def whole_chat() -> pb.CompleteChatWithContextResponse:
    """Return the answer that the bridge gives to a unary chat."""
    message = pb.ChatMessage(role="assistant", content="".join(WORDS))
    choice = pb.ChatChoice(
        message=message, finish_reason=pb.FINISH_REASON_STOP, finish_reason_raw="stop"
    )
    answer = pb.CompleteChatWithContextResponse(
        id="chatcmpl-bench",
        model="bench-64",
        choices=[choice],
        usage=USAGE,
        billed_usage=USAGE,
        context=CONTEXT,
        response_cache=BYPASSED,
    )
    answer.create_time.FromSeconds(1_790_000_000)
    return answer


def chat_events() -> list[pb.ChatWithContextResponse]:
    """Return the events of a chat, one per delta."""
    started = pb.ChatStarted(id="chatcmpl-bench", model="bench-64", role="assistant")
    started.create_time.FromSeconds(1_790_000_000)
    finished = pb.ChoiceFinished(finish_reason=pb.FINISH_REASON_STOP, finish_reason_raw="stop")
    completed = pb.ChatCompleted(
        usage=USAGE, billed_usage=USAGE, context=CONTEXT, response_cache=BYPASSED
    )
    events = [
        pb.ChatWithContextResponse(started=started),
        *(pb.ChatWithContextResponse(content=pb.TextDelta(text=word)) for word in WORDS),
        pb.ChatWithContextResponse(choice_finished=finished),
        pb.ChatWithContextResponse(completed=completed),
    ]
    for sequence, event in enumerate(events, 1):
        event.sequence = sequence
    return events


def candidate(text: str, *, is_last: bool, sequence: int) -> pb.GenerateContentResponse:
    """Return a Gemini answer, whole or a piece."""
    answer = pb.GenerateContentResponse(
        model_version="bench-64", response_id="bench", sequence=sequence
    )
    part = answer.candidates.add().content.parts.add()
    part.text = text
    counts = answer.usage_metadata
    counts.prompt_token_count, counts.candidates_token_count = 64, 64
    counts.total_token_count, counts.cached_content_token_count = 128, 48
    if is_last:
        answer.candidates[0].finish_reason = pb.Candidate.FINISH_REASON_STOP
        answer.candidates[0].finish_reason_raw = "STOP"
        answer.billed_usage.CopyFrom(USAGE)
        answer.response_cache.CopyFrom(BYPASSED)
    return answer


class Chats(pb.ContextServiceServicer):
    """Answers chats."""

    def __init__(self) -> None:
        self._whole = whole_chat()
        self._events = chat_events()

    async def CompleteChatWithContext(
        self, _request: pb.ChatWithContextRequest, _context: Any
    ) -> pb.CompleteChatWithContextResponse:
        """Return the constant answer."""
        return self._whole

    async def ChatWithContext(self, _request: pb.ChatWithContextRequest, context: Any) -> None:
        """Write the constant events."""
        for event in self._events:
            await context.write(event)


class Contents(pb.GeminiServiceServicer):
    """Answers Gemini-native generation."""

    def __init__(self) -> None:
        last = DELTAS - 1
        self._whole = candidate("".join(WORDS), is_last=True, sequence=0)
        self._pieces = [
            candidate(word, is_last=number == last, sequence=number + 1)
            for number, word in enumerate(WORDS)
        ]

    async def GenerateContent(
        self, _request: pb.GenerateContentRequest, _context: Any
    ) -> pb.GenerateContentResponse:
        """Return the constant answer."""
        return self._whole

    async def StreamGenerateContent(
        self, _request: pb.GenerateContentRequest, context: Any
    ) -> None:
        """Write the constant pieces."""
        for piece in self._pieces:
            await context.write(piece)


async def serve(listen: str) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server()
    pb.add_ContextServiceServicer_to_server(Chats(), server)
    pb.add_GeminiServiceServicer_to_server(Contents(), server)
    port = server.add_insecure_port(listen)
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    given = parser.parse_args()
    run = uvloop.run if given.loop == "uvloop" else asyncio.run
    run(serve(given.listen))


if __name__ == "__main__":
    main()
