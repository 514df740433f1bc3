"""What of a context's content is in the store, and what never is: the files are searched."""

import base64
import secrets
import tempfile
import zlib
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from contextbridge import v1 as pb

ARK = "Doubao-1.5-pro-32k"
GEMINI = "gemini-2.5-flash"


def forms_of(marker):
    """Return the forms in which a text may stand in a file, by their names."""
    text = marker.encode()
    forms = {"plain": [text], "UTF-16": [marker.encode("utf-16-le")], "hexadecimal": []}
    forms["hexadecimal"] = [text.hex().encode(), text.hex().upper().encode()]
    # Base64 of a text depends on where in three bytes it begins; the ends depend on what is around.
    shifted = [base64.b64encode(b"\0" * shift + text)[4:-4] for shift in range(3)]
    forms["base64"] = [*shifted, *(form.translate(URL_SAFE) for form in shifted)]
    return forms


URL_SAFE = bytes.maketrans(b"+/", b"-_")


def decompressed(data):
    """Yield what stands compressed in some data, wherever it begins."""
    start = data.find(b"\x78")
    while start >= 0:
        if int.from_bytes(data[start : start + 2]) % 31 == 0:
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(data[start:])
        start = data.find(b"\x78", start + 1)


def found(directory, marker):
    """Return the forms in which a text stands in any file of a directory."""
    forms, names = forms_of(marker), set()
    for path in directory.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        for inside, content in [("", data), *(("zlib", part) for part in decompressed(data))]:
            for name, texts in forms.items():
                if any(text in content for text in texts):
                    names.add(f"{name} in {inside}" if inside else name)
    return names


@pytest.fixture(name="directory")
def directory_fixture():
    """Return a directory whose path is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture(name="embedded")
def embedded_fixture(bridge, gateway, client_of, directory):
    """Return what runs a bridge with an embedded store of its own, and yields a caller."""

    @asynccontextmanager
    async def embedded(**settings):
        # Without flushes, which a write may have to wait for, it is in the file at once.
        settings = {"store": "embedded", "data_dir": directory, "store_fsync": "no", **settings}
        async with bridge(gateway.url, **settings) as channel:
            yield client_of(channel)

    return embedded


@pytest.fixture(name="key_file")
def key_file_fixture(tmp_path):
    """Return what writes a file of encryption keys."""

    def key_file(*keys):
        path = tmp_path / f"{secrets.token_hex(4)}.keys"
        path.write_text("\n".join(base64.b64encode(key).decode() for key in keys))
        return path

    return key_file


async def live_through_everything(client, gateway, marker, failure, **fields):
    """Make contexts of a text, use them in every way, and lose them."""
    messages = [
        pb.ChatMessage(role="system", content=f"System {marker}."),
        pb.ChatMessage(role="user", parts=[pb.ChatPart(text=f"Part {marker}.")]),
    ]
    made = {"messages": messages, "extra_body": {"note": f"Extra {marker}"}, **fields}
    ark = await client.made(ARK, mode=pb.CONTEXT_MODE_SESSION, **made)
    for way in ("chat", "stream"):
        answer = await client.ask(way, ark, f"Turn {marker}.")
        assert marker in answer.text
    gemini = await client.made(GEMINI, **made)
    for way in ("chat", "stream", "generate", "stream_generate", "count"):
        await client.ask(way, gemini, f"Turn {marker}.")
    await client.made(GEMINI, idempotency_key=secrets.token_hex(4), **made)
    await client.made(GEMINI, reuse=pb.REUSE_IDENTICAL, **made)
    await failure(client.chat(ark, f"Fails {marker}", model=f"{ARK}+server-error"))
    await failure(client.made(f"{GEMINI}+server-error", idempotency_key="fails", **made))
    return ark, gemini


async def test_what_is_not_to_be_restored_leaves_no_byte_of_its_content(
    embedded, gateway, directory, failure
):
    stored, unstored = (f"marker-{secrets.token_hex(12)}" for _ in range(2))
    async with embedded() as client:
        await live_through_everything(client, gateway, stored, failure)
        contexts = await live_through_everything(
            client, gateway, unstored, failure, recovery=pb.RECOVERY_NEVER
        )
        gateway.expire()
        for context in contexts:
            await failure(client.chat(context, f"Fails {unstored}"))
            await client.delete(context)

        assert found(directory, unstored) == set()
        # The same search finds what is stored.
        assert found(directory, stored) == {"plain in zlib"}
    assert found(directory, unstored) == set()


async def test_a_servers_default_of_no_recovery_stores_nothing_either(
    embedded, gateway, directory, failure
):
    marker = f"marker-{secrets.token_hex(12)}"
    async with embedded(recovery="never") as client:
        await live_through_everything(client, gateway, marker, failure)

        assert found(directory, marker) == set()


@pytest.mark.parametrize("form", ["plain", "UTF-16", "hexadecimal", "base64", "zlib"])
def test_the_search_finds_every_form(form, tmp_path):
    marker = f"marker-{secrets.token_hex(12)}"
    text = f"x{marker}yz".encode()
    written = {
        "plain": text,
        "UTF-16": text.decode().encode("utf-16-le"),
        "hexadecimal": text.hex().encode(),
        "base64": base64.b64encode(text),
        "zlib": zlib.compress(text * 3, 4),
    }[form]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\x78\x9c junk x" + written + b"x junk")

    assert found(tmp_path, marker) == {"plain in zlib" if form == "zlib" else form}


async def test_with_a_key_content_is_nowhere_in_the_clear_and_heals(
    embedded, gateway, directory, failure, key_file
):
    marker = f"marker-{secrets.token_hex(12)}"
    keys = key_file(secrets.token_bytes(32))
    async with embedded(store_encryption_key_file=keys) as client:
        contexts = await live_through_everything(client, gateway, marker, failure)
        gateway.expire()

        for context in contexts:
            answer = await client.chat(context, "Hello")

            assert answer.context.restored
            assert marker in answer.text
        assert found(directory, marker) == set()
    assert found(directory, marker) == set()


async def test_a_server_with_another_key_says_that_content_is_unreadable(
    embedded, gateway, failure, key_file, asked
):
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    async with embedded(store_encryption_key_file=key_file(first)) as client:
        session = await client.made(ARK, mode=pb.CONTEXT_MODE_SESSION)
        await client.chat(session, "Mind the fog.")
        fixed = await client.made(GEMINI)
    gateway.expire()
    asked()

    for keys in ([second], []):
        settings = {"store_encryption_key_file": key_file(*keys)} if keys else {}
        async with embedded(**settings) as client:
            for context in (session, fixed):
                failed = await failure(client.chat(context))

                assert failed.code == grpc.StatusCode.FAILED_PRECONDITION
                assert failed.reason == "CONTENT_UNREADABLE"
                assert (await client.get(context)).state == pb.CONTEXT_STATE_WARM
    assert set(asked()) <= {"chat 404", "chat 400"}
    async with embedded(store_encryption_key_file=key_file(second, first)) as client:
        assert (await client.chat(session, "recall turn 1")).text == "Mind the fog."
        assert (await client.chat(fixed)).context.restored


async def test_content_from_before_there_was_a_key_still_heals(embedded, gateway, key_file):
    async with embedded() as client:
        context = await client.made(GEMINI)
    gateway.expire()

    async with embedded(store_encryption_key_file=key_file(secrets.token_bytes(32))) as client:
        assert (await client.chat(context)).context.restored
