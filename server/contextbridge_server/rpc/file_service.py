"""FileService: files that contents and cached contents can be made from."""

from collections.abc import AsyncIterator
from itertools import compress

from contextbridge import v1 as pb

from ..contexts.owners import end_of
from ..contexts.ownership import Ownership
from ..contexts.upstream_names import named_file
from ..request_context import Caller
from ..translate.files import COLLECTION, MAX_PAGE_SIZE
from ..translate.gemini_json import from_json
from ..translate.paths import list_request, resource_request
from ..upstream.interface import Upstream
from ..upstream.json_object import fetch_object
from .current import ServicerContext, current_request
from .uploads import Uploads


class FileServicer(pb.FileServiceServicer):
    """Files that contents and cached contents can be made from, each tenant's apart.

    Args:
        upstream: The upstream that holds them.
        uploads: Brings them there.
        ownership: Decides who may name which.
    """

    def __init__(self, upstream: Upstream, uploads: Uploads, ownership: Ownership) -> None:
        self._upstream = upstream
        self._uploads = uploads
        self._ownership = ownership

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: ServicerContext
    ) -> pb.UploadFileResponse:
        """Upload a file."""
        caller, ctx = current_request.get().caller, current_request.get()
        await self._ownership.require(caller)
        file = await self._uploads.upload(request_iterator, ctx)
        await self._claim(caller, file)
        return pb.UploadFileResponse(file=file)

    async def GetFile(
        self, request: pb.GetFileRequest, context: ServicerContext
    ) -> pb.GetFileResponse:
        """Return a file's metadata."""
        asked = resource_request("GET", request.name, COLLECTION)
        async with self._ownership.authorize(
            current_request.get().caller, named_file(request.name)
        ):
            value = await fetch_object(self._upstream, asked, current_request.get())
        return pb.GetFileResponse(file=from_json(value, pb.File))

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: ServicerContext
    ) -> pb.ListFilesResponse:
        """List files' metadata."""
        asked = list_request(COLLECTION, request.page_size, request.page_token, MAX_PAGE_SIZE)
        value = await fetch_object(self._upstream, asked, current_request.get())
        listed = from_json(value, pb.ListFilesResponse)
        names = [named_file(each.name) for each in listed.files]
        visible = await self._ownership.visible(current_request.get().caller, names)
        return pb.ListFilesResponse(
            files=compress(listed.files, visible), next_page_token=listed.next_page_token
        )

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: ServicerContext
    ) -> pb.DeleteFileResponse:
        """Delete a file."""
        asked = resource_request("DELETE", request.name, COLLECTION)
        caller, named = current_request.get().caller, named_file(request.name)
        async with self._ownership.authorize(caller, named):
            await self._upstream.send(asked, current_request.get())
        await self._ownership.forget(caller, named)
        return pb.DeleteFileResponse()

    async def _claim(self, caller: Caller, file: pb.File) -> None:
        named, ctx = named_file(file.name), current_request.get()

        async def undo() -> None:
            await self._upstream.send(resource_request("DELETE", file.name, COLLECTION), ctx)

        await self._ownership.claim(caller, named, end_of(file, "expiration_time"), undo)
