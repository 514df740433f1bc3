"""The suite as it is read from its file, and made ready for one runner."""

import base64
import json
from pathlib import Path
from typing import Any

FILE = Path("clients/conformance/suite.json")
FOR_THE_RUNNER = (
    "name",
    "call",
    "request",
    "upload",
    "read",
    "timeout",
    "cancel_after",
    "resume",
)


def load(root: Path) -> dict[str, dict[str, Any]]:
    """Return the cases of a source tree's suite, by their names."""
    cases = json.loads((root / FILE).read_text())["cases"]
    by_name = {case["name"]: case for case in cases}
    assert len(by_name) == len(cases), "two cases of one name"
    return by_name


def filled(value: Any, words: dict[str, str]) -> Any:
    """Return JSON with `{word}` replaced in its texts, and long texts written out.

    `{"$repeat": "ab", "$times": 3}` is `ababab`, and with `"$base64": true` that in base64.
    """
    match value:
        case str():
            for word, meaning in words.items():
                value = value.replace(f"{{{word}}}", meaning)
            return value
        case {"$repeat": str() as text, "$times": int() as times, **options}:
            long = filled(text, words) * times
            return base64.b64encode(long.encode()).decode() if options else long
        case dict():
            return {name: filled(member, words) for name, member in value.items()}
        case list():
            return [filled(element, words) for element in value]
        case _:
            return value
