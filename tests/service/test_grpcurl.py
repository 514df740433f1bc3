"""The page of recipes for grpcurl, run as it stands there, and compared with what it shows.

Each section is one shell session. The sections that call the API run twice: by reflection, and
against a server without it, after the page's own line for that case.
"""

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grpcurl.md").read_text()
PROTOSET = ROOT / "protos" / "contextbridge.protoset"
ADDRESS = "127.0.0.1:50051"
CUT = "---- next ----\n"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"\b((?:contextbridge|grpc\.health)\.v1\.\w+)/(\w+)")


def sections():
    """Return the page's sections that have blocks, by their headings."""
    found = [part.partition("\n") for part in f"\n{PAGE}".split("\n## ")]
    return {heading: text for heading, _, text in found if "```" in text}


SECTIONS = sections()


def services():
    """Return the methods of each service of the descriptor set."""
    files = FileDescriptorSet.FromString(PROTOSET.read_bytes()).file
    return {
        f"{file.package}.{service.name}": {method.name for method in service.method}
        for file in files
        for service in file.service
    }


SERVICES = services()
OF_SERVICES = {name.rpartition(".")[2]: name for name in SERVICES}


def recipes(section):
    """Return the section's scripts, and what is shown below each, if anything."""
    found = []
    for language, text in BLOCK.findall(section):
        if language == "sh":
            found.append([text, None])
        else:
            assert language in ("", "json"), f"nobody runs a block of {language}"
            assert found, f"no script prints this:\n{text}"
            assert found[-1][1] is None, f"two blocks are shown below one script:\n{text}"
            found[-1][1] = text
    return found


def as_pattern(shown):
    """Return what an output must match: `…` is any text, and on a line of its own any lines.

    Space at the ends of lines, and of the whole, tells nobody anything.
    """
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in trimmed(shown).splitlines()
    ]
    return re.compile("".join(lines))


def trimmed(text):
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(name="folder")
def folder_fixture(tmp_path):
    """Return a folder that has what the page finds in the repository's root, and an operator's."""
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    authority = trustme.CA()
    (tmp_path / "ca.crt").write_bytes(authority.cert_pem.bytes())
    for name, identity in (("tls", "bridge.example"), ("client", "night-shift.example")):
        certificate = authority.issue_cert(identity)
        (tmp_path / f"{name}.crt").write_bytes(certificate.cert_chain_pems[0].bytes())
        (tmp_path / f"{name}.key").write_bytes(certificate.private_key_pem.bytes())
    return tmp_path


@pytest.fixture(name="reflecting", scope="module")
def reflecting_fixture(serving_logged):
    with serving_logged("--upstream", "emulator", "--log-level", "debug") as server:
        yield server


@pytest.fixture(name="silent", scope="module")
def silent_fixture(serving_logged):
    flags = ("--upstream", "emulator", "--log-level", "debug", "--no-reflection")
    with serving_logged(*flags) as server:
        yield server


@pytest.fixture(name="run")
def run_fixture(go_tools, folder):
    """Return what runs a section's recipes and compares what they print with what is shown."""

    def run(section, address, prelude=""):
        addresses = {
            here: free_address() for here in re.findall(r"127\.0\.0\.1:\d{5}\b", section)
        } | {ADDRESS: address}
        blocks = recipes(section)
        script = prelude + f"printf '%s' '{CUT}'\n".join(text for text, _ in blocks)
        output = finished(replaced(script, addresses), folder, go_tools)
        output = replaced(output, {there: here for here, there in addresses.items()})
        for (text, shown), printed in zip(blocks, output.split(CUT), strict=True):
            assert shown is None or as_pattern(shown).fullmatch(trimmed(printed)), (
                f"{text}\n{printed}"
            )

    return run


def replaced(text, words):
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def finished(script, folder, go_tools):
    """Run a script to its end, with all that it began; return what a terminal would show."""
    tools = f"{go_tools}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": tools},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            # What a script that failed had begun.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


def calls(section):
    """Return the methods that a section's scripts name."""
    scripts = "\n".join(text for text, _ in recipes(section))
    return set(CALL.findall(scripts))


def methods_of(heading):
    """Return the methods that a section of a service calls; health has no line in the log."""
    service = OF_SERVICES.get(heading, "")
    if not service.startswith("contextbridge."):
        return set()
    return {(service, method) for method in SERVICES[service]}


def succeeded(log, wanted):
    """Return the methods that a log has a success of, once it has those that are wanted."""
    line = re.compile(r'"rpc\.method":"([^"/]+)/([^"]+)","rpc\.response\.status_code":"OK"')
    for _ in range(500):
        found = set(line.findall(log()))
        if found >= wanted:
            break
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_prints_what_it_shows(heading, run, reflecting):
    address, log = reflecting

    run(SECTIONS[heading], address)

    wanted = methods_of(heading)
    assert succeeded(log, wanted) >= wanted


@pytest.mark.parametrize("heading", OF_SERVICES)
def test_a_service_can_be_called_without_reflection_as_the_page_says(heading, run, silent):
    address, log = silent
    prelude = next(text for text, _ in recipes(SECTIONS["Without reflection"]))

    assert prelude.startswith("grpcurl() {")
    run(SECTIONS[heading], address, prelude)

    wanted = methods_of(heading)
    assert succeeded(log, wanted) >= wanted


def test_every_method_has_a_recipe():
    assert set(OF_SERVICES) <= set(SECTIONS)
    for heading, service in OF_SERVICES.items():
        assert calls(SECTIONS[heading]) >= {(service, method) for method in SERVICES[service]}


def test_nothing_on_the_page_is_left_out():
    in_sections = sum(len(BLOCK.findall(section)) for section in SECTIONS.values())
    assert in_sections == len(BLOCK.findall(PAGE)) == PAGE.count("```") / 2
