"""The documentation: what is generated is current, and what it points at is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import words
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from contextbridge import v1 as pb
from contextbridge_server.rpc.status import STATUSES
from contextbridge_server.settings import Settings
from contextbridge_server.telemetry import names

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md"])
CODE = [
    path
    for folder in ("server", "emulator", "clients/python", "protos", "docs", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
NUMBER = r"(?:section )?[A-H0-9](?:\.\d+)?"
CITATION = re.compile(rf"(wire|grpc-python)\.md ({NUMBER}(?:(?:, | and ){NUMBER})*)")


def test_the_generated_pages_are_current() -> None:
    script = [sys.executable, str(DOCS / "generate.py"), "--check"]
    checked = subprocess.run(script, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_resolves(page: Path) -> None:
    broken = [link for link in links(page) if not resolves(page, link)]

    assert broken == []


def test_every_citation_in_the_code_resolves() -> None:
    cited = list(citations())
    unresolved = [
        f"{path.relative_to(ROOT)}: {document}.md {number}"
        for path, document, number in cited
        if number not in numbers_of(document)
    ]

    assert unresolved == []
    assert {document for _, document, _ in cited} == {"wire", "grpc-python"}


def test_every_setting_has_one_row() -> None:
    page = (DOCS / "configuration.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| `--([\w-]+)` \| `CONTEXTBRIDGE_(\w+)` \|", page, re.MULTILINE
    )

    assert [name for name, _, _ in rows] == list(Settings.model_fields)
    assert all(name == flag.replace("-", "_") == variable.lower() for name, flag, variable in rows)
    assert all(page.count(f"`--{flag}`") == 1 for _, flag, _ in rows)
    assert all(page.count(f"`CONTEXTBRIDGE_{variable}`") == 1 for _, _, variable in rows)


def test_every_setting_is_documented() -> None:
    bare = [name for name, field in Settings.model_fields.items() if not field.description]

    assert bare == []


def test_every_reason_has_one_row() -> None:
    page = (DOCS / "errors.md").read_text().partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    reasons = {name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys()}  # noqa: SIM118 - no dict

    assert len(rows) == len(set(rows))
    assert set(rows) == reasons - {"UNSPECIFIED"}


def test_what_the_proto_says_of_a_reason_is_what_the_table_does() -> None:
    said = dict(promises())
    done = {
        pb.ErrorReason.Name(reason): f"Status {status.code.name}; a retry "
        + ("does not help." if status.retry_after is None else "can help.")
        for reason, status in STATUSES.items()
    }

    assert said == done


def test_every_logged_name_is_documented() -> None:
    page = (DOCS / "operations.md").read_text()
    logged = [value for name, value in vars(names).items() if name.isupper()]

    assert [value for value in logged if f"`{value}`" not in page] == []


def links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to files, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(text):
        if not re.match(r"[a-z]+:", link):
            yield link


def resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return a page's anchors, as they are made from its headings."""
    words = (
        re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text())
    )
    return {heading.replace(" ", "-") for heading in words}


def citations() -> Iterator[tuple[Path, str, str]]:
    """Yield where the code cites the notes: the file, the note, the number."""
    for path in CODE:
        for document, numbers in CITATION.findall(path.read_text()):
            for number in re.split(", | and ", numbers):
                yield path, document, number.removeprefix("section ")


def numbers_of(document: str) -> set[str]:
    """Return the numbers of a note's sections."""
    headings = HEADING.findall((DOCS / f"{document}.md").read_text())
    return {heading.split(" ")[0].rstrip(".") for heading in headings}


def promises() -> Iterator[tuple[str, str]]:
    """Yield the last paragraph of each reason's comment in error_reason.proto."""
    files = FileDescriptorSet.FromString((ROOT / "protos/contextbridge.protoset").read_bytes()).file
    file = next(file for file in files if file.name == "contextbridge/v1/error_reason.proto")
    reasons = file.enum_type[0].value
    for location in file.source_code_info.location:
        if list(location.path[:3]) == [5, 0, 2] and len(location.path) == 4:
            reason = reasons[location.path[3]]
            if reason.number:
                yield reason.name, location.leading_comments.strip().splitlines()[-1].strip()


@pytest.mark.parametrize(
    "path, text",
    [
        ("server/a.py", "tasks = OwnedTasks()"),
        ("server/a.py", "key = request.request_id"),
        ("protos/contextbridge/v1/a.proto", "  string request_id = 8;"),
        ("docs/a.md", "Two joined calls share one answer."),
        ("clients/python/a.py", "started = pb.Started()"),
    ],
)
def test_a_word_that_was_given_up_is_found(path: str, text: str) -> None:
    assert len(list(words.found_in(path, text))) == 1


@pytest.mark.parametrize(
    "path, text",
    [
        ("server/a.py", "log.info(request_id=ctx.request_id)"),
        ("docs/a.md", "The request id is in the log; JOINED is a status."),
        ("docs/adr/0001.md", "OwnedTasks"),
    ],
)
def test_a_word_for_another_concept_is_not(path: str, text: str) -> None:
    assert path.startswith(words.HISTORY) or not list(words.found_in(path, text))


def test_no_word_that_was_given_up_is_in_use() -> None:
    assert words.main() == 0
