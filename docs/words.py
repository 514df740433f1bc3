"""Check that one word is used for one concept: names that were given up do not come back.

`python docs/words.py` prints each place where a given-up word stands for its concept, and what to
write instead.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("server/", "clients/python/", "emulator/", "benchmarks/")
PROSE = ("README.md", "docs/", "clients/README.md", "protos/")
HISTORY = ("docs/adr/", "CHANGELOG.md", "docs/words.py", "benchmarks/results/")
"""History keeps its words."""


@dataclass(frozen=True)
class Word:
    """A word that was given up.

    Attributes:
        pattern: Finds it where it stands for the concept.
        instead: The word to write.
        where: The beginnings of the paths that are searched.
    """

    pattern: str
    instead: str
    where: tuple[str, ...] = CODE + PROSE


WORDS = (
    Word(r"\brequest_id\s*=\s*\d+;", "idempotency_key", ("protos/",)),
    Word(r"\brequest\.request_id\b(?! or )", "request.idempotency_key", ("server/",)),
    Word(r"REQUEST_ID_REUSED", "IDEMPOTENCY_KEY_REUSED"),
    Word(r"request_id_retention", "idempotency_key_retention"),
    Word(r"\b(?:Ask|Asker|CallTerms)\(|\bcontexts\.asker\b", "RequestContext, GenerationCall"),
    Word(r"\bLayeredMethods\b|\bclass Layer\b|\.around\(", "Interceptor, intercept"),
    Word(r"\bStraight[A-Z]\w+", "Direct…"),
    Word(r"\bOwnedAnswers\b", "AuthorizingAnswers"),
    Word(r"\bOwnedTasks\b", "BackgroundTasks"),
    Word(
        r"\b(?:Attachments|Production|Following)\(", "GenerationManager, Producer, RemoteFollower"
    ),
    Word(r"\bjoined calls?\b|\bjoin(?:s|ed)? (?:a|the) (?:call|generation)\b", "coalesced calls"),
    Word(r"\b(?:Watches|Remembered|RecentHits)\b", "InvalidationTracker, NearCache, HitCache"),
    Word(r"\b(?:Warmth|NoWarmth|KeepWarm)\b", "BindingRefresher"),
    Word(r"\b(?:KeptGenerations|kept_key)\b", "RetentionIndex, retention_key"),
    Word(r"\bNamedContexts?\b", "ContextLookup, ResolvedContext"),
    Word(r"\bTallies\b|\btallies\b", "counters", ("server/", "docs/", "README.md")),
    Word(r"\bpatiently\(|\bwaits\(\)|\bbeside\(", "retry_with_backoff, backoff, background"),
    Word(r"\b(?:Crew|Post|Brief)\(", "WorkerPool, WorkerSlot, WorkerConfig"),
    Word(r"\bheld_port\b", "held_listen_socket"),
    Word(
        r"\bpb\.(?:Started|Completed)\b|^message (?:Started|Completed) \{",
        "ChatStarted, ChatCompleted",
    ),
    Word(r"\b[Mm]end what\b", "fix what"),
    Word(r"scripts that bear to be run twice", "idempotent scripts"),
    Word(r"For the person who joins", "For new contributors"),
)


def found_in(path: str, text: str) -> Iterator[str]:
    """Yield a line for each given-up word in a file."""
    for word in WORDS:
        if not path.startswith(word.where):
            continue
        for match in re.finditer(word.pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: {match[0].strip()!r}; write {word.instead}"


def files() -> Iterator[Path]:
    """Yield the files that are searched."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name.startswith(CODE + PROSE) and not name.startswith(HISTORY):
            yield ROOT / name


def main() -> int:
    """Print what is found; return the exit code."""
    lines: list[str] = []
    for file in files():
        try:
            text = file.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        lines.extend(found_in(str(file.relative_to(ROOT)), text))
    print("\n".join(lines) or "one word for one concept")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
