"""What shares one upstream key, kept apart by tenant."""

import hashlib
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2

from contextbridge import v1 as pb

LONG = "House rule: trim the lamps at dusk. " * 800
GEMINI = "gemini-2.5-flash"
ARK = "Doubao-1.5-pro-32k"
NOWHERE = "valkey://127.0.0.1:1"

OPEN = "unknown_upstream_ids = true"
CLOSED = "unknown_upstream_ids = false"


def entry(name, tenant, more=""):
    digest = hashlib.sha256(f"tok-{name}".encode()).hexdigest()
    return f'[[callers]]\nname = "{name}"\ntenant = "{tenant}"\ntoken_sha256 = "{digest}"\n{more}\n'


TWO_TENANTS = entry("acme", "acme") + entry("bolt", "bolt") + entry("admin", "bolt", OPEN)
ONE_TENANT = entry("acme", "acme") + entry("other-acme", "acme")


class AsCaller:
    """A stub whose calls bring a caller's token, and a key of the caller's own."""

    def __init__(self, stub, name):
        self._stub = stub
        self._metadata = (
            ("authorization", f"Bearer tok-{name}"),
            ("x-upstream-api-key", f"sk-{name}"),
        )

    def __getattr__(self, method):
        return partial(getattr(self._stub, method), metadata=self._metadata)


def caller_of(channel, name):
    """Return the stubs of a caller."""
    stubs = {
        "caches": pb.CachedContentServiceStub,
        "files": pb.FileServiceStub,
        "gemini": pb.GeminiServiceStub,
        "contexts": pb.ContextServiceStub,
    }
    return SimpleNamespace(**{kind: AsCaller(stub(channel), name) for kind, stub in stubs.items()})


@pytest.fixture(name="running")
def running_fixture(emulator, bridge, tmp_path):
    """Return what runs a bridge with callers, and yields what gives each one's stubs."""

    @asynccontextmanager
    async def running(callers=TWO_TENANTS, **settings):
        path = tmp_path / "callers.toml"
        path.write_text(callers)
        async with bridge(emulator.url, callers_file=path, **settings) as channel:
            yield partial(caller_of, channel)

    return running


@pytest.fixture(name="tenants")
async def tenants_fixture(running):
    async with running() as callers:
        yield callers


@pytest.fixture(name="acme")
def acme_fixture(tenants):
    return tenants("acme")


@pytest.fixture(name="bolt")
def bolt_fixture(tenants):
    return tenants("bolt")


@pytest.fixture(name="admin")
def admin_fixture(tenants):
    """Return a caller of bolt's who may name ids that the bridge never saw."""
    return tenants("admin")


async def cache_of(caller, text=LONG):
    content = pb.CachedContent(model=GEMINI, ttl=Duration(seconds=600))
    content.contents.add(role="user").parts.add(text=text)
    request = pb.CreateCachedContentRequest(cached_content=content)
    return (await caller.caches.CreateCachedContent(request)).cached_content


async def file_of(caller, name=""):
    async def messages():
        metadata = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=len(LONG), name=name)
        yield pb.UploadFileRequest(metadata=metadata)
        yield pb.UploadFileRequest(chunk=LONG.encode())

    return (await caller.files.UploadFile(messages())).file


async def context_of(caller, model=GEMINI):
    request = pb.CreateContextRequest(model=model)
    request.messages.add(role="system", content=LONG)
    return (await caller.contexts.CreateContext(request)).context


def generating(**fields):
    request = pb.GenerateContentRequest(model=GEMINI, **fields)
    request.contents.add(role="user").parts.add(text="Hello")
    return request


def counting(**fields):
    return pb.CountTokensRequest(model=GEMINI, generate_content_request=generating(**fields))


def chatting(context_id, model=GEMINI):
    request = pb.ChatWithContextRequest(context_id=context_id, model=model)
    request.messages.add(role="user", content="Hello")
    return request


def reading(uri):
    request = generating()
    request.contents[0].parts.add(file_data=pb.FileData(file_uri=uri, mime_type="text/plain"))
    return request


def moving(name):
    content = pb.CachedContent(name=name, ttl=Duration(seconds=7_200))
    return pb.UpdateCachedContentRequest(cached_content=content)


USES_OF_A_CACHE = {
    "get": lambda who, name: who.caches.GetCachedContent(pb.GetCachedContentRequest(name=name)),
    "update": lambda who, name: who.caches.UpdateCachedContent(moving(name)),
    "generate": lambda who, name: who.gemini.GenerateContent(generating(cached_content=name)),
    "stream": lambda who, name: who.gemini.StreamGenerateContent(generating(cached_content=name)),
    "count": lambda who, name: who.gemini.CountTokens(counting(cached_content=name)),
    "chat": lambda who, name: who.contexts.CompleteChatWithContext(chatting(name)),
    "stream a chat": lambda who, name: who.contexts.ChatWithContext(chatting(name)),
    "delete": lambda who, name: who.caches.DeleteCachedContent(
        pb.DeleteCachedContentRequest(name=name)
    ),
}
USES_OF_A_FILE = {
    "get": lambda who, name: who.files.GetFile(pb.GetFileRequest(name=name)),
    "generate": lambda who, name: who.gemini.GenerateContent(reading(name)),
    "stream": lambda who, name: who.gemini.StreamGenerateContent(reading(name)),
    "count": lambda who, name: who.gemini.CountTokens(
        pb.CountTokensRequest(model=GEMINI, contents=reading(name).contents)
    ),
    "make a cached content": lambda who, name: who.caches.CreateCachedContent(
        pb.CreateCachedContentRequest(
            cached_content=pb.CachedContent(model=GEMINI, contents=reading(name).contents)
        )
    ),
    "delete": lambda who, name: who.files.DeleteFile(pb.DeleteFileRequest(name=name)),
}
each_use_of_a_cache = pytest.mark.parametrize(
    "use", USES_OF_A_CACHE.values(), ids=USES_OF_A_CACHE.keys()
)
each_use_of_a_file = pytest.mark.parametrize(
    "use", USES_OF_A_FILE.values(), ids=USES_OF_A_FILE.keys()
)


async def done(call):
    """Read a call to its end."""
    if hasattr(call, "__aiter__"):
        return [message async for message in call]
    return await call


async def told(call):
    """Return all that a caller is told by a call that must fail, but for its request id."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await done(call)
    error = caught.value
    trailers = dict(error.trailing_metadata())
    request_id = trailers["x-request-id"]
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    details = [detail.value.replace(request_id.encode(), b"") for detail in status.details]
    return (error.code(), error.details(), status.code, status.message, details, sorted(trailers))


def sent(emulator):
    """Return what upstream was asked so far."""
    return [(request.method, request.path) for request in emulator.requests]


# ---------------------------------------------------------------------------- another tenant's


@each_use_of_a_cache
async def test_another_tenants_cached_content_is_not_found_and_upstream_is_not_asked(
    use, acme, bolt, emulator, failure
):
    cache = await cache_of(acme)
    before = sent(emulator)

    failed = await failure(use(bolt, cache.name))

    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "CACHE_NOT_FOUND")
    assert sent(emulator) == before
    await done(use(acme, cache.name))


@each_use_of_a_file
async def test_another_tenants_file_is_not_found_and_upstream_is_not_asked(
    use, acme, bolt, emulator, failure
):
    file = await file_of(acme)
    before = sent(emulator)

    failed = await failure(use(bolt, file.name))

    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "FILE_NOT_FOUND")
    assert sent(emulator) == before
    await done(use(acme, file.name))


@pytest.mark.parametrize("model", [GEMINI, ARK])
async def test_the_upstream_id_of_another_tenants_context_is_not_found(
    model, acme, bolt, admin, failure
):
    context = await context_of(acme, model)

    for stranger in (bolt, admin):
        for use in (stranger.contexts.CompleteChatWithContext, stranger.contexts.ChatWithContext):
            failed = await failure(use(chatting(context.upstream_id, model)))
            assert failed.code.name == "NOT_FOUND"
    answer = await acme.contexts.CompleteChatWithContext(chatting(context.upstream_id, model))
    assert answer.choices


@pytest.mark.parametrize("who", ["bolt", "admin"])
@each_use_of_a_cache
async def test_nobody_can_tell_another_tenants_cached_content_from_a_missing_one(
    use, who, tenants, acme
):
    cache = await cache_of(acme)
    deleted = await cache_of(acme)
    await acme.caches.DeleteCachedContent(pb.DeleteCachedContentRequest(name=deleted.name))
    stranger = tenants(who)

    anothers = await told(use(stranger, cache.name))

    assert anothers == await told(use(stranger, "cachedContents/never-made"))
    assert anothers == await told(use(stranger, deleted.name))


@pytest.mark.parametrize("who", ["bolt", "admin"])
@each_use_of_a_file
async def test_nobody_can_tell_another_tenants_file_from_a_missing_one(use, who, tenants, acme):
    file = await file_of(acme)
    stranger = tenants(who)

    assert await told(use(stranger, file.name)) == await told(use(stranger, "files/never-made"))


@pytest.mark.parametrize("who", ["bolt", "admin"])
@pytest.mark.parametrize("model", [GEMINI, ARK])
async def test_nobody_can_tell_another_tenants_context_from_a_missing_one(
    model, who, tenants, acme
):
    context = await context_of(acme, model)
    chat = tenants(who).contexts.CompleteChatWithContext
    missing = {GEMINI: "projects/1/locations/global/cachedContents/1", ARK: "ctx-1-abcde"}

    anothers = await told(chat(chatting(context.upstream_id, model)))

    assert anothers == await told(chat(chatting(missing[model], model)))


@pytest.mark.parametrize(
    "spelled",
    [
        lambda bare: bare,
        lambda bare: f"cachedContents/{bare.upper()}",
        lambda bare: f"projects/1/locations/global/cachedContents/{bare}",
        lambda bare: f"cachedContents/{bare}:copy",
        lambda bare: f"cachedContents/{bare} ",
        lambda bare: f"cachedContents/%{ord(bare[0]):x}{bare[1:]}",
    ],
)
async def test_no_spelling_of_another_tenants_name_reaches_upstream(spelled, acme, admin, emulator):
    cache = await cache_of(acme)
    name = spelled(cache.name.removeprefix("cachedContents/"))
    before = sent(emulator)

    for use in USES_OF_A_CACHE.values():
        await told(use(admin, name))

    assert sent(emulator) == before


@pytest.mark.parametrize(
    "part",
    [
        '{"fileData": {"fileUri": "files/%s"}}',
        '{"file_data": {"file_uri": "files/%s"}}',
        r'{"fileData": {"fileUri": "\u0066iles\/%s"}}',
        '{"fileData": {"fileUri": "https://upstream.example/v1beta/%%66iles/%s?alt=media"}}',
    ],
)
async def test_another_tenants_file_cannot_be_smuggled_in(part, acme, bolt, emulator, failure):
    file = await file_of(acme)
    request = generating()
    request.contents[0].parts.add(extra_json=part % file.name.removeprefix("files/"))
    before = sent(emulator)

    failed = await failure(bolt.gemini.GenerateContent(request))

    assert failed.reason == "FILE_NOT_FOUND"
    assert sent(emulator) == before


async def test_another_tenants_file_is_not_seen_as_an_image_of_a_chat(acme, bolt, failure):
    file = await file_of(acme)
    context = await context_of(bolt)
    request = chatting(context.id)
    request.messages[0].content = ""
    request.messages[0].parts.add(image_url=pb.ChatImageUrl(url=file.uri))
    create = pb.CreateContextRequest(model=GEMINI, messages=request.messages)

    for call in (
        bolt.contexts.ChatWithContext(request),
        bolt.contexts.CompleteChatWithContext(request),
        bolt.contexts.CreateContext(create),
    ):
        assert (await failure(call)).reason == "FILE_NOT_FOUND"


async def test_addresses_elsewhere_are_not_taken_for_files(bolt):
    request = reading("https://elsewhere.example/files/report.pdf")

    assert (await bolt.gemini.GenerateContent(request)).candidates


# ---------------------------------------------------------------------------- lists


async def test_a_list_shows_a_tenant_what_it_made(acme, bolt, admin):
    caches = {who: (await cache_of(caller)).name for who, caller in both(acme, bolt)}
    files = {who: (await file_of(caller)).name for who, caller in both(acme, bolt)}

    for who, caller in (*both(acme, bolt), ("bolt", admin)):
        listed = await caller.caches.ListCachedContents(pb.ListCachedContentsRequest())
        assert [cache.name for cache in listed.cached_contents] == [caches[who]]
        listed = await caller.files.ListFiles(pb.ListFilesRequest())
        assert [file.name for file in listed.files] == [files[who]]


def both(acme, bolt):
    return (("acme", acme), ("bolt", bolt))


async def test_pages_with_nothing_of_ones_own_lead_on_to_those_that_have(acme, bolt):
    for _ in range(3):
        await cache_of(acme)
    mine = await cache_of(bolt)
    request = pb.ListCachedContentsRequest(page_size=2)

    first = await bolt.caches.ListCachedContents(request)
    request.page_token = first.next_page_token
    second = await bolt.caches.ListCachedContents(request)

    assert not first.cached_contents
    assert [cache.name for cache in second.cached_contents] == [mine.name]
    assert not second.next_page_token


async def test_the_callers_of_a_tenant_share_what_it_made(bolt, admin):
    cache = await cache_of(bolt)

    for use in USES_OF_A_CACHE.values():
        await done(use(admin, cache.name))


# ---------------------------------------------------------------------------- ids never seen


@pytest.fixture(name="outside")
async def outside_fixture(emulator, bridge):
    """Return a cached content that was made with the same key, and without the tests' store."""
    async with bridge(emulator.url, store="none") as channel:
        stubs = SimpleNamespace(
            caches=pb.CachedContentServiceStub(channel), files=pb.FileServiceStub(channel)
        )
        yield SimpleNamespace(cache=(await cache_of(stubs)).name, file=(await file_of(stubs)).name)


async def test_unknown_ids_are_open_to_those_whose_entry_says_so(outside, bolt, admin, failure):
    for use in USES_OF_A_CACHE.values():
        assert (await failure(use(bolt, outside.cache))).reason == "CACHE_NOT_FOUND"
    assert (await failure(USES_OF_A_FILE["get"](bolt, outside.file))).reason == "FILE_NOT_FOUND"
    listed = await bolt.caches.ListCachedContents(pb.ListCachedContentsRequest())
    assert not listed.cached_contents

    listed = await admin.caches.ListCachedContents(pb.ListCachedContentsRequest())
    assert [cache.name for cache in listed.cached_contents] == [outside.cache]
    assert (await admin.files.ListFiles(pb.ListFilesRequest())).files
    for use in USES_OF_A_CACHE.values():
        await done(use(admin, outside.cache))


async def test_a_single_tenant_may_name_unknown_ids(running, outside):
    async with running(ONE_TENANT) as callers:
        for use in USES_OF_A_CACHE.values():
            await done(use(callers("other-acme"), outside.cache))


async def test_a_single_tenant_may_not_where_its_entry_says_no(running, outside, failure):
    async with running(entry("acme", "acme", CLOSED)) as callers:
        failed = await failure(USES_OF_A_CACHE["get"](callers("acme"), outside.cache))
        mine = await cache_of(callers("acme"))
        await done(USES_OF_A_CACHE["get"](callers("acme"), mine.name))

    assert failed.reason == "CACHE_NOT_FOUND"


async def test_a_single_tenant_gets_upstreams_own_words(running, failure):
    async with running(ONE_TENANT) as callers:
        failed = await failure(USES_OF_A_CACHE["get"](callers("acme"), "cachedContents/never"))

    assert failed.info.metadata["httpStatus"] == "403"
    assert "CachedContent not found" in failed.info.metadata["upstreamMessage"]


async def test_moving_an_unknown_id_does_not_make_it_ones_own(outside, bolt, admin, failure):
    await done(USES_OF_A_CACHE["update"](admin, outside.cache))

    assert (await failure(USES_OF_A_CACHE["get"](bolt, outside.cache))).reason == "CACHE_NOT_FOUND"


async def test_a_name_that_was_deleted_belongs_to_whoever_takes_it_next(acme, bolt, failure):
    name = "files/taken-in-turns"
    await file_of(acme, name)
    await acme.files.DeleteFile(pb.DeleteFileRequest(name=name))
    await file_of(bolt, name)

    await bolt.files.GetFile(pb.GetFileRequest(name=name))
    failed = await failure(acme.files.GetFile(pb.GetFileRequest(name=name)))
    assert failed.reason == "FILE_NOT_FOUND"


# ---------------------------------------------------------------------------- stores and keys


async def test_what_is_whose_outlives_the_server_and_is_known_to_all_replicas(
    running, failure, tmp_path
):
    data_dir = tmp_path / "data"
    async with running(data_dir=data_dir) as one, running(data_dir=data_dir) as two:
        cache = await cache_of(one("acme"))
        await done(USES_OF_A_CACHE["get"](two("acme"), cache.name))
        assert (await failure(USES_OF_A_CACHE["get"](two("bolt"), cache.name))).code.name == (
            "NOT_FOUND"
        )

    async with running(data_dir=data_dir) as again:
        await done(USES_OF_A_CACHE["get"](again("acme"), cache.name))
        failed = await failure(USES_OF_A_CACHE["get"](again("admin"), cache.name))
    assert failed.reason == "CACHE_NOT_FOUND"


async def test_where_the_store_is_away_a_single_tenant_goes_on(running):
    async with running(ONE_TENANT, store=NOWHERE) as callers:
        acme = callers("acme")
        cache, file = await cache_of(acme), await file_of(acme)
        listed = await acme.caches.ListCachedContents(pb.ListCachedContentsRequest())
        await done(USES_OF_A_FILE["generate"](acme, file.uri))
        for use in USES_OF_A_CACHE.values():
            await done(use(acme, cache.name))

    assert [each.name for each in listed.cached_contents] == [cache.name]


async def test_where_the_store_is_away_several_tenants_wait_and_nothing_is_paid_for(
    running, failure, emulator
):
    async with running(store=NOWHERE) as callers:
        for who in ("bolt", "admin"):
            caller = callers(who)
            calls = [
                cache_of(caller),
                file_of(caller),
                context_of(caller),
                USES_OF_A_CACHE["get"](caller, "cachedContents/c1"),
                USES_OF_A_CACHE["generate"](caller, "cachedContents/c1"),
                USES_OF_A_CACHE["delete"](caller, "cachedContents/c1"),
                USES_OF_A_FILE["generate"](caller, "files/f1"),
            ]
            for call in calls:
                failed = await failure(call)
                assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
                assert failed.retry_delay is not None
        assert sent(emulator) == []
        assert (await callers("bolt").gemini.GenerateContent(generating())).candidates


async def test_without_a_store_several_tenants_make_only_what_they_could_name(
    running, failure, emulator, outside
):
    before = sent(emulator)
    async with running(store="none") as callers:
        bolt, admin = callers("bolt"), callers("admin")
        for call in (cache_of(bolt), file_of(bolt), context_of(bolt)):
            failed = await failure(call)
            assert (failed.code.name, failed.reason) == ("UNIMPLEMENTED", "STORE_REQUIRED")
        for use in USES_OF_A_CACHE.values():
            assert (await failure(use(bolt, outside.cache))).reason == "CACHE_NOT_FOUND"
        assert sent(emulator) == before

        for use in USES_OF_A_CACHE.values():
            await done(use(admin, outside.cache))


async def test_callers_who_bring_keys_of_their_own_are_kept_apart_by_upstream(running, failure):
    name = "files/under-two-keys"
    async with running(upstream_key_from="caller") as callers:
        acme, bolt = callers("acme"), callers("bolt")
        for caller in (acme, bolt):
            await file_of(caller, name)
            await caller.files.GetFile(pb.GetFileRequest(name=name))
        cache = await cache_of(acme)
        failed = await failure(USES_OF_A_CACHE["get"](bolt, cache.name))

    assert failed.reason == "CACHE_NOT_FOUND"
    assert failed.info.metadata["httpStatus"] == "403"
