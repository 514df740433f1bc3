"""What needs built packages or the last release is collected by `make test-clients` alone."""

import os

collect_ignore = [
    name
    for variable, name in (
        ("CONTEXTBRIDGE_CLIENTS", "test_packages.py"),
        ("CONTEXTBRIDGE_RELEASED_TREE", "test_released.py"),
    )
    if variable not in os.environ
]
