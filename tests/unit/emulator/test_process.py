import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import contextbridge_emulator
from contextbridge_emulator.__main__ import main
from contextbridge_emulator.serving import is_loopback

FOLDER = str(Path(contextbridge_emulator.__file__).parent.parent)
Run = Callable[..., Any]


@pytest.fixture
def run() -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, listen: str = "127.0.0.1:0") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "contextbridge_emulator", "--listen", listen, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": FOLDER},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def url_of(process: Any) -> str:
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    return str(line.removeprefix("listening on ").strip())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_leaves_cleanly(run: Run, number: signal.Signals) -> None:
    process = run(
        "--api-key", "k", "--min-cache-tokens", "gemini-=1", "--delay", "0", "--pace", "0"
    )
    body = b'{"model":"gemini-2.0-flash","messages":[{"role":"user","content":"x"}]}'
    request = Request(f"{url_of(process)}/v1/context/create", body, {"Authorization": "Bearer k"})
    with urlopen(request) as answer:
        assert answer.status == 200
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_leaves_while_requests_are_open(run: Run) -> None:
    process = run()
    host, port = url_of(process).removeprefix("http://").split(":")
    body = b'{"model":"stall","messages":[{"role":"user","content":"x"}]}'
    head = f"POST /v1/chat/completions?key=k HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + body)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_it_leaves_with_its_parent_when_asked_to(run: Run) -> None:
    process = run("--exit-with-parent")
    url_of(process)
    process.stdin.close()
    process.stdin = None
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_taken_port_is_reported(run: Run) -> None:
    first = run()
    taken = url_of(first).removeprefix("http://")
    second = run(listen=taken)
    out, err = second.communicate(timeout=20)
    assert (second.returncode, out) == (1, "")
    assert err.startswith(f"cannot listen on {taken}: ")


def test_help_lists_every_fault_and_header(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for name, fault in contextbridge_emulator.FAULTS.items():
        assert f"{name} " in shown
        assert fault.summary in shown
    assert all(name in shown for name in contextbridge_emulator.HEADERS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "nowhere"],
        ["--listen", "127.0.0.1:x"],
        ["--listen", "0.0.0.0:0"],
        ["--delay", "soon"],
        ["--min-cache-tokens", "x"],
        ["--context-ttl-range", "x"],
        ["--events-per-write", "x"],
    ],
)
def test_faulty_options_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "host,loopback",
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("example.com", False),
    ],
)
def test_loopback_addresses_are_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


async def test_other_addresses_need_a_word() -> None:
    with pytest.raises(ValueError, match="needs --insecure"):
        async with contextbridge_emulator.serve("0.0.0.0"):
            pass
    async with contextbridge_emulator.serve("0.0.0.0", insecure=True) as emulator:
        assert emulator.url.startswith("http://0.0.0.0:")


async def test_an_ipv6_address_is_shown_in_brackets() -> None:
    try:
        async with contextbridge_emulator.serve("::1") as emulator:
            assert emulator.url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("this machine has no IPv6")
