"""Generate the reference pages, or check that those in the repository are current.

`python docs/generate.py` writes configuration.md and errors.md; with `--check` nothing is written,
what differs is printed, and a difference is a failure.
"""

import argparse
import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from contextbridge import v1 as pb
from contextbridge_server.rpc.status import STATUSES
from contextbridge_server.settings import UNITS, Settings, format_duration
from contextbridge_server.upstream.failures import (
    BY_CODE,
    BY_GOOGLE_STATUS,
    BY_HTTP_STATUS,
    BY_MESSAGE,
    Reason,
)
from contextbridge_server.upstream.http import TIMEOUTS, TRANSPORT_FAILURES
from contextbridge_server.upstream.retry import NOT_SENT, TURNED_AWAY

DOCS = Path(__file__).resolve().parent
PROTOSET = DOCS.parent / "protos" / "contextbridge.protoset"
REASONS_PROTO = "contextbridge/v1/error_reason.proto"
PREFIX = "ERROR_REASON_"
NOTICE = "<!-- Made by docs/generate.py; edit what it is made from. -->"

CONFIGURATION = f"""\
# Configuration

{NOTICE}

Every setting is a flag of `contextbridge serve`, an environment variable and a key of the TOML file
that `config` names.
A flag beats the variable, the variable beats the file, the file beats the default.
An empty variable counts as unset.
A key that no setting has is an error, and so is a value out of range: the server says which, and
does not start.

`contextbridge config` takes the same flags and prints what `serve` would use as TOML, secrets
masked.

* A **duration** is a number and `ms`, `s`, `m`, `h` or `d`: `500ms`, `5s`, `2m`.
* A **size** is a number of bytes, or a number and a unit: `20MiB`, `16KiB`.
* A **switch** is `true` or `false`.
  As a flag it stands alone, and with `no-` in front it is turned off: `--no-NAME`.

"""

ERRORS = f"""\
# Errors

{NOTICE}

Every failure is a status with one `ErrorInfo` in its details: domain `contextbridge.dev`, and a
reason from the table below.
Branch on the reason, never on the message.
The message says what happened and what can be done.
What is variable in it is in the metadata of `ErrorInfo` too.
The full name of each reason begins with `{PREFIX}`, as in `error_reason.proto`.

**Retry** says whether repeating the call can help.
Where it can, the status carries `RetryInfo` with a delay: upstream's, where upstream asks for one,
or else the one given here.
Reads are safe to repeat.
A call that generates or creates may be charged again, unless the meaning says that nothing was
sent.

"""

APPENDIX = """
## What upstream's answers become

An answer that is no success, and an error object under HTTP 200, is looked up in these tables.
What the content says counts first: upstream's code or type, then its message.
Google's status name comes next, and the HTTP status last.
A dotted code is looked up whole, then without its last word, and so on.

An HTTP 5xx that is in no table is `UPSTREAM_INTERNAL`, anything else `UPSTREAM_UNKNOWN`.
An error object under HTTP 200 without a code of its own counts as HTTP 500.
A rate limit whose quota is a day's, or 0, is `UPSTREAM_QUOTA_EXHAUSTED`.

"""

SIZES = ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)


def main() -> int:
    """Write or check, as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    pages = {DOCS / "configuration.md": configuration_page(), DOCS / "errors.md": errors_page()}
    if parser.parse_args().check:
        return check(pages)
    for path, text in pages.items():
        path.write_text(text)
    return 0


def check(pages: Mapping[Path, str]) -> int:
    """Print how the pages in the repository differ from fresh ones; return the exit code."""
    differences: list[str] = []
    for path, text in pages.items():
        present = path.read_text() if path.is_file() else ""
        name = path.relative_to(DOCS.parent).as_posix()
        differences += difflib.unified_diff(
            present.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"{name} (in the repository)",
            f"{name} (fresh; run `make docs`)",
        )
    sys.stdout.writelines(differences)
    return 1 if differences else 0


# ---------------------------------------------------------------------------- configuration


def configuration_page() -> str:
    """Return the page of settings."""
    header = ("Setting", "Flag", "Variable", "Type", "Default", "Meaning")
    rows = [setting_row(name, field) for name, field in Settings.model_fields.items()]
    return CONFIGURATION + table(header, rows)


def setting_row(name: str, field: FieldInfo) -> Sequence[str]:
    """Return what there is to say of one setting."""
    return (
        code(name),
        code(f"--{name.replace('_', '-')}"),
        code(f"{Settings.model_config['env_prefix']}{name.upper()}"),
        "folder" if name.endswith("_dir") else kind_of(field),
        default_of(field),
        " ".join((field.description or "").split()),
    )


def kind_of(field: FieldInfo) -> str:
    """Return what kind of value a setting takes, in words."""
    kind = next((k for k in get_args(field.annotation) if k is not type(None)), field.annotation)
    if get_origin(field.annotation) is Literal:
        return " or ".join(code(word) for word in get_args(field.annotation))
    words: Mapping[Any, str] = {
        bool: "switch",
        str: "text",
        int: "whole number",
        float: "number",
        Path: "file",
        timedelta: "duration",
        ByteSize: "size",
        SecretStr: "secret",
    }
    return words[kind] + range_of(field)


def range_of(field: FieldInfo) -> str:
    """Return the bounds of a number, as the words that follow its kind."""
    ends = []
    for bound in field.metadata:
        match bound:
            case Gt(gt=least) if not isinstance(least, timedelta):
                ends.append(f"above {least}")
            case Ge(ge=timedelta()):
                ends.append("or 0")
            case Ge(ge=least):
                ends.append(f"from {least}")
            case Le(le=most):
                ends.append(f"to {most}")
    return "".join(f" {end}" for end in ends)


def default_of(field: FieldInfo) -> str:
    """Return a setting's default as it would be written."""
    match field.default:
        case _ if field.is_required():
            return "required"
        case _ if field.default_factory is not None:
            # It differs from one machine to the next; the setting says what to call it.
            extra = field.json_schema_extra
            return code(str(extra["default"])) if isinstance(extra, dict) else ""
        case None:
            return ""
        case bool() as flag:
            return code(str(flag).lower())
        case timedelta() as duration:
            return code(shortest(duration))
        case ByteSize() as size:
            return code(size_text(size))
        case value:
            return code(str(value))


def shortest(duration: timedelta) -> str:
    """Return a duration in the largest unit that needs no fraction."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:g}{unit}"
    return format_duration(duration)


def size_text(size: int) -> str:
    """Return a size in the largest unit that needs no fraction."""
    return next((f"{size // step}{unit}" for unit, step in SIZES if size % step == 0), str(size))


# ---------------------------------------------------------------------------- errors


def errors_page() -> str:
    """Return the page of reasons, with what upstream's answers become as an appendix."""
    meanings = reason_comments()
    header = ("Reason", "Status", "Retry", "Meaning", "Advice")
    rows = [reason_row(reason, meanings[pb.ErrorReason.Name(reason)]) for reason in STATUSES]
    return ERRORS + table(header, rows) + repeated_section() + APPENDIX + upstream_tables()


def reason_row(reason: Reason, comment: str) -> Sequence[str]:
    """Return what there is to say of one reason."""
    status = STATUSES[reason]
    delay = status.retry_after
    retry = "no" if delay is None else f"after {format_duration(delay)}"
    return short(reason), code(status.code.name), retry, meaning_in(comment), status.advice


def meaning_in(comment: str) -> str:
    """Return a reason's comment without its last paragraph, which the other columns say."""
    return " ".join(comment.strip().split("\n\n")[0].split())


def reason_comments() -> Mapping[str, str]:
    """Return the comments of error_reason.proto, by the names of the reasons."""
    file = reasons_file()
    reasons = file.enum_type[0].value
    return {
        reasons[location.path[3]].name: unindented(location.leading_comments)
        for location in file.source_code_info.location
        # 5 is FileDescriptorProto.enum_type, 2 is EnumDescriptorProto.value.
        if list(location.path[:3]) == [5, 0, 2] and len(location.path) == 4  # noqa: PLR2004
    }


def reasons_file() -> FileDescriptorProto:
    """Return error_reason.proto, with its comments."""
    files = FileDescriptorSet.FromString(PROTOSET.read_bytes()).file
    return next(file for file in files if file.name == REASONS_PROTO)


def unindented(comment: str) -> str:
    """Return a comment without the space that follows each `//`."""
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines())


def repeated_section() -> str:
    """Return what the server repeats before a caller hears of it."""
    rows = [("before the request was sent", short(reason)) for reason in sorted(NOT_SENT)]
    rows += [(f"HTTP {status}", short(reason)) for status, reason in sorted(TURNED_AWAY)]
    return (
        "\n## What the server repeats by itself\n\n"
        "These failures cannot have been charged, so the server tries again before the caller hears"
        " of them:\nat most `retry_max_attempts` times in all, inside the caller's deadline and"
        " `retry_budget`, and never once the answer has begun.\n\n"
        + table(("When upstream fails", "Reason"), rows)
    )


def upstream_tables() -> str:
    """Return the tables from upstream's answers to reasons, in the order in which they count."""
    statuses = [(spans(numbers), reason) for reason, numbers in by_reason(BY_HTTP_STATUS)]
    transport = [(exception_name(kind), row[0]) for kind, row in TRANSPORT_FAILURES.items()]
    sections: Sequence[tuple[str, str, Iterable[tuple[str, Reason]]]] = (
        ("By code", "Upstream's code, type or `ErrorInfo` reason", BY_CODE.items()),
        ("By message", "Pattern", ((pattern.pattern, r) for pattern, r in BY_MESSAGE)),
        ("By Google's status", "Status", BY_GOOGLE_STATUS.items()),
        ("By HTTP status", "HTTP status", statuses),
        ("Without an answer", "Exception of the HTTP client", transport),
        ("By a timeout", "What is said", ((text, r) for r, text in TIMEOUTS.items())),
    )
    return "\n".join(
        f"### {title}\n\n"
        + table((header, "Reason"), [(code(word), short(reason)) for word, reason in rows])
        for title, header, rows in sections
    )


def exception_name(kind: type[Exception]) -> str:
    """Return an exception's name as it stands in the code."""
    return kind.__qualname__


def by_reason(statuses: Mapping[int, Reason]) -> Iterator[tuple[Reason, list[int]]]:
    """Yield neighbouring HTTP statuses that mean the same, together."""
    for reason, items in groupby(sorted(statuses.items()), key=lambda item: item[1]):
        yield reason, [status for status, _ in items]


def spans(numbers: Sequence[int]) -> str:
    """Return numbers as text, runs of more than two as a range."""
    texts: list[str] = []
    for _, items in groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        run = [number for _, number in items]
        joined = f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run))  # noqa: PLR2004
        texts.append(joined)
    return ", ".join(texts)


def short(reason: Reason) -> str:
    """Return a reason's name without the prefix that all have."""
    return code(pb.ErrorReason.Name(reason).removeprefix(PREFIX))


# ---------------------------------------------------------------------------- Markdown


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def cell(text: str) -> str:
    """Return text as a cell: no bar may end it, even within code."""
    return text.replace("|", r"\|")


def code(text: str) -> str:
    """Return text as code."""
    return f"`{text}`"


if __name__ == "__main__":
    sys.exit(main())
