"""What the response cache takes and gives, beside the same calls answered upstream.

    python benchmarks/response_cache.py                      this server
    python benchmarks/response_cache.py OTHER/bin/contextbridge   and another build, in the same run

Each server has one core, the emulator and this client share the other. Rounds of all workloads are
interleaved; a figure is the median of the rounds, with the least and the most. Latency is that of
one caller after another, throughput that of 32 at once.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc

from contextbridge import v1 as pb

HERE = Path(sys.executable).parent / "contextbridge"
MODEL = "Doubao-1.5-pro-32k"
EVENTS = 64
CALLERS = 32
SECONDS = 2.0
ROUNDS = 5
ENABLED = pb.ResponseCachePolicy(enabled=True, by_model=False)

Call = Callable[[], Awaitable[int]]


@contextmanager
def running(core: int, ready: str, *command: str) -> Iterator[str]:
    """Run a program on a core; give the line by which it says that it is ready."""
    pinned = ("taskset", "-c", str(core), *command)
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout or ()
        try:
            yield next(line for line in lines if ready in line)
        finally:
            process.terminate()


def workloads(context: pb.Context, channel: grpc.aio.Channel, *, cached: bool) -> dict[str, Call]:
    """Return the workloads of one server: each makes one call, and returns its messages."""
    stub = pb.ContextServiceStub(channel)

    def request(text: str, **fields: Any) -> pb.ChatWithContextRequest:
        message = pb.ChatMessage(role="user", content=text)
        return pb.ChatWithContextRequest(
            context_id=context.id, model=context.model, messages=[message], **fields
        )

    async def unary(asked: pb.ChatWithContextRequest) -> int:
        await stub.CompleteChatWithContext(asked)
        return 1

    async def stream(asked: pb.ChatWithContextRequest) -> int:
        count = 0
        async for _ in stub.ChatWithContext(asked):
            count += 1
        return count

    short, long = "Hello", f"count to {EVENTS - 3}"
    calls: dict[str, Call] = {
        "unary": lambda: unary(request(short)),
        "stream": lambda: stream(request(long)),
    }
    if cached:
        calls |= {
            "unary, hit": lambda: unary(request(short, response_cache=ENABLED)),
            f"stream of {EVENTS} events, hit": lambda: stream(
                request(long, response_cache=ENABLED)
            ),
        }
    return calls


async def fill(context: pb.Context, channel: grpc.aio.Channel) -> None:
    """Fill the cache, each delta in an event of its own."""
    stub = pb.ContextServiceStub(channel)
    for text, pace in (("Hello", ""), (f"count to {EVENTS - 3}", "+pace=0.01")):
        message = pb.ChatMessage(role="user", content=text)
        asked = pb.ChatWithContextRequest(
            context_id=context.id,
            model=context.model + pace,
            messages=[message],
            response_cache=ENABLED,
        )
        async for _ in stub.ChatWithContext(asked):
            pass


async def latency_ms(call: Call) -> float:
    """Return the median of calls one after another."""
    taken = []
    end = time.perf_counter() + SECONDS / 2
    while time.perf_counter() < end:
        start = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


async def per_second(call: Call) -> float:
    """Return the calls that many callers at once have answered in a second."""
    count = 0
    end = time.perf_counter() + SECONDS

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call()
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - start)


async def measure(programs: list[Path]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Run all workloads on all servers, round by round; return the figures of each."""
    figures: dict[tuple[str, str], dict[str, list[float]]] = {}
    async with AsyncExitStack() as stack:
        line = stack.enter_context(
            running(1, "listening", str(HERE), "emulate", "--listen", "127.0.0.1:0")
        )
        upstream = line.rsplit(" ", 1)[-1].strip()
        calls: dict[tuple[str, str], Call] = {}
        for program in programs:
            calls |= await stack.enter_async_context(_served(program, upstream))
        for _ in range(ROUNDS):
            for which, call in calls.items():
                taken = figures.setdefault(which, {"ms": [], "rate": [], "messages": []})
                taken["messages"].append(await call())
                taken["ms"].append(await latency_ms(call))
                taken["rate"].append(await per_second(call))
    return figures


@asynccontextmanager
async def _served(program: Path, upstream: str) -> AsyncIterator[dict[tuple[str, str], Call]]:
    with ExitStack() as stack:
        data_dir = stack.enter_context(tempfile.TemporaryDirectory())
        command = (str(program), "serve", "--listen", "127.0.0.1:0", "--upstream", upstream)
        options = ("--upstream-api-key", "sk-benchmark", "--data-dir", data_dir)
        line = stack.enter_context(running(0, "server.started", *command, *options))
        async with grpc.aio.insecure_channel(json.loads(line)["address"]) as channel:
            message = pb.ChatMessage(role="system", content="You keep the lighthouse at Oban.")
            request = pb.CreateContextRequest(
                model=MODEL, mode=pb.CONTEXT_MODE_COMMON_PREFIX, messages=[message]
            )
            made = await pb.ContextServiceStub(channel).CreateContext(request)
            is_ours = program == HERE
            if is_ours:
                await fill(made.context, channel)
            named = workloads(made.context, channel, cached=is_ours)
            yield {(str(program), name): call for name, call in named.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("other", nargs="*", type=Path, help="another build's contextbridge")
    programs = [HERE, *parser.parse_args().other]
    print("| server | workload | messages | latency, ms | calls/s |")
    print("|---|---|---|---|---|")
    for (program, name), taken in asyncio.run(measure(programs)).items():
        server = "this" if program == str(HERE) else "other"
        messages = round(statistics.median(taken["messages"]))
        print(
            f"| {server} | {name} | {messages} | {_spread(taken['ms'], 2)} "
            f"| {_spread(taken['rate'], 0)} |"
        )


def _spread(figures: list[float], digits: int) -> str:
    middle = statistics.median(figures)
    return f"{middle:.{digits}f} ({min(figures):.{digits}f} to {max(figures):.{digits}f})"


if __name__ == "__main__":
    main()
