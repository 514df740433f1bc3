"""Files cut into the messages of an upload."""

import io
import mimetypes
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from contextbridge import v1 as pb

Source = str | PathLike[str] | bytes | BinaryIO
"""A file: its path, its bytes, or an open binary file, read from where it stands."""

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is about to go out."""

    metadata: pb.UploadFileMetadata
    file: BinaryIO

    def first(self) -> pb.UploadFileRequest:
        """The message that says what comes."""
        return pb.UploadFileRequest(metadata=self.metadata)

    def next(self) -> pb.UploadFileRequest | None:
        """The next bytes. None at the end. Raises OSError."""
        chunk = self.file.read(CHUNK_BYTES)
        return pb.UploadFileRequest(chunk=chunk) if chunk else None

    def messages(self) -> Iterator[pb.UploadFileRequest]:
        """All of the messages."""
        yield self.first()
        while (message := self.next()) is not None:
            yield message


@contextmanager
def opened(
    source: Source, *, mime_type: str | None, size_bytes: int | None, display_name: str, name: str
) -> Iterator[Upload]:
    """Opens a source; closes it again where it was opened here.

    Raises OSError, and ValueError where the media type or the size is neither given nor known.
    """
    with ExitStack() as stack:
        if isinstance(source, str | PathLike):
            mime_type = mime_type or mimetypes.guess_type(source)[0]
            file: BinaryIO = stack.enter_context(Path(source).open("rb"))
        else:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
        if mime_type is None:
            msg = "the media type is not known: pass mime_type"
            raise ValueError(msg)
        metadata = pb.UploadFileMetadata(
            mime_type=mime_type,
            size_bytes=_size(file) if size_bytes is None else size_bytes,
            display_name=display_name,
            name=name,
        )
        yield Upload(metadata, file)


def _size(file: BinaryIO) -> int:
    if not file.seekable():
        msg = "the size of a file that cannot seek is not known: pass size_bytes"
        raise ValueError(msg)
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here
