"""Generate everything that is made from the protos, or check that what is committed is current.

`python protos/generate.py` writes it; with `--check` it is written to a temporary folder and
compared, and a difference is a failure. The generators of the other languages are installed by the
Makefile, which runs this.
"""

import argparse
import filecmp
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

import google.rpc
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
PACKAGE = Path("contextbridge/v1")
PYTHON_CLIENT = Path("clients/python")
DESCRIPTOR_SET = Path("protos/contextbridge.protoset")
RUST_WORKSPACE = ROOT / "clients/rust"
RUST_STUBS = Path("clients/rust/src/generated")
TYPESCRIPT_STUBS = Path("clients/typescript/src/generated")
SCRIPTS = Path(sysconfig.get_path("scripts"))
BUF = SCRIPTS / "buf"

GENERATED = (
    PYTHON_CLIENT / PACKAGE,
    Path("clients/go") / PACKAGE,
    TYPESCRIPT_STUBS,
    Path("clients/java/src/generated/java"),
    RUST_STUBS,
)
"""The folders that hold nothing else."""


def run(*command: str | Path) -> None:
    """Run a generator from the protos' folder; its failure is ours."""
    subprocess.run([str(word) for word in command], check=True, cwd=PROTOS)


def contract(target: Path) -> None:
    """Write the contract's descriptor set, with comments and imports."""
    run(BUF, "build", ".", "--output", f"{target}#format=binpb")


def descriptor_set(root: Path) -> None:
    """Write the descriptor set that `grpcurl -protoset` takes.

    It has the contract, and what the contract does not import but its callers meet: health, and the
    error details, which grpcurl prints as bytes where it does not know them. It leaves JSON names
    to be derived, as reflection does: where they are given grpcurl prints them instead of the
    fields' own, and what it prints would depend on where it has the protos from.
    """
    target = root / DESCRIPTOR_SET
    target.parent.mkdir(parents=True, exist_ok=True)
    contract(target)
    files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    for beside in (error_details_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR):
        beside.CopyToProto(files.file.add())
    for file in files.file:
        clear_json_names(file.message_type)
    target.write_bytes(files.SerializeToString())


def clear_json_names(messages: Iterable[descriptor_pb2.DescriptorProto]) -> None:
    """Clear the JSON names of all fields of messages, and of those within them."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        clear_json_names(message.nested_type)


def python_stubs(root: Path) -> None:
    """Write the Python messages and stubs with their type hints."""
    output = root / PYTHON_CLIENT
    output.mkdir(parents=True, exist_ok=True)
    bundled = importlib.util.find_spec("grpc_tools")
    includes = Path(str(bundled and bundled.origin)).parent / "_proto"
    files = sorted(path.relative_to(PROTOS) for path in (PROTOS / PACKAGE).glob("*.proto"))
    services = [path for path in files if path.stem.endswith("_service")]
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{includes}")
    plugins = [
        f"--plugin={name}={SCRIPTS / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    run(*protoc, *plugins, f"--python_out={output}", f"--mypy_out=quiet:{output}", *files)
    # Files without a service would give empty stubs.
    run(
        *protoc,
        *plugins,
        f"--grpc_python_out={output}",
        f"--mypy_grpc_out=quiet:{output}",
        *services,
    )
    (output / PACKAGE / "__init__.py").write_text(python_package(root))


def stubs_of_other_languages(root: Path) -> None:
    """Write the stubs in Go, TypeScript, Java and Rust."""
    run(BUF, "generate", "--output", root)
    error_details_for_typescript(root)
    generator = ("cargo", "run", "--quiet", "--locked", "--package", "generate")
    manifest = ("--manifest-path", RUST_WORKSPACE / "Cargo.toml")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "contract.binpb"
        contract(files)
        run(*generator, *manifest, "--", files, root / RUST_STUBS)


def error_details_for_typescript(root: Path) -> None:
    """Write Google's error details in TypeScript."""
    (protos,) = (Path(folder).parents[1] for folder in google.rpc.__path__)
    only = ("--path", protos / "google/rpc/error_details.proto")
    run(BUF, "generate", protos, *only, "--template", "buf.gen.google.yaml", "--output", root)


def python_package(root: Path) -> str:
    """Return the package's `__init__.py`, which gives every message, enum and stub by its name."""
    files = descriptor_pb2.FileDescriptorSet.FromString((root / DESCRIPTOR_SET).read_bytes()).file
    imports: list[str] = []
    names: list[str] = []
    for file in sorted(files, key=lambda file: file.name):
        if Path(file.name).parent != PACKAGE:
            continue
        module = Path(file.name).stem
        values = [value.name for enum in file.enum_type for value in enum.value]
        here = sorted([*(m.name for m in file.message_type), *(e.name for e in file.enum_type)])
        stubs = sorted(
            f"{service.name}{suffix}" for service in file.service for suffix in ("Stub", "Servicer")
        )
        adders = sorted(f"add_{service.name}Servicer_to_server" for service in file.service)
        imports += import_lines(f"{module}_pb2", sorted(here + values))
        imports += import_lines(f"{module}_pb2_grpc", adders + stubs)
        names += here + values + stubs + adders
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    return (
        '"""Messages and stubs of package contextbridge.v1. Generated; do not edit."""\n\n'
        + "\n".join(imports)
        + f"\n\n__all__ = [\n{listed}]\n"
    )


def import_lines(module: str, names: list[str]) -> list[str]:
    """Return the import of names from a module of the package, if there are any."""
    if not names:
        return []
    return [f"from contextbridge.v1.{module} import (", *(f"    {name}," for name in names), ")"]


def generate(root: Path) -> None:
    """Write all that is generated under a root."""
    descriptor_set(root)
    python_stubs(root)
    stubs_of_other_languages(root)


def generated_files(root: Path) -> set[Path]:
    """Return the generated files under a root, relative to it."""
    found = (path for folder in GENERATED for path in (root / folder).rglob("*") if path.is_file())
    return {
        DESCRIPTOR_SET,
        *(path.relative_to(root) for path in found if path.suffix != ".pyc"),
    }


def check() -> int:
    """Compare what is committed with what would be generated; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        expected, present = generated_files(fresh), generated_files(ROOT)
        stale = sorted(
            path
            for path in expected | present
            if path not in expected
            or not (ROOT / path).is_file()
            or not filecmp.cmp(fresh / path, ROOT / path, shallow=False)
        )
    for path in stale:
        print(f"not what the protos generate: {path} (run `make proto`)")
    return 1 if stale else 0


def main() -> int:
    """Generate or check, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return check()
    for folder in GENERATED:
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
