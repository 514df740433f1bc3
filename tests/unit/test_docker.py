"""The image and the example deployment, as far as they can be checked without an engine."""

import re
import tomllib
from pathlib import Path

from contextbridge._version import __version__
from contextbridge_server.callers import read_callers
from contextbridge_server.settings import load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCRIPT = (DEPLOY / "verify-image.sh").read_text()
SECRETS = re.compile(r"(key|token|secret|password)\s*=", re.IGNORECASE)


def test_the_script_performs_the_steps_of_the_build_stage() -> None:
    build, _ = stages()
    steps = [
        arguments if word == "RUN" else f"copy {arguments}"
        for word, arguments in instructions(build)
        if word in ("RUN", "COPY")
    ]
    script = SCRIPT.partition("\n# BEGIN")[2].partition("\n# END")[0].partition("\n")[2]

    assert steps == joined_lines(script)


def test_both_stages_have_one_pinned_base() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert bases == ["python:3.11-slim-bookworm"] * 2


def test_everything_that_is_installed_has_a_hash() -> None:
    build, _ = stages()
    installs = [step for word, step in instructions(build) if word == "RUN" and " install " in step]

    assert len(installs) == 3
    assert all("--require-hashes" in step or "--no-index" in step for step in installs)


def test_the_build_requirements_are_those_of_development() -> None:
    developed = requirements((ROOT / "requirements/dev.txt").read_text())
    built = requirements((DEPLOY / "build-requirements.txt").read_text())

    assert "hatchling" in built
    assert built.items() <= developed.items()


def test_the_build_backend_is_the_one_that_is_installed() -> None:
    built = requirements((DEPLOY / "build-requirements.txt").read_text())
    for project in (ROOT / "pyproject.toml", ROOT / "clients/python/pyproject.toml"):
        required = tomllib.loads(project.read_text())["build-system"]["requires"]
        assert required == [built["hatchling"].split(" ")[0]]


def test_the_final_stage_runs_as_nobody_and_says_how_it_is() -> None:
    _, final = stages()
    given = dict(instructions(final))

    assert given["USER"] == "65532:65532"
    assert given["HEALTHCHECK"].endswith("CMD contextbridge healthcheck $HEALTHCHECK_OPTIONS")
    assert given["ENTRYPOINT"] == '["contextbridge"]'
    assert given["CMD"] == '["serve"]'
    assert given["EXPOSE"] == "50051"
    assert given["STOPSIGNAL"] == "SIGTERM"
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in given["ENV"]


def test_the_final_stage_installs_nothing() -> None:
    _, final = stages()

    assert "RUN" not in dict(instructions(final))


def test_the_image_holds_no_secret() -> None:
    given = [f"{word} {text}" for word, text in instructions(DOCKERFILE) if word in ("ARG", "ENV")]
    copied = [text for word, text in instructions(DOCKERFILE) if word == "COPY"]

    assert not any(SECRETS.search(line) for line in given)
    assert not any("callers" in line or line.startswith(". ") for line in copied)


def test_what_is_copied_reaches_the_builder() -> None:
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        source
        for word, text in instructions(DOCKERFILE)
        if word == "COPY" and not text.startswith("--from")
        for source in text.split()[:-1]
    ]

    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / source).exists() for source in copied)


def test_the_example_settings_are_settings() -> None:
    settings = load(["--config", str(DEPLOY / "contextbridge.toml")])

    assert settings.upstream == "https://gateway.example"
    assert settings.drain_delay.total_seconds() == 15


def test_the_settings_of_the_deployment_are_settings(tmp_path: Path) -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text()
    block = re.search(r"contextbridge\.toml: \|\n((?:    .*\n)+)", text)
    assert block is not None
    file = tmp_path / "contextbridge.toml"
    file.write_text(re.sub(r"^    ", "", block[1], flags=re.MULTILINE))

    settings = load(["--config", str(file)])
    patience = re.search(r"terminationGracePeriodSeconds: (\d+)", text)

    assert patience is not None
    assert int(patience[1]) > (settings.drain_delay + settings.drain_grace).total_seconds()


def test_the_deployment_runs_this_version() -> None:
    assert f"image: contextbridge:{__version__}\n" in (DEPLOY / "kubernetes.yaml").read_text()


def test_the_example_callers_are_callers_of_nothing() -> None:
    callers = read_callers(DEPLOY / "callers.toml")

    assert {caller.tenant for caller in callers.values()} == {"search", "support"}
    assert all(len(set(digest)) == 1 for digest in callers)


def stages() -> tuple[str, str]:
    """Return the build stage and the final one."""
    _, build, final = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)
    return build, final


def instructions(text: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions: the word, and what follows."""
    pairs = (line.partition(" ") for line in joined_lines(text))
    return [(word, arguments.strip()) for word, _, arguments in pairs]


def joined_lines(text: str) -> list[str]:
    """Return the lines that say something, each continued one as one."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def requirements(text: str) -> dict[str, str]:
    """Return the requirements of a lock file with their hashes, by name."""
    return {line.partition("==")[0]: line for line in joined_lines(text) if line[0].isalnum()}
