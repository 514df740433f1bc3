"""Keeps what is stored of contexts small, and secret where there are keys.

A sealed value is a byte of version, a byte of form, and what the form says::

    plain      8 bytes of BLAKE2b over header, label and data; data
    encrypted  4 bytes that name the key; 12 bytes of nonce; data by AES-256-GCM, 16 bytes of tag

Data is compressed before it is encrypted, so a value's size tells how well its content compresses.
That gives text away only to somebody who puts text of their own into the same content again and
again, such as a session's turns beside a system prompt, and also sees the sizes in the store; one
value never holds content of two contexts, let alone of two tenants.

Both methods take time in proportion to the content, some 15 ms a MiB; they let other threads run
meanwhile.
"""

import asyncio
import base64
import binascii
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contextbridge import v1 as pb

from ..errors import BridgeError

PLAIN = b"\x01\x00"
ENCRYPTED = b"\x01\x01"
HEADER_BYTES = 2
CHECKSUM_BYTES = 8
KEY_BYTES = 32
KEY_ID_BYTES = 4
NONCE_BYTES = 12
COMPRESSION_LEVEL = 4
"""On prose, code and JSON: 3.6 times smaller at 67 MB/s; level 6 gives 3.8 at half the speed."""
LARGE_BYTES = 64 * 1024
"""What is larger is sealed and opened in a thread."""
MAX_CONTENT_BYTES = 128 * 1024**2
"""Far above what a message of the default size can become."""


class Vault:
    """Seals content for the store, and opens what was sealed.

    Args:
        keys: Keys of 32 bytes. The first encrypts, all decrypt; without any, nothing is encrypted.
        max_bytes: Largest content, so that no value of the store fills the memory when opened.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, max_bytes: int = MAX_CONTENT_BYTES) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing = _key_id(keys[0]) if keys else None
        self._max_bytes = max_bytes

    def seal(self, content: bytes, label: str) -> bytes:
        """Return content as it is stored.

        Args:
            content: What to store.
            label: The key that it is stored under; it opens under no other.

        Raises:
            ValueError: It is larger than could be opened again.
        """
        if len(content) > self._max_bytes:
            raise ValueError(f"content must be at most {self._max_bytes} bytes")
        data = zlib.compress(content, COMPRESSION_LEVEL)
        if self._sealing is None:
            return PLAIN + _checksum(label, data) + data
        nonce = os.urandom(NONCE_BYTES)
        encrypted = self._ciphers[self._sealing].encrypt(nonce, data, _bound(label))
        return ENCRYPTED + self._sealing + nonce + encrypted

    async def sealed(self, content: bytes, label: str) -> bytes:
        """Seal content; large content in a thread, so that other calls get their turns."""
        if len(content) < LARGE_BYTES:
            return self.seal(content, label)
        return await asyncio.to_thread(self.seal, content, label)

    async def opened(self, sealed: bytes, label: str) -> bytes:
        """Open what was sealed; what is large in a thread, so that other calls get their turns."""
        if len(sealed) < LARGE_BYTES:
            return self.open(sealed, label)
        return await asyncio.to_thread(self.open, sealed, label)

    def open(self, sealed: bytes, label: str) -> bytes:
        """Return the content of what was sealed under a label.

        Raises:
            BridgeError: CONTENT_UNREADABLE: its key is missing, it was sealed under another label,
                or it is damaged.
        """
        try:
            return _decompressed(self._data(sealed, label), self._max_bytes)
        except (InvalidTag, KeyError, ValueError, zlib.error) as error:
            # One message for all causes: what does not open is told apart by nobody outside.
            raise BridgeError(
                pb.ERROR_REASON_CONTENT_UNREADABLE,
                "What was stored of the context cannot be read with the server's keys.",
            ) from error

    def _data(self, sealed: bytes, label: str) -> bytes:
        """Return the compressed data, whose origin has been checked."""
        header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
        if header == PLAIN:
            checksum, data = rest[:CHECKSUM_BYTES], rest[CHECKSUM_BYTES:]
            if checksum != _checksum(label, data):
                raise ValueError("the checksum is another one")
            return data
        if header == ENCRYPTED:
            cipher = self._ciphers[rest[:KEY_ID_BYTES]]
            nonce = rest[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
            return cipher.decrypt(nonce, rest[KEY_ID_BYTES + NONCE_BYTES :], _bound(label))
        raise ValueError("the envelope is of no known version and form")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:KEY_ID_BYTES]


def _bound(label: str) -> bytes:
    """Return what an encrypted value is bound to, besides its key."""
    return ENCRYPTED + label.encode()


def _checksum(label: str, data: bytes) -> bytes:
    """Return what tells damage and a moved value; it guards against nobody's intent."""
    name = label.encode()
    digest = hashlib.blake2b(PLAIN + len(name).to_bytes(8), digest_size=CHECKSUM_BYTES)
    digest.update(name)
    digest.update(data)
    return digest.digest()


def _decompressed(data: bytes, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj()
    # One byte more than allowed tells content that is too large from content that just fits.
    content = decompressor.decompress(data, max_bytes + 1)
    if len(content) > max_bytes or not decompressor.eof or decompressor.unused_data:
        raise ValueError("the compressed data is too large, cut short or too long")
    return content


def read_keys(path: Path) -> list[bytes]:
    """Return the keys that a file holds, in its order.

    Raises:
        ValueError: It holds none, or a line is no key; the message says which line.
        OSError: The file cannot be read.
    """
    lines = path.read_bytes().splitlines()
    keys = [
        _key_of_line(line.strip(), number)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith(b"#")
    ]
    if not keys:
        raise ValueError("store_encryption_key_file: it holds no keys")
    return keys


def _key_of_line(line: bytes, number: int) -> bytes:
    standard = line.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        key = base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"store_encryption_key_file: line {number} is no base64 of 32 bytes")
    return key
