"""Gemini-native requests as upstream's bodies (wire.md B.2, B.3, D)."""

from collections.abc import Iterable, Mapping
from typing import Any

from contextbridge import v1 as pb

from ..upstream.interface import Surface, UpstreamRequest
from .gemini_json import member_names, to_json
from .generation_request import check_generation_request
from .json_values import Json, encode, merge_extra_body
from .limits import Limits
from .paths import model_name, model_path
from .prompt import Bound, Inline, Prefix, Prompt, gemini_contents, with_member
from .violations import Violations, is_set

CONTENT_ROLES = ("user", "model", "function", "")
MAX_STOP_SEQUENCES = 5
FIELDS = frozenset(("model", *member_names(pb.GenerateContentRequest)))
"""Members of the body that the request has a field for."""

RANGES: dict[str, tuple[float, float | None]] = {
    "candidate_count": (1, None),
    "max_output_tokens": (1, None),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (1, None),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "logprobs": (0, 20),
}
"""Optional numbers of GenerationConfig and their ranges, both ends included."""


class GeneratePrompt(Prompt):
    """A Gemini-native generation."""

    context_field = "cached_content"
    is_native = True

    def __init__(self, path: str, context_id: str, model: str, body: Json, *, stream: bool) -> None:
        super().__init__(context_id, model, body, stream=stream)
        self._path = path

    def request(self, prefix: Prefix) -> UpstreamRequest:
        """Return the upstream request that sends the generation behind a prefix."""
        body = self.encoded
        match prefix:
            case Bound(upstream_id) if upstream_id:
                body = with_member(body, "cachedContent", upstream_id)
            case Inline(messages):
                body = encode(_behind_inline(messages, self.body))
        if self.stream:
            path = f"{self._path}:streamGenerateContent"
            return UpstreamRequest(Surface.NATIVE, "POST", path, body, "alt=sse")
        return UpstreamRequest(Surface.NATIVE, "POST", f"{self._path}:generateContent", body)


class CountTokensPrompt(Prompt):
    """A count of tokens: of a whole generate request, or of contents alone."""

    context_field = "generate_content_request.cached_content"
    is_native = True

    def __init__(
        self, path: str, context_id: str, model: str, body: Json, *, is_whole: bool
    ) -> None:
        super().__init__(context_id, model, body, stream=False)
        self._path = path
        self._is_whole = is_whole

    def request(self, prefix: Prefix) -> UpstreamRequest:
        """Return the upstream request that counts the tokens behind a prefix."""
        body = self.encoded
        match prefix:
            case Bound(upstream_id) if upstream_id:
                body = with_member(body, "cachedContent", upstream_id)
            case Inline(messages):
                body = encode(_behind_inline(messages, self.body))
        if self._is_whole:
            body = b'{"generateContentRequest":%b}' % body
        return UpstreamRequest(Surface.NATIVE, "POST", f"{self._path}:countTokens", body)


def _behind_inline(messages: Iterable[Mapping[str, Any]], body: Json) -> Json:
    """Return a generate request's body with a prefix's messages before its contents."""
    before = gemini_contents(messages)
    return {**before, **body, "contents": [*before["contents"], *body["contents"]]}


def generate_prompt(
    request: pb.GenerateContentRequest, limits: Limits, *, stream: bool
) -> GeneratePrompt:
    """Return the prompt of a generate request.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    check_generation_request(request, violations)
    path = model_path("model", request.model, violations)
    body = generate_body(request, limits, violations)
    violations.raise_if_any()
    return GeneratePrompt(path, request.cached_content, request.model, body, stream=stream)


def count_tokens_prompt(request: pb.CountTokensRequest, limits: Limits) -> CountTokensPrompt:
    """Return the prompt of a request to count tokens.

    Raises:
        BridgeError: REQUEST_INVALID, with every violation.
    """
    violations = Violations()
    path = model_path("model", request.model, violations)
    is_whole = request.HasField("generate_content_request")
    if is_whole:
        body = _whole_request(request, limits, violations)
    else:
        check_contents("contents", request.contents, limits, violations)
        body = to_json(request, violations)
        body.pop("model", None)
    violations.raise_if_any()
    context_id = request.generate_content_request.cached_content
    return CountTokensPrompt(path, context_id, request.model, body, is_whole=is_whole)


def _whole_request(request: pb.CountTokensRequest, limits: Limits, violations: Violations) -> Json:
    field, whole = "generate_content_request", request.generate_content_request
    if request.contents:
        violations.add("contents", f"Not together with {field}.")
    if whole.model and _bare(whole.model) != _bare(request.model):
        violations.add(f"{field}.model", "Must equal model.")
    body = generate_body(whole, limits, violations, path=f"{field}.")
    # The inner request must name its model, with its prefix.
    return {"model": model_name(request.model), **body}


def _bare(model: str) -> str:
    return model.removeprefix("models/")


def generate_body(
    request: pb.GenerateContentRequest, limits: Limits, violations: Violations, path: str = ""
) -> Json:
    """Return a generate request's body, with what is wrong noted."""
    check_contents(f"{path}contents", request.contents, limits, violations)
    check_instruction(f"{path}system_instruction", request.system_instruction, violations)
    _check_config(f"{path}generation_config", request.generation_config, violations)
    if request.cached_content:
        for name in ("system_instruction", "tools", "tool_config"):
            if getattr(request, name) != getattr(pb.GenerateContentRequest(), name):
                violations.add(f"{path}{name}", "Not together with cached_content.")
    body = to_json(request, violations, path)
    # The prompt puts the name of the cache in front.
    body.pop("cachedContent", None)
    merge_extra_body(f"{path}extra_body", body, FIELDS, request.extra_body, violations)
    return body


def check_contents(
    field: str,
    contents: Iterable[pb.Content],
    limits: Limits,
    violations: Violations,
    *,
    required: bool = True,
) -> None:
    """Note what is wrong in contents: none at all, roles, parts, and too much inline media."""
    inline_bytes = place = 0
    for place, content in enumerate(contents, 1):
        at = f"{field}[{place - 1}]"
        violations.one_of(f"{at}.role", content.role, CONTENT_ROLES)
        if not content.parts:
            violations.add(f"{at}.parts", "At least one part is required.")
        for number, part in enumerate(content.parts):
            _check_part(f"{at}.parts[{number}]", part, violations)
            inline_bytes += len(part.inline_data.data)
    if required and not place:
        violations.add(field, "At least one content is required.")
    if inline_bytes > limits.max_inline_bytes:
        violations.add(
            field, f"Inline media must be at most {limits.max_inline_bytes} bytes together."
        )


def _check_part(path: str, part: pb.Part, violations: Violations) -> None:
    match part.WhichOneof("data"):
        case None if not part.extra_json:
            violations.add(path, "A part needs exactly one member.")
        case "inline_data":
            violations.require(f"{path}.inline_data.mime_type", part.inline_data.mime_type)
            violations.require(f"{path}.inline_data.data", part.inline_data.data)
        case "file_data":
            violations.require(f"{path}.file_data.file_uri", part.file_data.file_uri)
        case "function_call":
            violations.require(f"{path}.function_call.name", part.function_call.name)
        case "function_response":
            violations.require(f"{path}.function_response.name", part.function_response.name)


def check_instruction(field: str, instruction: pb.Content, violations: Violations) -> None:
    """Note an instruction's parts that are no text."""
    for number, part in enumerate(instruction.parts):
        if part.WhichOneof("data") != "text":
            violations.add(f"{field}.parts[{number}]", "Must be text.")


def _check_config(field: str, config: pb.GenerationConfig, violations: Violations) -> None:
    for name, (least, most) in RANGES.items():
        if is_set(config, name):
            violations.within(f"{field}.{name}", getattr(config, name), least, most)
    if len(config.stop_sequences) > MAX_STOP_SEQUENCES:
        violations.add(f"{field}.stop_sequences", f"At most {MAX_STOP_SEQUENCES} are allowed.")
    if not all(config.stop_sequences):
        violations.add(f"{field}.stop_sequences", "Must not hold an empty text.")
    if config.HasField("response_schema") and config.response_json_schema:
        violations.add(f"{field}.response_json_schema", "Not together with response_schema.")
