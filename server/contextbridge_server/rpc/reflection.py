"""Server reflection, in both versions that clients ask for: v1 and v1alpha.

The library has v1alpha only. The two differ in their package's name and in nothing on the wire, so
one servicer answers both; v1's descriptor is made from v1alpha's, for clients that describe it.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio

V1ALPHA = "grpc.reflection.v1alpha"
V1 = "grpc.reflection.v1"
SERVICE_NAMES = (f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection")


def add_reflection(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Serve reflection of these services, and of itself."""
    _describe_v1()
    servicer = aio.ReflectionServicer((*service_names, *SERVICE_NAMES), pool=_Pool())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call] # no types
        servicer, server
    )
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(f"{V1}.ServerReflection", methods),)
    )


class _Pool:
    """The default pool, except that it finds the file of a method too, which ghz asks for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(descriptor_pool.Default(), name)

    def FindFileContainingSymbol(self, name: str) -> FileDescriptor:
        """Return the file that declares a symbol. Raises KeyError where none does."""
        pool: Any = descriptor_pool.Default()
        try:
            file: FileDescriptor = pool.FindFileContainingSymbol(name)
        except KeyError:
            file = pool.FindMethodByName(name).containing_service.file
        return file


def _describe_v1() -> None:
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = file.name.replace("v1alpha", "v1")
    file.package = V1
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(V1ALPHA, V1)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(V1ALPHA, V1)
        method.output_type = method.output_type.replace(V1ALPHA, V1)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
