"""Packages are tested where they are built: `make test-clients` collects these tests."""

import os

if "python" not in os.environ.get("CONTEXTBRIDGE_CLIENTS", "").replace("-", " ").split():
    collect_ignore = ["test_server.py"]
