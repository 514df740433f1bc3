"""Usage: upstream's counts in our words, and an estimate where upstream counts nothing."""

from contextbridge import v1 as pb

from .json_values import Reader, text_of

BYTES_PER_TOKEN = 4
MAX_TOKENS = 2**31 - 1


def usage_of_chat(reader: Reader) -> pb.Usage:
    """Read `usage` of the context surface, in either family's shape (wire.md A.1, A.2)."""
    prompt = reader.members("prompt_tokens_details")
    completion = reader.members("completion_tokens_details")
    usage = pb.Usage(
        prompt_tokens=_tokens(reader, "prompt_tokens"),
        completion_tokens=_tokens(reader, "completion_tokens"),
        total_tokens=_tokens(reader, "total_tokens"),
        cached_tokens=_tokens(prompt, "cached_tokens"),
        cache_creation_tokens=_tokens(reader, "cache_creation_input_tokens"),
        reasoning_tokens=_tokens(completion, "reasoning_tokens"),
    )
    extra = reader.rest()
    if details := prompt.rest():
        extra["prompt_tokens_details"] = details
    if details := completion.rest():
        extra["completion_tokens_details"] = details
    usage.extra_json = text_of(extra)
    return usage


def _tokens(reader: Reader, key: str) -> int:
    """Take a count of tokens; one that an int32 does not hold becomes the largest that it does."""
    return max(-MAX_TOKENS, min(reader.integer(key), MAX_TOKENS))


def usage_of_gemini(metadata: pb.UsageMetadata) -> pb.Usage:
    """Return Gemini's counts in our words; its answers' tokens do not include thoughts, ours do."""
    return pb.Usage(
        prompt_tokens=_sum(metadata.prompt_token_count, metadata.tool_use_prompt_token_count),
        completion_tokens=_sum(metadata.candidates_token_count, metadata.thoughts_token_count),
        total_tokens=metadata.total_token_count,
        cached_tokens=metadata.cached_content_token_count,
        reasoning_tokens=metadata.thoughts_token_count,
    )


def _sum(first: int, second: int) -> int:
    return max(-MAX_TOKENS, min(first + second, MAX_TOKENS))


def estimated_usage(prompt_bytes: int, completion_bytes: int) -> pb.Usage:
    """Return an estimate from the lengths of what was sent and what came back."""
    prompt = -(-prompt_bytes // BYTES_PER_TOKEN)
    completion = -(-completion_bytes // BYTES_PER_TOKEN)
    return pb.Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        estimated=True,
    )
