"""A stream of the context surface as events of ChatWithContext (wire.md A.3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..upstream.interface import Batch, Chunk, LastBatch, Repeated
from .chat_answer import FINISH_REASONS, KEPT_FINISH_REASONS
from .chat_messages import logprobs_of, reasoning_of, tool_call_extra
from .generation_request import bypassed_cache
from .json_values import Json, Reader, text_of
from .text_runs import ChatRun, chat_run, kind_at
from .times import timestamp_of_seconds
from .usage import estimated_usage, usage_of_chat

Event = pb.ChatWithContextResponse

TEXTS: Mapping[str, Callable[[Reader], str]] = {
    "content": lambda delta: delta.text("content"),
    "reasoning": reasoning_of,
    "refusal": lambda delta: delta.text("refusal"),
}
"""How the text of each event is read from a delta."""


class ChatStreamDecoder:
    """Turns one answer's chunks into its events, numbered from 1.

    Text of one batch is folded: deltas of one choice that arrived together are one event.

    Args:
        request: What was asked.
        prompt_bytes: The length of the body sent, for an estimate where upstream counts nothing.
    """

    def __init__(self, request: pb.ChatWithContextRequest, prompt_bytes: int) -> None:
        self._request = request
        self._prompt_bytes = prompt_bytes
        self._text_bytes = 0
        self._sequence = 0
        self._started = False
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._is_marked = False
        self._is_cut_short = False
        self._folding: dict[int, tuple[str, list[str], list[pb.TokenLogprob]]] = {}
        self._usage: pb.Usage | None = None
        self.usage = pb.Usage()
        """What the answer cost, once it is whole."""
        self._service_tier = ""
        self._fingerprint = ""
        self._hits: dict[int, str] = {}
        self._extra: Json = {}
        self._run: ChatRun | None = None

    def decode(self, batch: Batch) -> Iterator[Event]:
        """Yield the events of the chunks that arrived together.

        Raises:
            BridgeError: A chunk is malformed; the events before it were yielded.
        """
        self._is_marked = self._is_marked or isinstance(batch, LastBatch)
        failure: BridgeError | None = None
        try:
            for item in batch:
                if not isinstance(item, Repeated):
                    yield from self._next(item)
                elif not self._go_on(item):
                    for chunk in item.chunks():
                        yield from self._next(chunk)
        except BridgeError as error:
            failure = error
        for index in list(self._folding):
            yield from self._unfold(index)
        if failure is not None:
            raise failure

    @property
    def is_worth_keeping(self) -> bool:
        """Whether upstream marked the end, and every choice that was asked for ended by itself."""
        is_whole = not self._open and len(self._finished) >= (self._request.n or 1)
        return is_whole and self._is_marked and not self._is_cut_short

    def finish(self, outcome: pb.ContextOutcome) -> Iterator[Event]:
        """Yield `completed`, at the stream's end.

        Args:
            outcome: What happened to the context.

        Raises:
            BridgeError: The stream was cut: nothing came, or a choice has no finish reason.
        """
        if not self._started:
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_RESPONSE_EMPTY, "Upstream's stream held no answer."
            )
        if self._open or not self._finished:
            raise BridgeError(
                pb.ERROR_REASON_UPSTREAM_STREAM_TRUNCATED,
                "Upstream's stream ended without a finish reason.",
            )
        usage = self._usage or estimated_usage(self._prompt_bytes, self._text_bytes)
        self.usage = usage
        yield self._event(
            completed=pb.ChatCompleted(
                usage=usage,
                billed_usage=usage,
                response_cache=bypassed_cache(self._request),
                context=outcome,
                service_tier=self._service_tier,
                extra_json=text_of(self._extra),
            )
        )

    def abandon(self) -> Iterator[Event]:
        """Yield nothing: no event is held from one batch to the next."""
        yield from ()

    def _next(self, chunk: Chunk) -> Iterator[Event]:
        # Most go on with the text before and say nothing else.
        found = self._run.text_of(chunk) if self._run is not None else None
        if self._run is None or found is None or not self._fold(self._run, found[0], found[1:]):
            yield from self._chunk(Reader(chunk, "chunk"))
            self._run = chat_run(chunk)

    def _go_on(self, repeated: Repeated) -> bool:
        """Take chunks that repeat the one before, if that says nothing but a text."""
        kind = kind_at(repeated.path)
        if self._run is None or kind is None:
            return False
        return self._fold(self._run, kind, repeated.texts)

    def _fold(self, run: ChatRun, kind: str, texts: Sequence[str]) -> bool:
        """Add texts to what is being folded; False where it is of another kind."""
        folding = self._folding.setdefault(run.index, (kind, [], []))
        if folding[0] != kind:
            return False
        text = "".join(texts)
        folding[1].append(text)
        self._text_bytes += len(text) if text.isascii() else len(text.encode())
        return True

    def _chunk(self, reader: Reader) -> Iterator[Event]:
        reader.drop("object")
        choices = reader.items("choices")
        # Azure's first chunk has neither id nor choices; the answer begins with the next.
        answer_id, created, model = (
            reader.text("id"),
            reader.integer("created"),
            reader.text("model"),
        )
        fingerprint = reader.text("system_fingerprint")
        self._service_tier = reader.text("service_tier") or self._service_tier
        self._take_usage(reader)
        if self._started and fingerprint != self._fingerprint and fingerprint:
            # Too late for `started`.
            self._extra["system_fingerprint"] = fingerprint
        if not self._started and (answer_id or choices):
            self._started = True
            self._fingerprint = fingerprint
            yield self._event(
                started=pb.ChatStarted(
                    id=answer_id,
                    model=model,
                    create_time=timestamp_of_seconds(created),
                    role="assistant",
                    system_fingerprint=fingerprint,
                )
            )
        for choice in choices:
            yield from self._choice(choice)
        self._extra.update(reader.rest())

    def _choice(self, reader: Reader) -> Iterator[Event]:
        index = reader.count("index")
        self._open |= {index} - self._finished
        self._take_usage(reader)
        # An upstream that ignores `stream` sends the whole message instead of its pieces.
        is_whole = reader.has("message")
        self._is_marked = self._is_marked or is_whole
        delta = reader.members("message" if is_whole else "delta")
        delta.drop("role")
        yield from self._texts(index, delta, reader.members("logprobs"))
        yield from self._tool_calls(index, delta)
        reason, hit = reader.text("finish_reason"), reader.text("moderation_hit_type")
        if hit or (reason and reason not in KEPT_FINISH_REASONS):
            self._is_cut_short = True
        extra = reader.rest()
        if hit:
            self._hits[index] = hit
            if index in self._finished:
                # Too late for `choice_finished`.
                extra["moderation_hit_type"] = hit
        if members := delta.rest():
            extra["delta"] = members
        if extra:
            yield from self._unfold(index)
            yield self._event(extra=pb.ExtraDelta(index=index, extra_json=text_of(extra)))
        if reason and index not in self._finished:
            self._finished.add(index)
            self._open.discard(index)
            yield from self._unfold(index)
            yield self._event(
                choice_finished=pb.ChoiceFinished(
                    index=index,
                    finish_reason=FINISH_REASONS.get(reason, pb.FINISH_REASON_UNSPECIFIED),
                    finish_reason_raw=reason,
                    moderation_hit_type=self._hits.get(index, ""),
                )
            )

    def _texts(self, index: int, delta: Reader, logprobs: Reader) -> Iterator[Event]:
        for kind, read in TEXTS.items():
            text, tokens = read(delta), logprobs_of(logprobs, kind)
            if not text and not tokens:
                continue
            self._text_bytes += len(text.encode())
            if index in self._folding and self._folding[index][0] != kind:
                yield from self._unfold(index)
            _, texts, all_tokens = self._folding.setdefault(index, (kind, [], []))
            texts.append(text)
            all_tokens.extend(tokens)

    def _unfold(self, index: int) -> Iterator[Event]:
        if index not in self._folding:
            return
        kind, texts, tokens = self._folding.pop(index)
        delta = pb.TextDelta(index=index, text="".join(texts), logprobs=tokens)
        self._sequence += 1
        event = Event(sequence=self._sequence)
        getattr(event, kind).CopyFrom(delta)
        yield event

    def _tool_calls(self, index: int, delta: Reader) -> Iterator[Event]:
        calls = delta.items("tool_calls")
        functions = [call.members("function") for call in calls]
        if delta.has("function_call"):
            # The deprecated form has one call, without index and id.
            calls.append(Reader({}, "function_call"))
            functions.append(delta.members("function_call"))
        for place, (call, function) in enumerate(zip(calls, functions, strict=True)):
            yield from self._unfold(index)
            arguments = function.text("arguments")
            self._text_bytes += len(arguments.encode())
            yield self._event(
                tool_call=pb.ToolCallDelta(
                    index=index,
                    call_index=call.count("index") if call.has("index") else place,
                    id=call.text("id"),
                    name=function.text("name"),
                    arguments_json=arguments,
                    extra_json=tool_call_extra(call, function),
                )
            )

    def _take_usage(self, reader: Reader) -> None:
        """Keep the usage of a chunk or, as some upstreams have it, of a choice; the last counts."""
        if reader.has("usage"):
            self._usage = usage_of_chat(reader.members("usage"))
        reader.drop("usage")

    def _event(self, **event: object) -> Event:
        self._sequence += 1
        return Event(sequence=self._sequence, **event)  # type: ignore[arg-type] # one member of the oneof
