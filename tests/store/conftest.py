"""Fixtures of the store's tests; tests/valkey_engines.py runs what they need."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(name="data_dir")
def data_dir_fixture() -> Iterator[Path]:
    """Return a directory whose path is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "data"
