"""Every example of the README runs as it is, in a process of its own, against a real server."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2

import contextbridge
from contextbridge import v1 as pb

README = Path(contextbridge.__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)

OUTPUTS = [
    "One month.\n40 tokens came from the cache\n",
    "One month.\n",
    "One month.\n",
    "RESPONSE_CACHE_STATUS_MISS\nRESPONSE_CACHE_STATUS_HIT\n1 hit\n1 deleted\n",
    "StatusCode.NOT_FOUND ERROR_REASON_CONTEXT_NOT_FOUND None\n",
    "One month.\n",
    "One month.\n",
    "",
]


@pytest.fixture
def answering(script: Any, events: Any) -> Any:
    context = pb.Context(id="ctx-1", model="doubao-1-5-pro-32k")
    whole = events(
        {"started": pb.ChatStarted(id="a-1", resumable=True)},
        {"content": pb.TextDelta(text="One ")},
        {"content": pb.TextDelta(text="month.")},
        {"completed": pb.ChatCompleted(usage=pb.Usage(cached_tokens=40))},
    )

    async def chat(request: Any, context: Any) -> None:
        for event in whole[request.resume_after :]:
            if event.sequence == 3 and request.idempotency_key and not request.resume_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")
            await context.write(event)

    async def complete(request: Any, context: Any) -> Any:
        del context
        assert request.response_cache.enabled
        asked = len(script.requests["CompleteChatWithContext"])
        status = pb.RESPONSE_CACHE_STATUS_MISS if asked == 1 else pb.RESPONSE_CACHE_STATUS_HIT
        outcome = pb.ResponseCacheOutcome(status=status, key="k-1")
        return pb.CompleteChatWithContextResponse(response_cache=outcome)

    async def upload(requests: Any, context: Any) -> Any:
        del context
        async for _ in requests:
            pass
        file = pb.File(name="files/1", uri="https://files/1", mime_type="application/pdf")
        return pb.UploadFileResponse(file=file)

    script.on("ChatWithContext", chat)
    script.on("CompleteChatWithContext", complete)
    script.on("UploadFile", upload)
    statistics = pb.ResponseCacheStatistics(hit_count=1)
    script.answer(
        "GetResponseCacheStatistics", pb.GetResponseCacheStatisticsResponse(statistics=statistics)
    )
    script.answer("DeleteCachedResponses", pb.DeleteCachedResponsesResponse(deleted_count=1))
    script.answer("CreateContext", pb.CreateContextResponse(context=context))
    kept = pb.CachedContent(name="cachedContents/1")
    script.answer("CreateCachedContent", pb.CreateCachedContentResponse(cached_content=kept))
    content = pb.Content(role="model", parts=[pb.Part(text="One month.")])
    answer = pb.GenerateContentResponse(candidates=[pb.Candidate(content=content)])
    script.answer("GenerateContent", answer)
    gone = error_details_pb2.ErrorInfo(
        reason="ERROR_REASON_CONTEXT_NOT_FOUND", domain="contextbridge.dev"
    )
    script.fail("GetContext", grpc.StatusCode.NOT_FOUND, "gone", gone)
    return script


def test_there_is_an_output_for_each_example() -> None:
    assert len(EXAMPLES) == len(OUTPUTS)


@pytest.mark.parametrize("number", range(len(OUTPUTS)))
async def test_an_example_of_the_readme(
    answering: Any, address: str, tmp_path: Path, number: int
) -> None:
    del answering
    (tmp_path / "handbook.pdf").write_bytes(b"%PDF")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    code = EXAMPLES[number].replace("127.0.0.1:50051", address)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        code,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert output.decode() == OUTPUTS[number]
    assert errors.decode() == ""
    assert process.returncode == 0
