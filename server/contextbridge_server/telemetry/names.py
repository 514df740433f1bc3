"""Every event name and field name that is logged, once.

Names are OpenTelemetry's where it has them (RPC and GenAI semantic conventions).
"""

from typing import Final

# Events.
SERVER_STARTED: Final = "server.started"
SERVER_DRAINING: Final = "server.draining"
SERVER_STOPPED: Final = "server.stopped"
CALL: Final = "call"
CALL_FAULT: Final = "call.fault"
UPSTREAM_RETRY: Final = "upstream.retry"
CONTEXT_RESTORED: Final = "context.restored"
CONTEXT_INLINED: Final = "context.inlined"
CONTEXT_KEPT_WARM: Final = "context.kept_warm"
BINDING_LEFT: Final = "context.binding_left"
EMULATOR_STARTED: Final = "emulator.started"
CERTIFICATES_RELOAD_FAILED: Final = "certificates.reload_failed"
STORE_STARTED: Final = "store.started"
STORE_RESTARTED: Final = "store.restarted"
STORE_START_FAILED: Final = "store.start_failed"
STORE_STOPPED: Final = "store.stopped"
STORE_UNAVAILABLE: Final = "store.unavailable"
STORE_AVAILABLE: Final = "store.available"
STORE_EVICTS: Final = "store.evicts"

# Fields of the canonical line of a call.
METHOD: Final = "rpc.method"
STATUS_CODE: Final = "rpc.response.status_code"
DURATION_MS: Final = "duration_ms"
FIRST_MESSAGE_MS: Final = "first_message_ms"
MESSAGES_SENT: Final = "messages_sent"
REQUEST_ID: Final = "request_id"
PEER: Final = "network.peer.address"
CALLER: Final = "caller"
TENANT: Final = "tenant"
REASON: Final = "error.type"
HTTP_STATUS: Final = "http.response.status_code"
UPSTREAM_REQUEST_ID: Final = "upstream.request_id"
UPSTREAM_CODE: Final = "upstream.code"
CONTEXT: Final = "context.id"
RESTORED: Final = "context.was_restored"
INLINED: Final = "context.was_inlined"
MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
