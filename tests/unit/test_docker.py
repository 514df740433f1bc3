"""The image and the example deployment, as far as they can be checked without an engine."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ByteSize, TypeAdapter

import servers
from contextbridge._version import __version__
from contextbridge_server.contexts.prices import read_prices
from contextbridge_server.rpc.callers import read_callers
from contextbridge_server.settings import EMBEDDED, Settings, load
from contextbridge_server.store.embedded import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCRIPT = (DEPLOY / "verify-image.sh").read_text()
SHARED = (DEPLOY / "kubernetes.yaml").read_text()
EMBEDDED_STORE = (DEPLOY / "kubernetes-embedded.yaml").read_text()
DEPLOYMENTS = pytest.mark.parametrize("text", [SHARED, EMBEDDED_STORE], ids=["shared", "embedded"])
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
    for folder in (".", "clients/python", "emulator"):
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
        assert project["build-system"]["requires"] == [built["hatchling"].split(" ")[0]]


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


def test_the_data_directory_is_the_one_place_that_nobody_may_write_to() -> None:
    build, final = stages()
    given = dict(instructions(final))
    (folder,) = (text for word, text in instructions(final) if "--chown" in text)

    assert given["VOLUME"] == "/var/lib/contextbridge"
    assert "CONTEXTBRIDGE_DATA_DIR=/var/lib/contextbridge" in given["ENV"].split()
    assert ("RUN", "mkdir -m 700 data") in instructions(build)
    assert folder == "--from=build --chown=65532:65532 /build/data /var/lib/contextbridge"


def test_the_final_stage_installs_nothing() -> None:
    _, final = stages()

    assert "RUN" not in dict(instructions(final))


def test_the_image_sets_what_the_benchmarks_measure_with() -> None:
    _, final = stages()

    for name, value in servers.RECOMMENDED.items():
        assert f"{name}={value}" in dict(instructions(final))["ENV"].split()


def test_the_image_holds_no_secret() -> None:
    given = [f"{word} {text}" for word, text in instructions(DOCKERFILE) if word in ("ARG", "ENV")]
    copied = [text for word, text in instructions(DOCKERFILE) if word == "COPY"]

    assert not any(SECRETS.search(line) for line in given)
    assert not any("callers" in line or line.startswith(". ") for line in copied)


def test_the_image_holds_nothing_of_the_emulator() -> None:
    extra = tomllib.loads((ROOT / "emulator/pyproject.toml").read_text())["project"]
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[<=>]", each)[0] for each in extra["dependencies"]}
    only_its_own = named - {each.partition("==")[0] for each in server["dependencies"]}
    copied = [text for word, text in instructions(DOCKERFILE) if word == "COPY"]

    assert only_its_own == {"aiohttp"}
    assert not only_its_own & requirements((ROOT / "requirements/server.txt").read_text()).keys()
    assert not any("emulator" in line for line in copied)


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


@DEPLOYMENTS
def test_the_settings_of_a_deployment_are_settings(text: str, tmp_path: Path) -> None:
    settings = deployed(text, tmp_path)
    stopping = STOP_SECONDS if text is EMBEDDED_STORE else 0

    assert settings.store_encryption_key_file is not None
    assert int(found(r"terminationGracePeriodSeconds: (\d+)", text)) > (
        settings.drain_delay.total_seconds() + settings.drain_grace.total_seconds() + stopping
    )


@DEPLOYMENTS
def test_a_deployment_has_a_core_for_each_worker(text: str, tmp_path: Path) -> None:
    assert deployed(text, tmp_path).workers == int(found(r'requests: {cpu: "(\d+)"', text))


@DEPLOYMENTS
def test_a_deployment_runs_this_version(text: str) -> None:
    assert f"image: contextbridge:{__version__}\n" in text


@DEPLOYMENTS
def test_a_deployment_mounts_what_its_settings_name(text: str, tmp_path: Path) -> None:
    settings = deployed(text, tmp_path)
    mounted = re.findall(r"mountPath: (/run/\S+?)[,}]", text)
    named = [path for path in settings.model_dump().values() if isinstance(path, Path)]
    secret = [path for path in named if path.is_relative_to("/run/secrets")]

    assert {path.parent for path in secret} == {Path(path) for path in mounted}


def test_replicas_share_a_store_whose_address_is_secret(tmp_path: Path) -> None:
    assert int(found(r"replicas: (\d+)", SHARED)) > 1
    assert "secretKeyRef: {name: contextbridge-store, key: url}" in SHARED
    assert "valkeys://" not in SHARED.partition("\nkind: ConfigMap")[2]
    assert "/var/lib/contextbridge" not in SHARED


def test_one_replica_keeps_its_store_on_a_volume_that_has_room(tmp_path: Path) -> None:
    settings = deployed(EMBEDDED_STORE, tmp_path)
    size = TypeAdapter(ByteSize).validate_python
    disk = size(found(r"storage: (\w+)", EMBEDDED_STORE) + "B")
    memory = size(found(r"limits: {memory: (\w+)}", EMBEDDED_STORE) + "B")

    assert found(r"replicas: (\d+)", EMBEDDED_STORE) == "1"
    assert "{name: data, mountPath: /var/lib/contextbridge}" in EMBEDDED_STORE
    assert settings.store == EMBEDDED
    assert disk >= 3 * settings.store_max_memory
    assert memory >= 2 * settings.store_max_memory + settings.workers * 1024**3


def test_the_example_callers_are_callers_of_nothing() -> None:
    callers = read_callers(DEPLOY / "callers.toml")

    assert {caller.tenant for caller in callers.values()} == {"search", "support"}
    assert all(len(set(digest)) == 1 for digest in callers)


def test_the_example_prices_are_prices() -> None:
    table = read_prices(DEPLOY / "prices.toml")

    assert table.price_of("gemini-2.5-flash") != table.price_of("Doubao-1.5-pro-32k")
    assert table.price_of("Doubao-1.5-pro-32k") is not None


def deployed(text: str, folder: Path) -> Settings:
    """Return the settings that a deployment has in its ConfigMap."""
    file = folder / "contextbridge.toml"
    block = found(r"contextbridge\.toml: \|\n((?:    .*\n)+)", text)
    file.write_text(re.sub(r"^    ", "", block, flags=re.MULTILINE))
    return load(["--config", str(file)])


def found(pattern: str, text: str) -> str:
    """Return the group of a pattern that a text has."""
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match[1]


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
