"""Generate deterministic values that satisfy a JSON schema."""

from typing import Any

_MAX_DEPTH = 8
_SCALARS: dict[str, Any] = {"integer": 7, "number": 1.5, "boolean": True, "null": None}


def sample(schema: Any, text: str, depth: int = 0) -> Any:
    """Return a value that satisfies a schema; the same for the same schema and text."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return text
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = _kind(schema)
    if kind == "object":
        return _sample_object(schema, text, depth)
    if kind == "array":
        return [sample(schema.get("items"), text, depth + 1)]
    return _SCALARS.get(kind, text)


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if isinstance(schema.get("properties"), dict) else "string"


def _sample_object(schema: dict[str, Any], text: str, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: sample(each, text, depth + 1) for name, each in properties.items()}
