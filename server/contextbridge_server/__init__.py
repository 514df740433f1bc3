"""The server of contextbridge: a gRPC service in front of an HTTP AI gateway."""
