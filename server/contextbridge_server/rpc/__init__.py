"""The gRPC surface: the only code that imports grpc."""
