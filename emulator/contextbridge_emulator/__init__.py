"""Emulate the gateway's HTTP API for development and tests."""

from .config import Config
from .faults import FAULTS, HEADERS
from .observation import Record
from .serving import Emulator, serve
from .tokens import count_tokens

__all__ = ["FAULTS", "HEADERS", "Config", "Emulator", "Record", "count_tokens", "serve"]
