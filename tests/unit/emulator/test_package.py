"""The emulator's distribution, and the server's command line without it."""

import re
import tomllib
from pathlib import Path

import pytest

from contextbridge_server.__main__ import run_emulate
from contextbridge_server.process import emulator

ROOT = Path(__file__).parents[3]
INSTALL = 'pip install "contextbridge-server[emulator]"'


def test_its_floors_are_the_versions_that_the_tests_run_with() -> None:
    project = tomllib.loads((ROOT / "emulator/pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements/dev.txt").read_text()

    for requirement in project["dependencies"]:
        name, floor = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
        assert f"\n{name}=={floor} " in locked


def test_its_license_is_the_projects() -> None:
    assert (ROOT / "emulator/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_where_it_is_not_installed_its_command_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "MODULE", "contextbridge_absent")

    with pytest.raises(RuntimeError, match="is not installed; install it with: pip install"):
        emulator.emulator_command()


def test_where_it_is_not_installed_emulate_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emulator, "MODULE", "contextbridge_absent")

    with pytest.raises(SystemExit) as ended:
        run_emulate(["--help"])

    assert ended.value.code == 2
    assert INSTALL in capsys.readouterr().err


async def test_where_it_is_not_installed_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "MODULE", "contextbridge_absent")

    with pytest.raises(RuntimeError, match="is not installed"):
        async with emulator.running_emulator():
            pass
