"""Client of contextbridge: cached contexts, streaming chat and Gemini-native generation over gRPC.

AsyncClient and Client have the same methods. The messages of the API are in `contextbridge.v1`.
"""

from contextbridge import v1
from contextbridge._aio_client import AsyncClient
from contextbridge._aio_streams import AsyncChatStream, AsyncContentStream, AsyncStream
from contextbridge._aio_transport import AsyncStubs
from contextbridge._channel import Secret, Timeout, Tls
from contextbridge._errors import ContextBridgeError, Violation
from contextbridge._fold import text_of
from contextbridge._messages import ContentLike, Contents, Message, Messages
from contextbridge._requests import (
    CachedContentOptions,
    ChatOptions,
    ContextOptions,
    GenerateOptions,
)
from contextbridge._resume import Resume, Resuming
from contextbridge._sync_client import Client
from contextbridge._sync_streams import ChatStream, ContentStream, Stream
from contextbridge._sync_transport import Stubs
from contextbridge._uploads import Source
from contextbridge._version import __version__

__all__ = [
    "AsyncChatStream",
    "AsyncClient",
    "AsyncContentStream",
    "AsyncStream",
    "AsyncStubs",
    "CachedContentOptions",
    "ChatOptions",
    "ChatStream",
    "Client",
    "ContentLike",
    "ContentStream",
    "Contents",
    "ContextBridgeError",
    "ContextOptions",
    "GenerateOptions",
    "Message",
    "Messages",
    "Resume",
    "Resuming",
    "Secret",
    "Source",
    "Stream",
    "Stubs",
    "Timeout",
    "Tls",
    "Violation",
    "__version__",
    "text_of",
    "v1",
]
