"""docs/architecture.md lists every file and class that a chat on a context enters."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from contextbridge import v1 as pb
from contextbridge_server.rpc.current import current_request
from families import read

PACKAGE = "contextbridge_server."
PAGE = Path(__file__).parents[2] / "docs/architecture.md"
HEADING = "### Every file and class that a call enters"
ROW = re.compile(r"\| `([a-z0-9_/]+\.py)` \| (.*) \| (.*) \|")
NOT_ENTERED = "not entered"

Entered = dict[str, set[str]]


class Walk:
    """The files and classes of the server that the tasks of one call enter."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self.entered: Entered = {}

    def __call__(self, frame: FrameType, what: str, _: Any) -> None:
        """Note a call of a function, as `sys.setprofile` reports it."""
        module = frame.f_globals.get("__name__", "")
        if what != "call" or not module.startswith(PACKAGE) or not self._is_of_the_call():
            return
        self.entered.setdefault(_file_of(module), set())
        owner = type(frame.f_locals.get("self"))
        if owner.__module__.startswith(PACKAGE):
            self.entered.setdefault(_file_of(owner.__module__), set()).add(owner.__qualname__)

    def _is_of_the_call(self) -> bool:
        ctx = current_request.get(None)
        return ctx is not None and ctx.request_id == self._request_id


def _file_of(module: str) -> str:
    return f"{module.removeprefix(PACKAGE).replace('.', '/')}.py"


async def walked(stub: Any, request: Any, method: str, *, stream: bool) -> Entered:
    """Trace a call that finds its connections open and its context in the near cache."""
    for request_id in ("warm", method):
        walk = Walk(request_id)
        sys.setprofile(walk)
        try:
            call = getattr(stub, method)(request, metadata=(("x-request-id", request_id),))
            await (read(call) if stream else call)
        finally:
            sys.setprofile(None)
    return walk.entered


def listed() -> list[str]:
    """Return the rows of the page's table."""
    section = PAGE.read_text().split(HEADING, 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if ROW.fullmatch(line)]


def rows_of(unary: Entered, stream: Entered) -> list[str]:
    """Return what was entered as the page lists it."""

    def cell(entered: Entered, file: str) -> str:
        if file not in entered:
            return NOT_ENTERED
        return ", ".join(f"`{name}`" for name in sorted(entered[file])) or "functions"

    files = [*unary, *(file for file in stream if file not in unary)]
    return [f"| `{file}` | {cell(unary, file)} | {cell(stream, file)} |" for file in files]


async def test_the_page_lists_every_file_and_class_that_a_call_enters(create, contexts) -> None:
    context = await create(mode=pb.CONTEXT_MODE_COMMON_PREFIX)
    messages = [pb.ChatMessage(role="user", content="Hello")]
    request = pb.ChatWithContextRequest(context_id=context.id, messages=messages)

    unary = await walked(contexts, request, "CompleteChatWithContext", stream=False)
    stream = await walked(contexts, request, "ChatWithContext", stream=True)

    rows = rows_of(unary, stream)
    assert sorted(rows) == sorted(listed()), "\n".join(rows)
    page = PAGE.read_text()
    for name, entered in (("unary chat", unary), ("stream", stream)):
        classes = set().union(*entered.values())
        assert f"A {name} enters {len(entered)} files and {len(classes)} classes" in page
