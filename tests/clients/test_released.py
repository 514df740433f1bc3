"""What is kept here of the last release is what that release had."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASED = Path(os.environ["CONTEXTBRIDGE_RELEASED_TREE"])
BUF = Path(sys.executable).parent / "buf"


def test_the_released_contract_is_the_last_releases(tmp_path: Path) -> None:
    contract = tmp_path / "contract.binpb"
    options = ("--exclude-source-info", "--output", str(contract))
    subprocess.run([str(BUF), "build", str(RELEASED / "protos"), *options], check=True)
    assert contract.read_bytes() == (ROOT / "protos" / "released.binpb").read_bytes()


def test_the_last_release_had_the_version_that_its_number_says() -> None:
    version = (RELEASED / "clients" / "VERSION").read_text()
    assert version == (ROOT / "clients" / "VERSION").read_text()
