"""FileService: files that contents and cached contents can be made from."""

from collections.abc import AsyncIterator

from contextbridge import v1 as pb

from ..translate.files import COLLECTION, MAX_PAGE_SIZE
from ..translate.gemini_json import from_json
from ..translate.paths import list_request, resource_request
from ..uploads import Uploads
from ..upstream.objects import ask_for_object
from ..upstream.port import Upstream
from .call import Context, current_call


class FileServicer(pb.FileServiceServicer):
    """Files that contents and cached contents can be made from.

    Args:
        upstream: The upstream that holds them.
        uploads: Brings them there.
    """

    def __init__(self, upstream: Upstream, uploads: Uploads) -> None:
        self._upstream = upstream
        self._uploads = uploads

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Context
    ) -> pb.UploadFileResponse:
        """Upload a file."""
        terms = current_call.get().terms
        return pb.UploadFileResponse(file=await self._uploads.upload(request_iterator, terms))

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        """Return a file's metadata."""
        asked = resource_request("GET", request.name, COLLECTION)
        value = await ask_for_object(self._upstream, asked, current_call.get().terms)
        return pb.GetFileResponse(file=from_json(value, pb.File))

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: Context
    ) -> pb.ListFilesResponse:
        """List files' metadata."""
        asked = list_request(COLLECTION, request.page_size, request.page_token, MAX_PAGE_SIZE)
        value = await ask_for_object(self._upstream, asked, current_call.get().terms)
        return from_json(value, pb.ListFilesResponse)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: Context
    ) -> pb.DeleteFileResponse:
        """Delete a file."""
        asked = resource_request("DELETE", request.name, COLLECTION)
        await self._upstream.send(asked, current_call.get().terms)
        return pb.DeleteFileResponse()
