"""Names of what upstream holds: one for each resource, however it is spelled, and files in bodies.

A spelling that led past the owner's record would open another tenant's resource. So an owner is
looked up by what all spellings share, and what is no plain id is never taken for an unknown one.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

from contextbridge import v1 as pb

from ..errors import BridgeError
from ..translate import cached_contents

PLAIN = re.compile(r"[a-z0-9._~-]+")
"""An id that reads the same in a path, in a URL and in JSON."""
MAX_ID_CHARACTERS = 512
MAX_FILES = 10_000
"""More files than any model reads in one prompt."""

FILE = re.compile(r"(?:^|/)files/([a-z0-9_-]+)(?:[?#:;].*)?$")
"""What ends as the address of a file does."""
FILE_URL = re.compile(r"(?:^|/v\d[a-z0-9]*/)files/[a-z0-9_-]+(?:[?#:;].*)?$")
"""The address of a file, as `File.uri` has it; other sites have folders of that name too."""
ADDRESS_MEMBERS = (b'uri"', b'url"', b"\\u")
"""What a body holds, in lower case, that has a member for an address, or may hide its name."""
ESCAPES = 2
"""How often servers in a row might undo percent-encoding."""
READ_OVER: Mapping[int, str | None] = {**dict.fromkeys(range(33)), ord("\\"): "/"}
"""What readers of addresses leave out, and what some take for a slash."""


class Kind(Enum):
    """What upstream holds, in a word for people."""

    CACHED_CONTENT = "cached content"
    CONTEXT = "context"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that upstream holds.

    Attributes:
        kind: What it was named as.
        id: What all spellings of its name share.
    """

    kind: Kind
    id: str

    @property
    def key(self) -> str:
        """What it is found by: cached contents and contexts share upstream's ids."""
        return f"{'file' if self.kind is Kind.FILE else 'prefix'}/{self.id}"

    @property
    def is_plain(self) -> bool:
        """Whether no server reads its id as something else."""
        return PLAIN.fullmatch(self.id) is not None


def named_cached_content(name: str) -> Resource:
    """Return the cached content of a name: a bare id, or one behind its collection.

    The project is left out: it has a number and an id, and upstream takes either.
    """
    return Resource(Kind.CACHED_CONTENT, _bounded(_last(name)))


def named_context(context_id: str) -> Resource:
    """Return what an id on the context surface names: a context or a cached content."""
    if f"{cached_contents.COLLECTION.lower()}/" in context_id.lower():
        return named_cached_content(context_id)
    return Resource(Kind.CONTEXT, _bounded(context_id.lower()))


def named_file(name: str) -> Resource:
    """Return the file of a name: a bare id, or one behind its collection."""
    return Resource(Kind.FILE, _bounded(_last(name)))


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _bounded(text: str) -> str:
    """Return an id that a key can hold; a digest is no plain id, so nothing else is found by it."""
    if len(text) <= MAX_ID_CHARACTERS:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class FilesNamed:
    """The files that a body names.

    Attributes:
        certain: Those that upstream would look up.
        possible: Those that it might, by addresses that may be other sites'.
    """

    certain: Sequence[Resource] = ()
    possible: Sequence[Resource] = ()


def files_in(body: bytes) -> FilesNamed:
    """Return the files that an encoded body names.

    Raises:
        BridgeError: REQUEST_INVALID, where the body is nested too deep or names too many.
    """
    lowered = body.lower()
    if not any(member in lowered for member in ADDRESS_MEMBERS):
        return FilesNamed()
    found: dict[str, bool] = {}
    for member, address in _addresses(body):
        for file_id, is_certain in _file_ids(address, is_file=member == "fileuri"):
            found[file_id] = found.get(file_id, False) or is_certain
    if len(found) > MAX_FILES:
        raise _invalid(f"The request names more than {MAX_FILES} files.")
    return FilesNamed(
        certain=[Resource(Kind.FILE, name) for name, is_certain in found.items() if is_certain],
        possible=[
            Resource(Kind.FILE, name) for name, is_certain in found.items() if not is_certain
        ],
    )


def _addresses(body: bytes) -> Sequence[tuple[str, str]]:
    """Return the members of a body that hold an address, their names without case and `_`."""
    found: list[tuple[str, str]] = []

    def note(members: list[tuple[str, Any]]) -> None:
        for name, value in members:
            folded = name.lower().replace("_", "")
            if isinstance(value, str) and folded.endswith(("uri", "url")):
                found.append((folded, value))

    try:
        # Not msgspec: of two members of one name, which JSON text of a caller's may hold, it keeps
        # the last, and upstream may keep the first.
        json.loads(body, object_pairs_hook=note, parse_int=str)
    except RecursionError as error:
        raise _invalid("The request is nested too deep.") from error
    return found


def _file_ids(address: str, *, is_file: bool) -> Iterator[tuple[str, bool]]:
    """Yield the files that an address may be, and whether it surely is one."""
    for reading in _readings(address):
        if match := FILE.search(reading):
            yield _bounded(match[1]), is_file or FILE_URL.search(reading) is not None


def _readings(address: str) -> Sequence[str]:
    """Return what upstream may make of an address: its path put in order, or all as it stands."""
    if address[:5].lower() == "data:":
        return ()
    text = address
    for _ in range(ESCAPES):
        text = unquote(text)
    text = text.translate(READ_OVER).lower()
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    return normpath(path), text


def _invalid(message: str) -> BridgeError:
    return BridgeError(pb.ERROR_REASON_REQUEST_INVALID, message)
