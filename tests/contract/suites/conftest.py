"""Fixtures of the suites that run inside an SDK's own environment, against an emulator's URL."""

import os
import uuid

import pytest


@pytest.fixture
def base_url() -> str:
    return os.environ["EMULATOR_URL"]


@pytest.fixture
def api_key() -> str:
    return f"sk-{uuid.uuid4().hex}"
