"""Cached contents and files, end to end."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from contextbridge import v1 as pb

LONG = "House rule: trim the lamps at dusk. " * 400


@pytest.fixture(name="caches")
def caches_fixture(channel):
    return pb.CachedContentServiceStub(channel)


@pytest.fixture(name="files")
def files_fixture(channel):
    return pb.FileServiceStub(channel)


def cached_content(**fields):
    contents = [pb.Content(role="user", parts=[pb.Part(text=LONG)])]
    return pb.CachedContent(model="gemini-2.5-flash", contents=contents, **fields)


async def made(caches, **fields):
    request = pb.CreateCachedContentRequest(cached_content=cached_content(**fields))
    return (await caches.CreateCachedContent(request)).cached_content


async def test_a_cached_content_is_made_used_moved_and_deleted(
    caches, gemini, generate_request, failure
):
    created = await made(caches, display_name="rules", ttl=Duration(seconds=300))
    answer = await gemini.GenerateContent(generate_request(cached_content=created.name))
    got = await caches.GetCachedContent(pb.GetCachedContentRequest(name=created.name))
    moved = await caches.UpdateCachedContent(
        pb.UpdateCachedContentRequest(
            cached_content=pb.CachedContent(name=created.name, ttl=Duration(seconds=7200)),
            update_mask=FieldMask(paths=["ttl"]),
        )
    )
    await caches.DeleteCachedContent(pb.DeleteCachedContentRequest(name=created.name))
    gone = await failure(caches.GetCachedContent(pb.GetCachedContentRequest(name=created.name)))
    unusable = await failure(gemini.GenerateContent(generate_request(cached_content=created.name)))

    assert created.name.startswith("cachedContents/")
    assert created.model == "models/gemini-2.5-flash"
    assert created.display_name == "rules"
    assert not created.contents
    assert created.usage_metadata.total_token_count > 1024
    assert answer.usage_metadata.cached_content_token_count == (
        created.usage_metadata.total_token_count
    )
    assert answer.context.id == created.name
    assert got.cached_content == created
    later = moved.cached_content.expire_time.ToDatetime() - created.expire_time.ToDatetime()
    assert later > timedelta(minutes=100)
    for failed in (gone, unusable):
        assert (failed.code.name, failed.reason) == ("NOT_FOUND", "CACHE_NOT_FOUND")
        assert failed.info.metadata["httpStatus"] == "403"


async def test_an_expire_time_is_moved_without_a_mask(caches, emulator):
    created = await made(caches)
    moment = datetime.now(UTC) + timedelta(days=1)
    change = pb.CachedContent(name=created.name)
    change.expire_time.FromDatetime(moment)

    moved = await caches.UpdateCachedContent(pb.UpdateCachedContentRequest(cached_content=change))

    assert moved.cached_content.expire_time.ToDatetime(UTC) == moment
    assert emulator.requests[-1].query == {"updateMask": "expireTime"}


async def test_pages_of_cached_contents_are_listed_to_the_end(caches):
    names = {(await made(caches)).name for _ in range(3)}

    first = await caches.ListCachedContents(pb.ListCachedContentsRequest(page_size=2))
    second = await caches.ListCachedContents(
        pb.ListCachedContentsRequest(page_size=2, page_token=first.next_page_token)
    )

    assert len(first.cached_contents) == 2
    assert not second.next_page_token
    assert {c.name for c in (*first.cached_contents, *second.cached_contents)} == names


async def test_too_little_content_is_refused_with_upstreams_minimum(caches, failure):
    small = pb.CachedContent(model="gemini-2.5-flash")
    small.contents.add().parts.add(text="Short.")

    failed = await failure(
        caches.CreateCachedContent(pb.CreateCachedContentRequest(cached_content=small))
    )

    assert (failed.code.name, failed.reason) == ("INVALID_ARGUMENT", "CACHE_TOO_SMALL")
    assert "min_total_token_count=1024" in failed.message


async def test_another_model_than_the_caches_is_refused(caches, gemini, generate_request, failure):
    created = await made(caches)

    failed = await failure(
        gemini.GenerateContent(generate_request("gemini-2.5-pro", cached_content=created.name))
    )

    assert (failed.code.name, failed.reason) == ("INVALID_ARGUMENT", "CACHE_CONFLICT")


async def chunks_of(metadata, content, size):
    yield pb.UploadFileRequest(metadata=metadata)
    for start in range(0, len(content), size):
        yield pb.UploadFileRequest(chunk=content[start : start + size])


def metadata(content, **fields):
    return pb.UploadFileMetadata(mime_type="text/plain", size_bytes=len(content), **fields)


@pytest.mark.parametrize("size", [1, 8 * 1024**2, 8 * 1024**2 + 1, 20 * 1024**2])
async def test_a_file_of_any_size_arrives_whole(size, files, emulator):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)

    uploaded = await files.UploadFile(
        chunks_of(metadata(content, display_name="rules"), content, 256 * 1024)
    )
    got = await files.GetFile(pb.GetFileRequest(name=uploaded.file.name))

    assert uploaded.file.size_bytes == size
    assert uploaded.file.display_name == "rules"
    assert uploaded.file.state == pb.File.STATE_ACTIVE
    assert got.file == uploaded.file
    bodies = [r.body_bytes for r in emulator.requests if "upload_id" in r.query]
    assert all(body <= 8 * 1024**2 for body in bodies)


async def test_an_uploaded_file_can_be_asked_about_listed_and_deleted(
    files, gemini, generate_request, failure
):
    content = b"hello world"
    uploaded = (await files.UploadFile(chunks_of(metadata(content), content, 4))).file
    request = generate_request()
    request.contents[0].parts.add(
        file_data=pb.FileData(file_uri=uploaded.uri, mime_type=uploaded.mime_type)
    )

    answer = await gemini.GenerateContent(request)
    listed = await files.ListFiles(pb.ListFilesRequest())
    await files.DeleteFile(pb.DeleteFileRequest(name=uploaded.name))
    gone = await failure(files.GetFile(pb.GetFileRequest(name=uploaded.name)))

    assert answer.candidates
    assert [file.name for file in listed.files] == [uploaded.name]
    assert (gone.code.name, gone.reason) == ("NOT_FOUND", "FILE_NOT_FOUND")


@pytest.mark.parametrize("announced", [10, 12])
async def test_a_file_of_another_size_than_announced_is_refused(announced, files, failure):
    wrong = pb.UploadFileMetadata(mime_type="text/plain", size_bytes=announced)

    failed = await failure(files.UploadFile(chunks_of(wrong, b"hello world", 4)))

    assert failed.reason == "REQUEST_INVALID"
    assert "chunk" in failed.violations


async def test_an_upload_begins_with_its_metadata_and_has_it_once(files, failure):
    async def chunk_first():
        yield pb.UploadFileRequest(chunk=b"a")

    async def nothing():
        for message in ():
            yield message

    async def metadata_twice():
        yield pb.UploadFileRequest(metadata=metadata(b"a"))
        yield pb.UploadFileRequest(metadata=metadata(b"a"))

    for messages, field in (
        (chunk_first, "metadata"),
        (nothing, "metadata"),
        (metadata_twice, "chunk"),
    ):
        failed = await failure(files.UploadFile(messages()))
        assert failed.reason == "REQUEST_INVALID"
        assert field in failed.violations
