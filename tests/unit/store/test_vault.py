"""The vault: what is sealed opens under its own key and label, and nothing else ever opens."""

import base64
import hashlib
import os
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextbridge import v1 as pb
from contextbridge_server.errors import BridgeError
from contextbridge_server.store.vault import Vault, read_keys

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
LABEL = "{shop/cctx-1}:content"
CONTENT = b"Answer as a pirate would. " * 4
CLEAR_VAULT, KEY_VAULT = Vault(), Vault([KEY])
BOTH = pytest.mark.parametrize("vault", [CLEAR_VAULT, KEY_VAULT], ids=["clear", "encrypted"])


def refusal(vault: Vault, sealed: bytes, label: str) -> BridgeError | None:
    """Return how a value is refused, if it is."""
    try:
        vault.open(sealed, label)
    except BridgeError as error:
        return error
    return None


def is_refused(vault: Vault, sealed: bytes, label: str = LABEL) -> bool:
    """Tell whether a value does not open; the error says nothing of its cause."""
    error = refusal(vault, sealed, label)
    if error is None:
        return False
    assert error.reason == pb.ERROR_REASON_CONTENT_UNREADABLE
    assert error.message.endswith("cannot be read with the server's keys.")
    assert not error.metadata
    return True


@given(st.binary(max_size=2_000), st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_what_is_sealed_opens(content, label, is_encrypted):
    vault = KEY_VAULT if is_encrypted else CLEAR_VAULT

    assert vault.open(vault.seal(content, label), label) == content


@BOTH
def test_stored_content_is_smaller(vault):
    assert len(vault.seal(CONTENT * 100, LABEL)) < len(CONTENT) * 2


def test_encrypted_content_shows_nothing_of_itself():
    content = os.urandom(64)

    sealed = KEY_VAULT.seal(content, LABEL)

    assert content not in sealed
    assert zlib.compress(content)[2:-4] not in sealed
    assert LABEL.encode() not in sealed
    assert KEY[:4] not in sealed


def test_the_same_content_is_never_sealed_to_the_same_bytes():
    assert KEY_VAULT.seal(CONTENT, LABEL) != KEY_VAULT.seal(CONTENT, LABEL)


def test_another_key_opens_nothing():
    assert is_refused(Vault([OTHER_KEY]), KEY_VAULT.seal(CONTENT, LABEL))


def test_another_key_of_the_same_name_opens_nothing():
    sealed = KEY_VAULT.seal(CONTENT, LABEL)
    renamed = sealed[:2] + hashlib.sha256(OTHER_KEY).digest()[:4] + sealed[6:]

    assert is_refused(Vault([OTHER_KEY]), renamed)


def test_without_a_key_nothing_encrypted_opens():
    assert is_refused(CLEAR_VAULT, KEY_VAULT.seal(CONTENT, LABEL))


def test_after_a_rotation_the_first_key_encrypts_and_all_decrypt():
    rotated = Vault([OTHER_KEY, KEY])

    assert rotated.open(KEY_VAULT.seal(CONTENT, LABEL), LABEL) == CONTENT
    assert Vault([OTHER_KEY]).open(rotated.seal(CONTENT, LABEL), LABEL) == CONTENT


def test_content_from_before_there_were_keys_still_opens():
    assert KEY_VAULT.open(CLEAR_VAULT.seal(CONTENT, LABEL), LABEL) == CONTENT


@BOTH
@pytest.mark.parametrize("label", ["", "{shop/cctx-2}:content", "{desk/cctx-1}:content"])
def test_a_value_that_was_moved_does_not_open(vault, label):
    assert is_refused(vault, vault.seal(CONTENT, LABEL), label)


@BOTH
def test_a_value_damaged_at_any_byte_does_not_open(vault):
    sealed = vault.seal(b"Hello", LABEL)

    for offset in range(len(sealed)):
        for byte in set(range(256)) - {sealed[offset]}:
            assert is_refused(vault, sealed[:offset] + bytes([byte]) + sealed[offset + 1 :])


@BOTH
def test_a_value_cut_short_or_too_long_does_not_open(vault):
    sealed = vault.seal(CONTENT, LABEL)

    assert all(is_refused(vault, sealed[:length]) for length in range(len(sealed)))
    assert is_refused(vault, sealed + b"\0")


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x01\x00", b"\x01\x01", b"\x01\x02"]))
def test_no_bytes_at_all_open_by_chance(rest, header):
    assert is_refused(KEY_VAULT, header + rest)


@BOTH
def test_content_past_the_bound_is_not_decompressed(vault):
    keys = [KEY] if vault is KEY_VAULT else []
    sealed = vault.seal(bytes(10_001), LABEL)

    assert len(sealed) < 100
    assert is_refused(Vault(keys, max_bytes=10_000), sealed)
    assert Vault(keys, max_bytes=10_001).open(sealed, LABEL) == bytes(10_001)


@BOTH
def test_what_could_not_be_opened_again_is_not_sealed(vault):
    keys = [KEY] if vault is KEY_VAULT else []

    with pytest.raises(ValueError, match="at most 10 bytes"):
        Vault(keys, max_bytes=10).seal(bytes(11), LABEL)


def test_a_value_of_today_opens_tomorrow():
    sealed = bytes.fromhex(
        "0101630dcd29000102030405060708090a0b"
        "3f5c2553082c0b1c8d441b8a44151869483febda1316fc1141204a9d01"
    )
    clear = bytes.fromhex("01004835c5660536d3f2785ef348cdc9c90700058c01f5")

    assert KEY_VAULT.open(sealed, "label") == b"Hello"
    assert CLEAR_VAULT.open(clear, "label") == b"Hello"


@pytest.fixture(name="key_file")
def key_file_fixture(tmp_path):
    """Return what writes a file of keys."""

    def write(content):
        file = tmp_path / "keys"
        file.write_bytes(content)
        return file

    return write


def test_keys_are_read_in_order_in_either_alphabet(key_file):
    keys = [bytes([251, 255]) * 16, KEY, OTHER_KEY]
    standard, unpadded = base64.b64encode(keys[0]), base64.b64encode(keys[2]).rstrip(b"=")
    lines = [b"# new", standard, b"", b"  " + base64.urlsafe_b64encode(keys[1]) + b" \r", unpadded]

    assert read_keys(key_file(b"\n".join(lines))) == keys
    assert read_keys(key_file(base64.urlsafe_b64encode(keys[0]))) == keys[:1]


@pytest.mark.parametrize(
    "line",
    [
        b"secret",
        base64.b64encode(bytes(31)),
        base64.b64encode(bytes(33)),
        base64.b64encode(KEY) + b" # mine",
        KEY.hex().encode(),
        "schlüssel".encode(),
        b"\xff" * 43,
    ],
)
def test_a_line_that_is_no_key_is_named_by_its_number_and_not_repeated(line, key_file):
    file = key_file(b"# keys\n" + line + b"\n")

    with pytest.raises(ValueError, match=re.escape("store_encryption_key_file: line 2 is")) as told:
        read_keys(file)

    assert str(told.value) == "store_encryption_key_file: line 2 is no base64 of 32 bytes"
    assert told.value.__cause__ is None


def test_a_file_without_keys_is_refused(key_file):
    with pytest.raises(ValueError, match="store_encryption_key_file: it holds no keys"):
        read_keys(key_file(b"# later\n\n"))
