"""The blocking client. Generated from _sync_client.py."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, Unpack

import grpc

from contextbridge import _requests
from contextbridge import v1 as pb
from contextbridge._sync_streams import ChatStream, ContentStream
from contextbridge._sync_transport import Stubs, Transport
from contextbridge._channel import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_KEEPALIVE,
    DEFAULT_TARGET,
    Connection,
    Options,
    Secret,
    Timeout,
    Tls,
)
from contextbridge._fold import ChatFold, ContentFold
from contextbridge._messages import Contents, Messages
from contextbridge._requests import (
    CachedContentOptions,
    ChatOptions,
    ContextOptions,
    GenerateOptions,
)
from contextbridge._resume import Resume, Resuming
from contextbridge._uploads import Source, opened


class Client:
    """A client of a contextbridge server, for threads.

    It holds one channel and is made to live long; close it, or use `with`. Every
    method raises ContextBridgeError where the call fails. Reads are retried on UNAVAILABLE. A call
    that may cost money is repeated only where it has an `idempotency_key`, which makes it paid
    once: a stream then goes on after its newest event, and its reader sees no break.

    Args:
        target: The server's address, such as `bridge.internal:443`, `dns:///bridge:50051` or
            `unix:/run/contextbridge.sock`.
        token: Who the caller is. Goes as `authorization: Bearer …`.
        upstream_api_key: The caller's own key of upstream, where the server passes it on.
        tls: True for TLS with gRPC's own roots, or a Tls. False is plain text.
        insecure_token: Send token and key in plain text to another machine, where something else
            encrypts the way.
        keepalive: How often the connection is probed during a call. Servers cut off clients that
            probe more often than they allow, by default every 5 minutes. None never probes.
        timeout: The deadline of each call that brings none, streams as a whole. None sets none.
        connect_timeout: The longest wait for a connection, on the first call and on the one after a
            call that failed with UNAVAILABLE. 0 does not wait.
        resume: How calls with an `idempotency_key` are resumed after a break: a Resume, or True
            for its defaults. False leaves that to the caller.
        options: gRPC channel arguments, which go before the client's own.

    Raises ValueError for a token or key that would leave this machine in plain text, and OSError
    for a certificate that cannot be read.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: Secret | None = None,
        upstream_api_key: Secret | None = None,
        tls: Tls | bool = False,
        insecure_token: bool = False,
        keepalive: timedelta | None = DEFAULT_KEEPALIVE,
        timeout: Timeout = None,
        connect_timeout: timedelta | float = DEFAULT_CONNECT_TIMEOUT,
        resume: Resume | bool = True,
        options: Options = (),
    ) -> None:
        self._transport = Transport(
            Connection(
                target,
                token=token,
                upstream_api_key=upstream_api_key,
                tls=tls,
                insecure_token=insecure_token,
                keepalive=keepalive,
                timeout=timeout,
                connect_timeout=connect_timeout,
                resume=resume,
                options=options,
            )
        )

    # Connecting

    @property
    def channel(self) -> grpc.Channel:
        """The gRPC channel."""
        return self._transport.channel

    @property
    def stubs(self) -> Stubs:
        """The generated stubs, for whatever this class leaves out."""
        return self._transport.stubs

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries: the token and the key."""
        return self._transport.connection.metadata()

    def close(self) -> None:
        """Ends the calls that are open and closes the channel."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Contexts

    def create_context(
        self,
        model: str,
        messages: Messages,
        *,
        timeout: Timeout = None,
        resume: Resuming = None,
        **options: Unpack[ContextOptions],
    ) -> pb.CreateContextResponse:
        """Makes a context, which upstream charges for until its binding lapses.

        Without `idempotency_key` a repeated call makes, and pays for, a second one.

        Args:
            model: The model that the context is for.
            messages: The prefix, at least one message.
            timeout: The deadline; None means the client's.
            resume: Whether a call with an `idempotency_key` is sent again after a break; None means
                as the client does.
            options: What ContextOptions lists.
        """
        request = _requests.create_context(model, messages, options)
        method = self.stubs.contexts.CreateContext
        return self._transport.unary(method, request, timeout, resume)

    def get_context(self, context: str | pb.Context, *, timeout: Timeout = None) -> pb.Context:
        """Returns a context as it is now."""
        request = pb.GetContextRequest(id=_requests.context_id(context))
        response = self._transport.unary(self.stubs.contexts.GetContext, request, timeout)
        return response.context

    def list_contexts(
        self,
        *,
        model: str = "",
        state: pb.ContextState.ValueType = pb.CONTEXT_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: Timeout = None,
    ) -> Iterator[pb.Context]:
        """Iterates over the caller's contexts, the newest first, page by page.

        Args:
            model: Only contexts of this model.
            state: Only contexts in this state.
            page_size: How many to fetch at once, at most 1,000. 0 means 50.
            timeout: The deadline of each page; None means the client's.
        """
        request = pb.ListContextsRequest(model=model, state=state, page_size=page_size)
        while True:
            page = self._transport.unary(self.stubs.contexts.ListContexts, request, timeout)
            for context in page.contexts:
                yield context
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def update_context(
        self,
        context: str | pb.Context,
        *,
        ttl: timedelta | None = None,
        expire_time: datetime | None = None,
        retention: timedelta | None = None,
        display_name: str | None = None,
        timeout: Timeout = None,
    ) -> pb.Context:
        """Changes how long a context lives, or its name, and returns it. None leaves a field alone.

        Args:
            context: The context or its id.
            ttl: The binding's new life, from now. Not with `expire_time`.
            expire_time: When the binding lapses, with its time zone.
            retention: How long after its last use the context can still be brought back.
            display_name: The new name; empty takes it away.
            timeout: The deadline; None means the client's.
        """
        request = _requests.update_context(
            context,
            ttl=ttl,
            expire_time=expire_time,
            retention=retention,
            display_name=display_name,
        )
        response = self._transport.unary(self.stubs.contexts.UpdateContext, request, timeout)
        return response.context

    def delete_context(self, context: str | pb.Context, *, timeout: Timeout = None) -> None:
        """Deletes a context and what was stored of it."""
        request = pb.DeleteContextRequest(id=_requests.context_id(context))
        self._transport.unary(self.stubs.contexts.DeleteContext, request, timeout)

    # Chats

    def chat(
        self,
        context: str | pb.Context,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout = None,
        resume: Resuming = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """Continues from a context and streams the answer; the call begins when it is read.

        Args:
            context: A context, its id, or any upstream id.
            messages: What is new; the last message is not the assistant's.
            model: The context's model. Required with an upstream id, whose model the server does
                not know.
            timeout: The deadline of the whole stream, breaks included; None means the client's.
            resume: How a call with an `idempotency_key` is resumed after a break; None means as the
                client does.
            options: What ChatOptions lists.
        """
        request = _requests.chat(context, messages, model, options)
        method = self.stubs.contexts.ChatWithContext
        return ChatStream(
            self._transport, method, request, ChatFold(), timeout=timeout, resume=resume
        )

    def complete_chat(
        self,
        context: str | pb.Context,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout = None,
        resume: Resuming = None,
        **options: Unpack[ChatOptions],
    ) -> pb.CompleteChatWithContextResponse:
        """Continues from a context and returns the whole answer: `chat` without the stream."""
        request = _requests.chat(context, messages, model, options)
        method = self.stubs.contexts.CompleteChatWithContext
        return self._transport.unary(method, request, timeout, resume)

    # Gemini

    def generate_content(
        self,
        model: str,
        contents: Contents,
        *,
        timeout: Timeout = None,
        resume: Resuming = None,
        **options: Unpack[GenerateOptions],
    ) -> pb.GenerateContentResponse:
        """Returns a whole answer. A prompt that was blocked is an answer without candidates.

        Args:
            model: The model, such as `gemini-2.5-flash`.
            contents: The conversation.
            timeout: The deadline; None means the client's.
            resume: Whether a call with an `idempotency_key` is sent again after a break; None means
                as the client does.
            options: What GenerateOptions lists.
        """
        request = _requests.generate(model, contents, options)
        method = self.stubs.gemini.GenerateContent
        return self._transport.unary(method, request, timeout, resume)

    def stream_generate_content(
        self,
        model: str,
        contents: Contents,
        *,
        timeout: Timeout = None,
        resume: Resuming = None,
        **options: Unpack[GenerateOptions],
    ) -> ContentStream:
        """Streams an answer: `generate_content` piece by piece. The call begins when it is read."""
        request = _requests.generate(model, contents, options)
        method = self.stubs.gemini.StreamGenerateContent
        return ContentStream(
            self._transport, method, request, ContentFold(), timeout=timeout, resume=resume
        )

    def count_tokens(
        self,
        model: str,
        contents: Contents,
        *,
        timeout: Timeout = None,
        **options: Unpack[GenerateOptions],
    ) -> pb.CountTokensResponse:
        """Counts the tokens of what `generate_content` would send. Costs nothing."""
        request = _requests.count_tokens(model, contents, options)
        return self._transport.unary(self.stubs.gemini.CountTokens, request, timeout)

    # Cached contents

    def create_cached_content(
        self,
        model: str,
        contents: Contents,
        *,
        timeout: Timeout = None,
        **options: Unpack[CachedContentOptions],
    ) -> pb.CachedContent:
        """Makes a cached content, which upstream charges for until it ends.

        Args:
            model: The model that it is for.
            contents: The content to keep.
            timeout: The deadline; None means the client's.
            options: What CachedContentOptions lists.
        """
        request = _requests.create_cached_content(model, contents, options)
        method = self.stubs.cached_contents.CreateCachedContent
        response = self._transport.unary(method, request, timeout)
        return response.cached_content

    def get_cached_content(self, name: str, *, timeout: Timeout = None) -> pb.CachedContent:
        """Returns a cached content's metadata; its content cannot be read back."""
        request = pb.GetCachedContentRequest(name=name)
        method = self.stubs.cached_contents.GetCachedContent
        response = self._transport.unary(method, request, timeout)
        return response.cached_content

    def list_cached_contents(
        self, *, page_size: int = 0, timeout: Timeout = None
    ) -> Iterator[pb.CachedContent]:
        """Iterates over the cached contents' metadata, page by page.

        Args:
            page_size: How many to fetch at once, at most 1,000. 0 means upstream's default.
            timeout: The deadline of each page; None means the client's.
        """
        request = pb.ListCachedContentsRequest(page_size=page_size)
        while True:
            method = self.stubs.cached_contents.ListCachedContents
            page = self._transport.unary(method, request, timeout)
            for cached_content in page.cached_contents:
                yield cached_content
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def update_cached_content(
        self,
        name: str,
        *,
        ttl: timedelta | None = None,
        expire_time: datetime | None = None,
        timeout: Timeout = None,
    ) -> pb.CachedContent:
        """Changes when a cached content ends, by one of `ttl` and `expire_time`, and returns it."""
        request = _requests.update_cached_content(name, ttl=ttl, expire_time=expire_time)
        method = self.stubs.cached_contents.UpdateCachedContent
        response = self._transport.unary(method, request, timeout)
        return response.cached_content

    def delete_cached_content(self, name: str, *, timeout: Timeout = None) -> None:
        """Deletes a cached content."""
        request = pb.DeleteCachedContentRequest(name=name)
        self._transport.unary(self.stubs.cached_contents.DeleteCachedContent, request, timeout)

    # Response cache

    def delete_cached_responses(
        self,
        *,
        key: str | None = None,
        customer_identifier: str | None = None,
        context: str | pb.Context | None = None,
        all: bool = False,  # noqa: A002 - The request's field.
        timeout: Timeout = None,
    ) -> int:
        """Deletes answers that the server keeps for the caller's tenant; returns how many.

        Exactly one of the targets is given; anything else raises TypeError and deletes nothing.

        Args:
            key: The key of an answer, as its `response_cache.key` has it.
            customer_identifier: The customer whose answers are deleted.
            context: The context whose answers are deleted, with those from the same content.
            all: True deletes all answers of the tenant.
            timeout: The deadline; None means the client's.
        """
        request = _requests.delete_cached_responses(key, customer_identifier, context, all_=all)
        method = self.stubs.response_cache.DeleteCachedResponses
        response = self._transport.unary(method, request, timeout)
        return response.deleted_count

    def get_response_cache_statistics(
        self, *, timeout: Timeout = None
    ) -> pb.ResponseCacheStatistics:
        """Returns what the server keeps for the caller's tenant, and how that has been used."""
        request = pb.GetResponseCacheStatisticsRequest()
        method = self.stubs.response_cache.GetResponseCacheStatistics
        response = self._transport.unary(method, request, timeout)
        return response.statistics

    # Files

    def upload_file(
        self,
        source: Source,
        *,
        mime_type: str | None = None,
        display_name: str = "",
        name: str = "",
        size_bytes: int | None = None,
        timeout: Timeout = None,
    ) -> pb.File:
        """Uploads a file and returns what is known of it. A video may be STATE_PROCESSING at first.

        Args:
            source: A path, the bytes, or an open binary file, which is read from where it stands,
                in a thread.
            mime_type: The IANA media type. None guesses it from a path's name.
            display_name: A name for people, at most 512 characters.
            name: `files/…`. Empty lets upstream choose.
            size_bytes: The size. Needed only for a file that cannot seek.
            timeout: The deadline; None means the client's.

        Raises OSError where the file cannot be read, and ValueError where the media type or the
        size is neither given nor known.
        """
        opening = opened(
            source,
            mime_type=mime_type,
            size_bytes=size_bytes,
            display_name=display_name,
            name=name,
        )
        return self._transport.upload(opening, timeout)

    def get_file(self, name: str, *, timeout: Timeout = None) -> pb.File:
        """Returns a file's metadata."""
        response = self._transport.unary(
            self.stubs.files.GetFile, pb.GetFileRequest(name=name), timeout
        )
        return response.file

    def list_files(self, *, page_size: int = 0, timeout: Timeout = None) -> Iterator[pb.File]:
        """Iterates over the files' metadata, page by page.

        Args:
            page_size: How many to fetch at once, at most 100. 0 means upstream's default.
            timeout: The deadline of each page; None means the client's.
        """
        request = pb.ListFilesRequest(page_size=page_size)
        while True:
            page = self._transport.unary(self.stubs.files.ListFiles, request, timeout)
            for file in page.files:
                yield file
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def delete_file(self, name: str, *, timeout: Timeout = None) -> None:
        """Deletes a file."""
        self._transport.unary(self.stubs.files.DeleteFile, pb.DeleteFileRequest(name=name), timeout)
