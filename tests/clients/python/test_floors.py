"""The oldest dependencies that are allowed are those that the stubs were generated for."""

import ast
import re
import tomllib
from pathlib import Path

import contextbridge
from contextbridge import v1

PACKAGE = Path(v1.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent.parent / "pyproject.toml").read_text("utf-8"))["project"]


def floor(name: str) -> tuple[int, ...]:
    (found,) = (
        match[1]
        for dependency in PROJECT["dependencies"]
        if (match := re.match(rf"{name}>=([\d.]+)", dependency))
    )
    return tuple(int(part) for part in found.split("."))


def test_protobuf_is_at_least_what_the_messages_validate() -> None:
    versions = set()
    for path in PACKAGE.glob("*_pb2.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "ValidateProtobufRuntimeVersion"
            ):
                versions.add(tuple(ast.literal_eval(part) for part in node.args[1:4]))
    assert versions == {floor("protobuf")}


def test_protobuf_stays_below_the_next_major_version() -> None:
    (dependency,) = (d for d in PROJECT["dependencies"] if d.startswith("protobuf"))
    assert dependency.endswith(f",<{floor('protobuf')[0] + 1}")


def test_grpcio_is_at_least_what_the_stubs_validate() -> None:
    pattern = re.compile(r"GRPC_GENERATED_VERSION = '([\d.]+)'")
    versions = {
        tuple(int(part) for part in match[1].split("."))
        for path in PACKAGE.glob("*_pb2_grpc.py")
        if (match := pattern.search(path.read_text("utf-8")))
    }
    assert versions == {floor("grpcio")}


def test_the_package_is_typed_and_exports_what_it_says() -> None:
    assert (PACKAGE.parent / "py.typed").exists()
    assert all(hasattr(contextbridge, name) for name in contextbridge.__all__)
