"""Whose is what upstream holds: names, records and decisions, on a real store."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contextbridge import v1 as pb
from contextbridge_server.contexts.answers import DirectAnswers
from contextbridge_server.contexts.authorizing_answers import AuthorizingAnswers
from contextbridge_server.contexts.owners import GRACE, SLIDING_LIFE, OwnerRecords
from contextbridge_server.contexts.ownership import (
    NoOwnership,
    TenantOwnership,
    UnrecordedOwnership,
    not_found,
)
from contextbridge_server.contexts.upstream_names import (
    MAX_FILES,
    Kind,
    files_in,
    named_cached_content,
    named_context,
    named_file,
)
from contextbridge_server.errors import BridgeError
from contextbridge_server.request_context import ANYONE, Caller, RequestContext
from contextbridge_server.rpc.callers import is_single_tenant, read_callers
from contextbridge_server.rpc.status import trailers
from contextbridge_server.store.interface import Store
from contextbridge_server.store.keys import owner_key
from contextbridge_server.store.valkey import opened_store
from contextbridge_server.translate.chat_request import ChatPrompt
from contextbridge_server.translate.gemini_request import GeneratePrompt
from contextbridge_server.translate.prompt import Prompt
from contextbridge_server.upstream.interface import UpstreamRequest

ACME = Caller("shop", "acme", unknown_ids=False)
BOLT = Caller("desk", "bolt", unknown_ids=False)
BOLT_ADMIN = Caller("admin", "bolt", unknown_ids=True)
CACHE = named_cached_content("cachedContents/c1")
OTHER = named_cached_content("cachedContents/c2")
CONTEXT = named_context("ctx-20261122080000-abcde")
FILE = named_file("files/f1")
SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture(name="store")
def store_fixture(lone_store: Store) -> Store:
    return lone_store


@pytest.fixture(name="absent")
async def absent_fixture() -> AsyncIterator[Store]:
    async with opened_store("valkey://127.0.0.1:1", timeout=timedelta(seconds=2)) as store:
        yield store


@pytest.fixture(name="shared")
def shared_fixture(store: Store) -> TenantOwnership:
    return TenantOwnership(OwnerRecords(store), single_tenant=False)


@pytest.fixture(name="alone")
def alone_fixture(store: Store) -> TenantOwnership:
    return TenantOwnership(OwnerRecords(store), single_tenant=True)


async def refusal(ownership: Any, caller: Caller, *named: Any, body: bytes = b"") -> str:
    """Return why a caller may not name something, or nothing where it may."""
    try:
        async with ownership.authorize(caller, *named, body=body):
            return ""
    except BridgeError as error:
        return reason(error)


def reason(error: BridgeError) -> str:
    return pb.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")


async def failure(work: Awaitable[object]) -> str:
    with pytest.raises(BridgeError) as caught:
        await work
    return reason(caught.value)


async def life(store: Store, resource: Any) -> timedelta:
    return timedelta(milliseconds=await store.execute("PTTL", owner_key(resource.key)))


# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "abc1",
        "ABC1",
        "cachedContents/abc1",
        "cachedcontents/abc1",
        "projects/37/locations/global/cachedContents/abc1",
        "projects/by-name/locations/global/cachedContents/Abc1",
    ],
)
def test_every_spelling_of_a_cached_content_is_one_resource(name: str) -> None:
    named = named_cached_content(name)

    assert named.key == named_cached_content("abc1").key == named_context(name).key
    assert named.is_plain


@pytest.mark.parametrize(
    "name",
    [
        "",
        "cachedContents/",
        "cachedContents/abc1:copy",
        "cachedContents/abc%31",
        "cachedContents/abc1 ",
        "cachedContents/abc1\t",
        "cachedContents/abc1?x",
        "cachedContents/abc1#x",
        "cachedContents\\abc1",
        "cachedContents/\uff41bc1",
        "cachedContents/abc1\u200b",
        "x" * 513,
    ],
)
def test_what_a_server_may_read_as_another_name_is_no_plain_id(name: str) -> None:
    assert not named_cached_content(name).is_plain
    assert not named_context(name).is_plain


def test_a_file_is_never_taken_for_a_context_of_the_same_id() -> None:
    assert named_file("x").key == named_file("files/X").key
    assert named_file("x").key != named_context("x").key


def test_contexts_of_two_providers_are_two_even_if_they_end_alike() -> None:
    assert named_context("a/ctx-1").key != named_context("b/ctx-1").key


def test_a_name_without_end_is_no_key_without_end() -> None:
    assert len(named_context("x" * 10**6).key) < 100
    assert named_context("x" * 10**6) != named_context("y" * 10**6)


# ---------------------------------------------------------------------------- files in bodies


@pytest.mark.parametrize(
    "body",
    [
        '{"fileUri": "files/a-1"}',
        '{"file_uri": "files/a-1"}',
        '{"FILEURI": "FILES/A-1"}',
        '{"fileUri": "https://upstream.example/v1beta/files/a-1"}',
        '{"fileUri": "https://upstream.example/files/a-1"}',
        '{"fileUri": "https://upstream.example/v1beta/files/a-1/"}',
        '{"fileUri": "https://upstream.example/v1beta/files/a-1?alt=media#x"}',
        '{"fileUri": "https://upstream.example/v1beta/files/a-1:download"}',
        '{"fileUri": "https://upstream.example/v1beta/./files/../files/a-1?x=/../.."}',
        '{"fileUri": "https://upstream.example/?x=/files/a-1"}',
        '{"fileUri": "https://upstream.example/v1beta/%66iles/a%2D1"}',
        '{"fileUri": "https://upstream.example/v1beta/%2566iles/a-1"}',
        '{"fileUri": " files/a-1\\n"}',
        '{"fileUri": "https://upstream.example\\\\v1beta\\\\files\\\\a-1"}',
        r'{"fileUri": "files\/a-1"}',
        r'{"fileUri": "\u0066iles\u002Fa-1"}',
        r'{"\u0066ile\u0055ri": "files/a-1"}',
        '{"fileUri": "files/a-1", "fileUri": "https://elsewhere.example/"}',
        '{"image_url": {"url": "https://upstream.example/v1beta/files/a-1"}}',
        '{"image_url": "https://upstream.example/v1/files/a-1"}',
        '{"video_url": {"url": "files/a-1"}}',
        '{"n": ' + "9" * 5_000 + ', "fileUri": "files/a-1"}',
    ],
)
def test_a_file_is_found_however_a_body_names_it(body: str) -> None:
    deep = f'{{"contents": [{{"parts": [{{"fileData": {body}}}]}}]}}'

    assert files_in(deep.encode()).certain == [named_file("files/a-1")]


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"text": "files/a-1"}',
        '{"fileUri": "https://elsewhere.example/files/report.pdf"}',
        '{"fileUri": "gs://bucket/files/report.pdf"}',
        '{"fileUri": "https://elsewhere.example/profiles/a-1"}',
        '{"fileUri": 1}',
        '{"image_url": {"url": "data:image/png;base64,/files/a-1"}}',
        '{"image_url": {"url": "https://elsewhere.example/a.png"}}',
    ],
)
def test_what_names_no_file_is_left_alone(body: str) -> None:
    files = files_in(body.encode())

    assert not [*files.certain, *files.possible]


def test_an_address_like_a_files_is_only_possibly_one() -> None:
    files = files_in(b'{"image_url": {"url": "https://elsewhere.example/files/a-1"}}')

    assert not files.certain
    assert files.possible == [named_file("files/a-1")]


def test_a_file_that_is_named_twice_is_certain_once() -> None:
    body = b'{"url": "https://elsewhere.example/files/a-1", "fileUri": "files/a-1"}'

    assert files_in(body) == files_in(b'{"fileUri": "files/a-1"}')


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5_000 + b'{"fileUri": ""}' + b"]" * 5_000,
        json.dumps([{"fileUri": f"files/{n}"} for n in range(MAX_FILES + 1)]).encode(),
    ],
)
def test_a_body_that_nobody_can_look_through_is_refused(body: bytes) -> None:
    with pytest.raises(BridgeError) as caught:
        files_in(body)

    assert reason(caught.value) == "REQUEST_INVALID"


# ---------------------------------------------------------------------------- decisions


async def test_what_a_tenant_made_is_its_own_and_nobody_elses(shared: TenantOwnership) -> None:
    await shared.claim(ACME, CACHE, SOON)
    await shared.claim(ACME, FILE, SOON)
    await shared.claim(ACME, CONTEXT, None)

    assert await refusal(shared, ACME, CACHE, FILE, CONTEXT) == ""
    for stranger in (BOLT, BOLT_ADMIN):
        assert await refusal(shared, stranger, CACHE) == "CACHE_NOT_FOUND"
        assert await refusal(shared, stranger, FILE) == "FILE_NOT_FOUND"
        assert await refusal(shared, stranger, CONTEXT) == "CONTEXT_NOT_FOUND"


async def test_unknown_ids_are_for_those_whose_entry_says_so(shared: TenantOwnership) -> None:
    assert await refusal(shared, BOLT, CACHE) == "CACHE_NOT_FOUND"
    assert await refusal(shared, BOLT_ADMIN, CACHE, FILE, CONTEXT) == ""


async def test_no_trick_of_spelling_makes_a_known_name_an_unknown_one(
    shared: TenantOwnership,
) -> None:
    await shared.claim(ACME, CACHE, SOON)

    for name in ("c1", "C1", "projects/1/locations/x/cachedContents/c1", "cachedContents/c1:x"):
        for named in (named_cached_content(name), named_context(name)):
            assert await refusal(shared, BOLT_ADMIN, named) == (
                "CACHE_NOT_FOUND" if named.kind is Kind.CACHED_CONTENT else "CONTEXT_NOT_FOUND"
            )


async def test_an_odd_id_that_upstream_gave_is_open_to_its_owner(shared: TenantOwnership) -> None:
    odd, other = named_context("Ctx:1@region/7 é"), named_context("Ctx:1@region/8 é")
    await shared.claim(ACME, odd, None)

    assert await refusal(shared, ACME, odd) == ""
    assert await refusal(shared, ACME, other) == "CONTEXT_NOT_FOUND"
    assert await refusal(shared, BOLT_ADMIN, odd) == "CONTEXT_NOT_FOUND"


async def test_the_first_refusal_tells_nothing_of_what_is_named_after_it(
    shared: TenantOwnership,
) -> None:
    await shared.claim(ACME, FILE, SOON)

    for file in (FILE, named_file("files/none")):
        assert await refusal(shared, BOLT, CACHE, file) == "CACHE_NOT_FOUND"


async def test_files_in_a_body_are_named_too(shared: TenantOwnership) -> None:
    await shared.claim(ACME, FILE, SOON)
    body = b'{"fileUri": "files/f1"}'
    elsewhere = b'{"url": "https://elsewhere.example/files/%s"}'

    assert await refusal(shared, ACME, body=body) == ""
    assert await refusal(shared, BOLT, body=body) == "FILE_NOT_FOUND"
    assert await refusal(shared, BOLT, body=b'{"fileUri": "files/none"}') == "FILE_NOT_FOUND"
    assert await refusal(shared, BOLT_ADMIN, body=b'{"fileUri": "files/none"}') == ""
    assert await refusal(shared, BOLT, body=elsewhere % b"f1") == "FILE_NOT_FOUND"
    assert await refusal(shared, BOLT, body=elsewhere % b"none") == ""


async def test_lists_show_a_tenant_its_own(shared: TenantOwnership) -> None:
    await shared.claim(ACME, CACHE, SOON)

    assert await shared.visible(ACME, [CACHE, OTHER]) == [True, False]
    assert await shared.visible(BOLT, [CACHE, OTHER]) == [False, False]
    assert await shared.visible(BOLT_ADMIN, [CACHE, OTHER]) == [False, True]
    assert await shared.visible(BOLT, []) == []


async def test_what_upstream_says_of_an_unknown_name_is_what_is_said_of_anothers(
    shared: TenantOwnership,
) -> None:
    upstreams = (
        pb.ERROR_REASON_CACHE_NOT_FOUND,
        pb.ERROR_REASON_CACHE_EXPIRED,
        pb.ERROR_REASON_CONTEXT_NOT_FOUND,
        pb.ERROR_REASON_UPSTREAM_NOT_FOUND,
    )
    for upstream in upstreams:
        theirs = BridgeError(upstream, "Its own words.", metadata={"a": "b"}, http_status=403)
        error = await raised_within(shared, BOLT_ADMIN, theirs)

        assert trailers(error, "1") == trailers(not_found(Kind.CACHED_CONTENT), "1")
        assert error.http_status == 403


async def test_other_failures_and_those_of_what_is_ones_own_keep_upstreams_words(
    shared: TenantOwnership,
) -> None:
    await shared.claim(ACME, CACHE, SOON)
    expired = BridgeError(pb.ERROR_REASON_CACHE_EXPIRED, "Its own words.")
    conflict = BridgeError(pb.ERROR_REASON_CACHE_CONFLICT, "Its own words.")
    lost_file = BridgeError(pb.ERROR_REASON_FILE_NOT_FOUND, "Its own words.")

    assert await raised_within(shared, ACME, expired) is expired
    assert await raised_within(shared, BOLT_ADMIN, conflict, OTHER) is conflict
    assert await raised_within(shared, BOLT_ADMIN, lost_file, OTHER) is lost_file


async def raised_within(
    ownership: TenantOwnership, caller: Caller, error: BridgeError, named: Any = CACHE
) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        async with ownership.authorize(caller, named):
            raise error
    return caught.value


async def test_a_deleted_name_is_unknown_again(shared: TenantOwnership) -> None:
    await shared.claim(ACME, FILE, SOON)
    await shared.forget(ACME, FILE)

    assert await refusal(shared, BOLT_ADMIN, FILE) == ""


async def test_a_late_delete_does_not_take_the_name_from_its_next_owner(
    shared: TenantOwnership,
) -> None:
    await shared.claim(ACME, FILE, SOON)
    await shared.claim(BOLT, FILE, SOON)
    await shared.forget(ACME, FILE)

    assert await refusal(shared, BOLT, FILE) == ""
    assert await refusal(shared, ACME, FILE) == "FILE_NOT_FOUND"


# ---------------------------------------------------------------------------- records


async def test_a_record_outlives_its_resource_by_the_grace(
    shared: TenantOwnership, store: Store
) -> None:
    await shared.claim(ACME, CACHE, SOON)
    await shared.claim(ACME, CONTEXT, None)

    assert await life(store, CACHE) == about(SOON - datetime.now(UTC) + GRACE)
    assert await life(store, CONTEXT) == about(SLIDING_LIFE)


async def test_a_record_lives_as_long_as_its_resource_is_moved_to(
    shared: TenantOwnership, store: Store
) -> None:
    await shared.claim(ACME, CACHE, SOON)
    await shared.renew(ACME, CACHE, SOON + timedelta(days=30))
    await shared.renew(BOLT, OTHER, SOON)

    assert await life(store, CACHE) == about(SOON + timedelta(days=30) - datetime.now(UTC) + GRACE)
    assert await refusal(shared, BOLT, OTHER) == "CACHE_NOT_FOUND"


async def test_naming_or_renewing_a_context_begins_its_records_life_anew(
    shared: TenantOwnership, store: Store
) -> None:
    await shared.claim(ACME, CONTEXT, datetime.now(UTC))
    lives = [await life(store, CONTEXT)]
    for use in (refusal(shared, ACME, CONTEXT), shared.renew(ACME, CONTEXT, None)):
        await store.execute("PEXPIRE", owner_key(CONTEXT.key), 60_000)
        await use
        lives.append(await life(store, CONTEXT))

    assert lives == [about(SLIDING_LIFE)] * 3


async def test_a_life_to_the_end_of_time_can_be_kept(shared: TenantOwnership) -> None:
    await shared.claim(ACME, CACHE, datetime.max.replace(tzinfo=UTC))

    assert await refusal(shared, ACME, CACHE) == ""


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"\xff", b'{"v":1,"tenant":7}', b'{"v":1,"tenant":"\xff"}', b"null"]
)
async def test_a_record_that_cannot_be_read_opens_to_nobody(
    value: bytes, shared: TenantOwnership, store: Store
) -> None:
    await store.execute("SET", owner_key(CACHE.key), value)

    for caller in (ACME, BOLT, BOLT_ADMIN):
        assert await refusal(shared, caller, CACHE) == "CACHE_NOT_FOUND"


async def test_a_later_versions_record_tells_its_tenant(
    shared: TenantOwnership, store: Store
) -> None:
    await store.execute("SET", owner_key(CACHE.key), '{"v":2,"tenant":"acme","more":[]}')

    assert await refusal(shared, ACME, CACHE) == ""
    assert await refusal(shared, BOLT_ADMIN, CACHE) == "CACHE_NOT_FOUND"


async def test_a_binding_tells_its_tenant_alone_which_context_it_is_of(
    shared: TenantOwnership, store: Store
) -> None:
    records = OwnerRecords(store)
    await shared.claim(ACME, CACHE, SOON, context_id="context-1")
    await shared.claim(ACME, FILE, SOON)

    assert await records.context_of(CACHE, ACME.tenant) == "context-1"
    for resource, tenant in [(CACHE, BOLT.tenant), (FILE, ACME.tenant), (OTHER, ACME.tenant)]:
        assert await records.context_of(resource, tenant) == ""


async def test_a_context_is_known_as_long_as_the_owner_and_no_longer(
    shared: TenantOwnership, store: Store
) -> None:
    records = OwnerRecords(store)
    await shared.claim(ACME, CACHE, SOON, context_id="context-1")
    await shared.renew(ACME, CACHE, SOON + timedelta(days=30))
    kept = await records.context_of(CACHE, ACME.tenant)
    await shared.claim(ACME, CACHE, SOON)

    assert kept == "context-1"
    assert await records.context_of(CACHE, ACME.tenant) == ""


async def test_a_record_of_before_contexts_were_noted_is_read_and_forgotten(
    shared: TenantOwnership, store: Store
) -> None:
    await store.execute("SET", owner_key(CACHE.key), '{"v":1,"tenant":"acme"}')

    assert await OwnerRecords(store).context_of(CACHE, ACME.tenant) == ""
    assert await refusal(shared, ACME, CACHE) == ""
    await shared.forget(ACME, CACHE)
    assert await store.execute("EXISTS", owner_key(CACHE.key)) == 0


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"7", b"null", b"[" * 2_000])
async def test_a_record_that_cannot_be_read_names_no_context_and_stays(
    value: bytes, shared: TenantOwnership, store: Store
) -> None:
    await store.execute("SET", owner_key(CACHE.key), value)

    assert await OwnerRecords(store).context_of(CACHE, ACME.tenant) == ""
    await shared.forget(ACME, CACHE)
    assert await store.execute("GET", owner_key(CACHE.key)) == value


@pytest.mark.parametrize("tenant", ["acme", 'quote"\\', "M\u00fcller \U0001f30a"])
async def test_who_made_a_binding_may_forget_it_and_nobody_else(
    tenant: str, shared: TenantOwnership, store: Store
) -> None:
    maker = Caller("maker", tenant)
    await shared.claim(maker, CACHE, SOON, context_id="context-1")

    await shared.forget(BOLT, CACHE)
    assert await refusal(shared, maker, CACHE) == ""
    await shared.forget(maker, CACHE)
    assert await store.execute("EXISTS", owner_key(CACHE.key)) == 0


# ---------------------------------------------------------------------------- answers


def prompt_of(
    context_id: str = "", *, body: dict[str, str] | None = None, is_native: bool = False
) -> Prompt:
    if is_native:
        return GeneratePrompt("/models/m", context_id, "m", body or {}, stream=False)
    return ChatPrompt(context_id, "m", body or {}, stream=False)


async def test_an_answer_that_is_there_is_for_those_who_may_name_what_it_came_from(
    shared: TenantOwnership,
) -> None:
    await shared.claim(ACME, CACHE, SOON)
    await shared.claim(ACME, FILE, SOON)
    owned = AuthorizingAnswers(DirectAnswers(Untouched()), shared)
    file = prompt_of(body={"fileUri": "files/f1"})
    prompts = {
        "CACHE_NOT_FOUND": [
            prompt_of("cachedContents/c1"),
            prompt_of("c1", is_native=True),
        ],
        "FILE_NOT_FOUND": [file],
    }

    for refused, named in prompts.items():
        for prompt in named:
            await owned.check(prompt, RequestContext("r", caller=ACME))
            work = owned.check(prompt, RequestContext("r", caller=BOLT))
            assert await failure(work) == refused
    for caller in (ACME, BOLT):
        await owned.check(prompt_of(), RequestContext("r", caller=caller))


class Untouched:
    """An upstream that is never asked."""

    async def send(self, request: UpstreamRequest, ctx: RequestContext) -> Any:
        raise AssertionError("upstream was asked")

    def stream(self, request: UpstreamRequest, ctx: RequestContext) -> Any:
        raise AssertionError("upstream was asked")


def about(duration: timedelta) -> Any:
    return pytest.approx(duration, abs=timedelta(seconds=30))


# ---------------------------------------------------------------------------- one tenant, no store


async def test_where_there_is_one_tenant_unknown_names_and_upstreams_words_pass(
    alone: TenantOwnership,
) -> None:
    gone = BridgeError(pb.ERROR_REASON_CACHE_EXPIRED, "Its own words.")

    assert await refusal(alone, ANYONE, CACHE, named_context("odd id: é")) == ""
    assert await refusal(alone, ANYONE, body=b"no JSON at all: fileUri") == ""
    assert await raised_within(alone, ANYONE, gone) is gone
    assert await refusal(alone, ACME, CACHE) == "CACHE_NOT_FOUND"
    assert await refusal(alone, ACME, body=b'{"fileUri": "files/f1"}') == "FILE_NOT_FOUND"


async def test_what_another_server_of_the_store_made_for_its_tenant_stays_closed(
    alone: TenantOwnership, shared: TenantOwnership
) -> None:
    await shared.claim(ACME, CACHE, SOON)

    assert await refusal(alone, ANYONE, CACHE) == "CACHE_NOT_FOUND"


async def test_a_store_that_is_away_stops_nobody_who_could_not_be_refused(absent: Store) -> None:
    alone = TenantOwnership(OwnerRecords(absent), single_tenant=True)
    undone = Undone()

    await alone.require(ANYONE)
    await alone.claim(ANYONE, CACHE, SOON, undone)
    await alone.renew(ANYONE, CACHE, SOON)
    await alone.forget(ANYONE, CACHE)
    assert await refusal(alone, ANYONE, CACHE, CONTEXT) == ""
    assert await alone.visible(ANYONE, [CACHE]) == [True]
    assert undone.count == 0


@pytest.mark.parametrize(
    "caller, single_tenant", [(ACME, False), (BOLT_ADMIN, False), (ACME, True)]
)
async def test_a_store_that_is_away_opens_nothing_to_others(
    caller: Caller, single_tenant: bool, absent: Store
) -> None:
    ownership = TenantOwnership(OwnerRecords(absent), single_tenant=single_tenant)
    undone = Undone()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: ownership.require(caller),
        lambda: ownership.claim(caller, CACHE, SOON, undone),
        lambda: ownership.renew(caller, CACHE, SOON),
        lambda: ownership.visible(caller, [CACHE]),
    ]

    for call in calls:
        assert await failure(call()) == "STORE_UNAVAILABLE"
    assert await refusal(ownership, caller, CACHE) == "STORE_UNAVAILABLE"
    assert await refusal(ownership, caller, body=b'{"fileUri": "x"}') in (
        "",
        "STORE_UNAVAILABLE",
    )
    assert undone.count == 1


async def test_a_store_that_is_full_is_noticed_before_upstream_is_paid(
    shared: TenantOwnership, store: Store
) -> None:
    await shared.claim(ACME, CACHE, SOON)
    await store.execute("CONFIG", "SET", "maxmemory", 1)
    undone = Undone(BridgeError(pb.ERROR_REASON_UPSTREAM_UNAVAILABLE, "Not now."))

    assert await failure(shared.require(BOLT)) == "STORE_FULL"
    assert await failure(shared.claim(BOLT, OTHER, SOON, undone)) == "STORE_FULL"
    assert undone.count == 1
    assert await refusal(shared, ACME, CACHE) == ""


async def test_without_a_store_those_who_may_not_name_unknown_ids_can_do_nothing() -> None:
    ownership = UnrecordedOwnership()

    assert await failure(ownership.require(ACME)) == "STORE_REQUIRED"
    assert await refusal(ownership, ACME, FILE, CACHE) == "FILE_NOT_FOUND"
    assert await refusal(ownership, ACME, body=b'{"fileUri": "files/f1"}') == "FILE_NOT_FOUND"
    assert await refusal(ownership, ACME, body=b'{"fileUri": "gs://bucket/x"}') == ""
    assert await ownership.visible(ACME, [CACHE]) == [False]


async def test_without_a_store_the_others_can_do_everything() -> None:
    ownership = UnrecordedOwnership()

    await ownership.require(ANYONE)
    await ownership.claim(ANYONE, CACHE, SOON)
    await ownership.renew(ANYONE, CACHE, SOON)
    await ownership.forget(ANYONE, CACHE)
    assert await refusal(ownership, ANYONE, CACHE) == ""
    assert await ownership.visible(ANYONE, [CACHE]) == [True]


async def test_callers_with_keys_of_their_own_are_left_to_upstream() -> None:
    ownership = NoOwnership()

    await ownership.require(ACME)
    await ownership.claim(ACME, CACHE, SOON)
    await ownership.renew(ACME, CACHE, SOON)
    await ownership.forget(ACME, CACHE)
    assert await refusal(ownership, BOLT, CACHE, body=b'{"fileUri": "files/f1"}') == ""
    assert await ownership.visible(BOLT, [CACHE]) == [True]


class Undone:
    """Counts how often something was taken back, and fails if it is told to."""

    def __init__(self, error: BridgeError | None = None) -> None:
        self.count = 0
        self._error = error

    async def __call__(self) -> None:
        self.count += 1
        if self._error:
            raise self._error


# ---------------------------------------------------------------------------- callers


def entry(name: str, tenant: str, more: str = "") -> str:
    digest = name[0].encode().hex()[-1] * 64
    return f'[[callers]]\nname = "{name}"\ntenant = "{tenant}"\ntoken_sha256 = "{digest}"\n{more}\n'


@pytest.mark.parametrize(
    "text, unknown_ids",
    [
        (entry("a", "one"), [True]),
        (entry("a", "one") + entry("b", "one"), [True, True]),
        (entry("a", "one") + entry("b", "two"), [False, False]),
        (
            entry("a", "one", "unknown_upstream_ids = true") + entry("b", "two"),
            [True, False],
        ),
        (entry("a", "one", "unknown_upstream_ids = false"), [False]),
    ],
)
def test_an_entry_says_whether_it_may_name_unknown_ids(
    text: str, unknown_ids: list[bool], tmp_path: Any
) -> None:
    (tmp_path / "callers.toml").write_text(text)
    callers = read_callers(tmp_path / "callers.toml")

    assert [caller.unknown_ids for caller in callers.values()] == unknown_ids
    assert is_single_tenant(callers) is ("two" not in text)


@pytest.mark.parametrize("value", ['"true"', "1", "[]"])
def test_what_is_neither_true_nor_false_is_refused(value: str, tmp_path: Any) -> None:
    (tmp_path / "callers.toml").write_text(entry("a", "one", f"unknown_upstream_ids = {value}"))

    with pytest.raises(ValueError, match=r"entry 1 \(a\): unknown_upstream_ids must be true or fa"):
        read_callers(tmp_path / "callers.toml")


def test_one_token_has_one_meaning(tmp_path: Any) -> None:
    text = entry("a", "one") + entry("a", "two")
    (tmp_path / "callers.toml").write_text(text)

    with pytest.raises(ValueError, match="its token is another entry's too"):
        read_callers(tmp_path / "callers.toml")
