"""The server of contextbridge: a gRPC service in front of an HTTP AI gateway."""

import os

# What gRPC reads once, when it is loaded.

# Processes are started while gRPC's threads run. With its support for forking, gRPC starts threads
# in the child between fork and exec, and now and then they deadlock: the child never begins, and
# the parent waits for it for ever.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Its event engine hands every message of a server from thread to thread; without it one thread
# polls and completes, as until 1.79 (ADR 28).
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
