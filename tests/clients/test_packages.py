"""Each package, built by `make dist`, is installed into an empty project and runs the example.

CONTEXTBRIDGE_CLIENTS names the languages, as for the conformance suite; without it there is nothing
to install: `make test-clients` builds the packages first.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
VERSION = (ROOT / "clients" / "VERSION").read_text().strip()
GIVEN = os.environ.get("CONTEXTBRIDGE_CLIENTS", "").replace("-blocking", "").split()
LANGUAGES = sorted(set(GIVEN))
LICENSE = (ROOT / "LICENSE").read_bytes()

PRINTED = """\
You said: "Where are you?". The context says: "You keep the lighthouse at Oban.". (turn 1)
9 of 13 prompt tokens came from the cache
You said: "Name one sea bird.". (turn 1)
NOT_FOUND ERROR_REASON_CONTEXT_NOT_FOUND
"""
"""What the example prints, in every language."""

INSTALL_SECONDS = 900

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)

Run = Callable[..., str]


@pytest.fixture(name="run")
def run_fixture(tmp_path: Path, served: str) -> Run:
    """Return what runs a command in the empty project, beside a server; returns its output."""

    def run(*command: str | Path, **environment: str) -> str:
        # Nothing of this repository's environment: neither its Python nor its modules.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=tmp_path,
            env={**inherited, "CONTEXTBRIDGE_ADDRESS": served, **environment},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    return run


def installed_python(run: Run, project: Path, package: Path) -> str:
    venv.create(project / "venv", with_pip=True)
    python = project / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package)
    shutil.copy(ROOT / "clients/python/examples/quickstart.py", project)
    return run(python, "quickstart.py")


def python_wheel(run: Run, project: Path) -> str:
    return installed_python(run, project, DIST / f"python/contextbridge-{VERSION}-py3-none-any.whl")


def python_sdist(run: Run, project: Path) -> str:
    return installed_python(run, project, DIST / f"python/contextbridge-{VERSION}.tar.gz")


def go(run: Run, project: Path) -> str:
    proxies, cache = run("go", "env", "GOPROXY", "GOMODCACHE").split()
    options = {
        "GOPROXY": f"file://{DIST / 'go'},file://{cache}/cache/download,{proxies}",
        # Only what is served from here has no checksum in the public database.
        "GONOSUMDB": "contextbridge.dev",
        # In the machine's own cache a version stays as it was first seen.
        "GOMODCACHE": str(project / "modules"),
        "GOFLAGS": "-modcacherw",
    }
    run("go", "mod", "init", "example.com/project")
    run("go", "get", f"contextbridge.dev/go@v{VERSION}", **options)
    shutil.copy(ROOT / "clients/go/examples/quickstart/main.go", project)
    run("go", "mod", "tidy", **options)
    return run("go", "run", ".", **options)


def typescript(run: Run, project: Path) -> str:
    run("npm", "init", "--yes")
    run("npm", "pkg", "set", "type=module")
    package = DIST / f"typescript/contextbridge-client-{VERSION}.tgz"
    compiler = ("typescript@5.9.3", "@types/node@20.19.0")
    run("npm", "install", "--no-audit", "--no-fund", "--silent", package, *compiler)
    example = project / "node_modules/@contextbridge/client/examples/quickstart.ts"
    shutil.copy(example, project)
    options = ("--strict", "--module", "nodenext", "--target", "es2022", "--types", "node")
    run("npx", "tsc", *options, "quickstart.ts")
    return run("node", "quickstart.js")


def java(run: Run, project: Path) -> str:
    (project / "pom.xml").write_text(f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>project</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <repositories>
    <repository><id>dist</id><url>file://{DIST / "java"}</url></repository>
  </repositories>
  <dependencies>
    <dependency>
      <groupId>dev.contextbridge</groupId>
      <artifactId>contextbridge-client</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-resources-plugin</artifactId>
        <version>3.3.1</version>
      </plugin>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-compiler-plugin</artifactId>
        <version>3.15.0</version>
      </plugin>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-dependency-plugin</artifactId>
        <version>3.8.1</version>
      </plugin>
    </plugins>
  </build>
</project>
""")
    sources = project / "src/main/java"
    sources.mkdir(parents=True)
    shutil.copy(ROOT / "clients/java/examples/Quickstart.java", sources)
    # What an earlier run left in the local repository is not what was built now.
    maven = ("mvn", "--batch-mode", "--quiet")
    known = run(
        "mvn", "help:evaluate", "-q", "-DforceStdout", "-Dexpression=settings.localRepository"
    )
    shutil.rmtree(Path(known.strip()) / "dev/contextbridge", ignore_errors=True)
    run(*maven, "compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
    return run("java", "-cp", "target/classes:target/dependency/*", "Quickstart")


def rust(run: Run, project: Path) -> str:
    crate = f"contextbridge-client-{VERSION}"
    run("cargo", "init", "--quiet", "--vcs", "none", "--name", "project")
    with tarfile.open(DIST / f"rust/{crate}.crate") as archive:
        archive.extractall(project, filter="data")
    shutil.copy(project / crate / "examples/quickstart.rs", project / "src/main.rs")
    shutil.copy(project / crate / "Cargo.lock", project)
    run("cargo", "add", "--quiet", "--path", crate)
    run("cargo", "add", "--quiet", "tokio", "--features", "macros,rt")
    target = str(ROOT / "clients/rust/target")
    return run("cargo", "run", "--quiet", CARGO_TARGET_DIR=target)


INSTALLS: dict[str, Callable[[Run, Path], str]] = {
    "python wheel": python_wheel,
    "python sdist": python_sdist,
    "go module": go,
    "typescript tarball": typescript,
    "java jar": java,
    "rust crate": rust,
}
CHOSEN = [name for name in INSTALLS if name.partition(" ")[0] in LANGUAGES]


@pytest.mark.parametrize("name", CHOSEN)
def test_an_installed_package_runs_the_example(name: str, run: Run, tmp_path: Path) -> None:
    assert INSTALLS[name](run, tmp_path) == PRINTED


def names_in(path: Path) -> Iterator[str]:
    """Iterate over the files of an archive, without the folder that holds them."""
    if path.suffix in {".whl", ".zip", ".jar"}:
        with zipfile.ZipFile(path) as archive:
            yield from archive.namelist()
    else:
        with tarfile.open(path) as tar:
            yield from (name.partition("/")[2] for name in tar.getnames())


JARS = f"java/dev/contextbridge/contextbridge-client/{VERSION}/contextbridge-client-{VERSION}"
MEMBERS = {
    f"python/contextbridge-{VERSION}-py3-none-any.whl": (
        "contextbridge/py.typed",
        f"contextbridge-{VERSION}.dist-info/licenses/LICENSE",
    ),
    f"python/contextbridge-{VERSION}.tar.gz": ("LICENSE", "README.md", "pyproject.toml"),
    f"python/contextbridge_emulator-{VERSION}-py3-none-any.whl": (
        "contextbridge_emulator/py.typed",
        f"contextbridge_emulator-{VERSION}.dist-info/licenses/LICENSE",
    ),
    f"python/contextbridge_emulator-{VERSION}.tar.gz": ("LICENSE", "README.md", "pyproject.toml"),
    f"go/contextbridge.dev/go/@v/v{VERSION}.zip": tuple(
        f"contextbridge.dev/go@v{VERSION}/{name}" for name in ("LICENSE", "README.md", "go.mod")
    ),
    f"typescript/contextbridge-client-{VERSION}.tgz": (
        "LICENSE",
        "README.md",
        "dist/src/index.js",
        "dist/src/index.d.ts",
    ),
    f"{JARS}.jar": (
        "META-INF/LICENSE",
        "dev/contextbridge/client/ContextBridgeClient.class",
    ),
    f"{JARS}-sources.jar": (
        "dev/contextbridge/client/ContextBridgeClient.java",
        "dev/contextbridge/v1/Context.java",
    ),
    f"{JARS}-javadoc.jar": ("index.html",),
    f"rust/contextbridge-client-{VERSION}.crate": ("LICENSE", "README.md", "Cargo.toml"),
}
NOT_PUBLISHED = ("node_modules", "tools/", "generate/", "Conformance", "conformance.py", "runner.")


@pytest.mark.parametrize("package", [p for p in MEMBERS if p.partition("/")[0] in LANGUAGES])
def test_a_package_holds_what_its_registry_wants_and_no_more(package: str) -> None:
    names = set(names_in(DIST / package))
    assert set(MEMBERS[package]) <= names
    assert [name for name in names if any(word in name for word in NOT_PUBLISHED)] == []


@pytest.mark.parametrize("client", ["python", "go", "typescript", "rust"])
def test_a_clients_license_is_the_projects(client: str) -> None:
    assert (ROOT / "clients" / client / "LICENSE").read_bytes() == LICENSE


def test_every_package_has_the_one_version() -> None:
    script = ROOT / "clients" / "version.py"
    subprocess.run([sys.executable, script, "--check"], check=True)
