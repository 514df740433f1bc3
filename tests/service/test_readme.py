"""The calls of the README and of the guides, run as they stand there."""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
ADDRESS = "127.0.0.1:50051"


def blocks(language: str, heading: str) -> list[str]:
    """Return the code blocks of a language under a heading."""
    section = README.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return blocks_in(section, language)


def blocks_in(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def answer_in(output: str) -> str:
    """Return the text of a stream's content events, joined."""
    return "".join(re.findall(r'"text": "(.*)"\n', output))


@pytest.fixture(name="shell")
def shell_fixture(grpcurl: Path, served: str):
    """Return what runs a shell script of the README against the served bridge."""

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, served)],
            env=os.environ | {"PATH": f"{grpcurl.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_first_calls_stream_an_answer_that_depends_on_the_context(shell):
    (script,) = blocks("sh", "A streaming answer")

    output = shell(script)

    assert "contextbridge.v1.GeminiService\n" in output
    assert "rpc ChatWithContext" in output
    assert "You keep the lighthouse at Oban." in answer_in(output)
    assert '"completed"' in output
    assert '"cached_tokens": 9' in output


def test_the_printed_answer_is_what_the_call_gives(shell):
    (script,) = blocks("sh", "A streaming answer")
    (shown,) = blocks("json", "A streaming answer")

    output = shell(script)

    (text,) = re.findall(r'"text": "(.*)"}}', shown)
    assert answer_in(output) == text


def test_a_context_that_upstream_has_forgotten_is_healed(shell):
    (script,) = blocks("sh", "A context that never goes cold")

    output = shell(script)

    assert '"state": "CONTEXT_STATE_COLD"' in output
    assert "Which lamps?" in answer_in(output)
    assert '"restored": true' in output


def assert_shared(statuses):
    """Check that three calls at a time made one answer; a slow machine may start one late."""
    assert statuses.count("MISS") == 1
    assert len(statuses) == 3
    assert set(statuses) <= {"MISS", "JOINED", "HIT"}


def test_an_answer_is_shared_while_it_is_made_and_kept_when_it_is_whole(shell):
    (script,) = blocks("sh", "An answer that is paid for once")

    output = shell(script)

    *in_flight, kept = re.findall("RESPONSE_CACHE_STATUS_([A-Z]+)", output)
    assert_shared(in_flight)
    assert kept == "HIT"
    assert '"billed_usage": {}' in output


def test_the_guide_to_contexts_does_what_it_says(shell):
    scripts, cut = blocks_in((DOCS / "contexts.md").read_text(), "sh"), "---- next ----\n"
    output = shell(f"printf '%s' '{cut}'\n".join(scripts))
    parts = zip(scripts, output.split(cut), strict=True)
    waited = [part for script, part in parts if "sleep 2" in script]
    ids = re.findall(r'"id": "(context-\w+)"\n?', output)
    listed = output.partition('"contexts": [')[2]

    # Once in a chat, and once from GeminiService; elsewhere, it depends on how long it all takes.
    assert [part.count('"restored": true') for part in waited] == [1, 1]
    assert '"state": "CONTEXT_STATE_COLD"' in waited[0]
    assert '(turn 3)"' in output, "the session knows its turns"
    assert any(first == second for first, second in pairwise(ids)), "the create that was repeated"
    assert listed.count('"model": "Doubao-1.5-pro-32k"') == 2
    assert '"display_name": "House rules, kept for a month"' in output
    assert '"retention": "2592000s"' in output


def test_the_guide_to_generations_does_what_it_says(shell):
    script = "\n".join(blocks_in((DOCS / "generations.md").read_text(), "sh"))

    cut, rest, whole, *others = shell(script).splitlines()

    counted = " ".join(str(number) for number in range(1, 41))
    assert 0 < len(cut) < len(counted)
    assert cut + rest == counted, "what the resumed call had is neither lost nor repeated"
    assert f'"content": "{counted}"' in whole
    statuses = re.findall("RESPONSE_CACHE_STATUS_([A-Z]+)", "\n".join(others))
    assert statuses[:2] == ["MISS", "HIT"]
    assert_shared(statuses[2:])
    assert '  "deleted_count": "1"' in others
    assert '"hit_count"' in "\n".join(others)


def test_the_gemini_calls_generate_stream_and_use_a_cached_content(shell):
    (script,) = blocks("sh", "Gemini-native")

    output = shell(script)

    assert "Name one sea bird." in output
    assert '"sequence": 10' in output
    assert '"cached_content_token_count"' in output


def test_the_protoset_stands_in_for_reflection(shell):
    protoset = README.parent / "protos" / "contextbridge.protoset"

    output = shell(f"grpcurl -protoset {protoset} describe contextbridge.v1.Context")

    assert "Opaque, at most 512 characters." in output


async def test_the_python_example_prints_the_answer(served: str):
    (example,) = blocks("python", "From a program")

    done = subprocess.run(
        [os.sys.executable, "-c", example.replace(ADDRESS, served)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "You keep the lighthouse at Oban." in done.stdout
