"""Settings, callers and commands."""

import hashlib
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from contextbridge import __version__
from contextbridge_server.process.cores import usable_cores
from contextbridge_server.rpc.callers import read_callers
from contextbridge_server.settings import (
    Settings,
    from_plain,
    is_loopback,
    load,
    problems,
    to_plain,
)

COMMAND = str(Path(sys.executable).parent / "contextbridge")


def run(*arguments, **environment):
    return subprocess.run(
        [COMMAND, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.delenv("CONTEXTBRIDGE_NO_SKIPS", raising=False)


def test_flags_win_over_environment_and_environment_over_file(tmp_path, monkeypatch):
    file = tmp_path / "bridge.toml"
    file.write_text('upstream = "http://file"\nidle_timeout = "1m"\nlog_level = "debug"\n')
    monkeypatch.setenv("CONTEXTBRIDGE_IDLE_TIMEOUT", "2m")
    monkeypatch.setenv("CONTEXTBRIDGE_UPSTREAM", "http://environment")

    settings = load(["--config", str(file), "--upstream", "http://flag"])

    assert settings.upstream == "http://flag"
    assert settings.idle_timeout == timedelta(minutes=2)
    assert settings.log_level == "debug"


def test_the_file_may_be_named_by_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "bridge.toml"
    file.write_text('upstream = "emulator"\n')
    monkeypatch.setenv("CONTEXTBRIDGE_CONFIG", str(file))

    assert load([]).upstream == "emulator"


@pytest.mark.parametrize(
    "text, duration",
    [
        ("250ms", timedelta(milliseconds=250)),
        ("1.5s", timedelta(seconds=1.5)),
        ("2m", timedelta(minutes=2)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
    ],
)
def test_durations_are_written_with_a_unit(text, duration):
    assert Settings(upstream="emulator", idle_timeout=text).idle_timeout == duration


@pytest.mark.parametrize(
    "given, field",
    [
        ({}, "upstream"),
        ({"upstream": "ftp://gateway"}, "upstream"),
        ({"upstream": "http://user:pass@gateway"}, "upstream"),
        ({"upstream": "emulator", "idle_timeout": "5"}, "idle_timeout"),
        ({"upstream": "emulator", "idle_timeout": "0s"}, "idle_timeout"),
        ({"upstream": "emulator", "idle_timeout": "soon"}, "idle_timeout"),
        ({"upstream": "emulator", "native_prefix": "v1"}, "native_prefix"),
        ({"upstream": "emulator", "colour": "red"}, "colour"),
        ({"upstream": "emulator", "listen": "0.0.0.0:1"}, "listen"),
        ({"upstream": "emulator", "listen": "[::]:1"}, "listen"),
        ({"upstream": "emulator", "listen": "bridge.example:1"}, "listen"),
        ({"upstream": "emulator", "listen": "0.0.0.0:1", "callers_file": "c"}, "listen"),
        ({"upstream": "emulator", "listen": "unix:/a.sock", "workers": 2}, "workers"),
        ({"upstream": "emulator", "workers": 0}, "workers"),
        ({"upstream": "emulator", "tls_certificate_file": "c"}, "tls_key_file"),
        ({"upstream": "emulator", "tls_client_ca_file": "c"}, "tls_client_ca_file"),
        (
            {"upstream": "emulator", "upstream_api_key": "a", "upstream_api_key_file": "b"},
            "upstream_api_key_file",
        ),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(given, field):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)

    (line,) = problems(caught.value)
    assert line.startswith(f"{field}: ")
    assert "pass@" not in line


def test_beyond_loopback_callers_and_tls_or_insecure_are_enough():
    guarded = {"callers_file": "c", "tls_certificate_file": "t", "tls_key_file": "k"}

    for given in (guarded, {"insecure": True}):
        assert Settings(upstream="emulator", listen="0.0.0.0:1", **given).listen == "0.0.0.0:1"


def test_there_is_a_worker_for_each_core_but_one_on_a_unix_socket():
    assert Settings(upstream="emulator").workers == usable_cores()
    assert Settings(upstream="emulator", workers=7).workers == 7
    assert Settings(upstream="emulator", listen="unix:/tmp/a.sock").workers == 1


def test_a_process_of_ours_is_told_every_setting_and_every_secret():
    given = Settings(
        upstream="https://gateway",
        upstream_api_key="sk-secret",
        store="valkey://user:password@host/1",
        idle_timeout="1234567.891s",
        data_dir="/var/lib/bridge",
        workers=3,
    )

    told = from_plain(json.loads(json.dumps(to_plain(given))))

    assert told == given
    assert told.upstream_key() == "sk-secret"


@pytest.mark.parametrize(
    "listen, expected",
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/tmp/a.sock", True),
        ("10.0.0.1:1", False),
        (":1", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(listen, expected):
    assert is_loopback(listen) is expected


def entry(name, token, tenant="retail"):
    digest = hashlib.sha256(token.encode()).hexdigest()
    return f'[[callers]]\nname = "{name}"\ntenant = "{tenant}"\ntoken_sha256 = "{digest}"\n'


def test_callers_are_found_by_the_digest_of_their_token(tmp_path):
    file = tmp_path / "callers.toml"
    file.write_text(entry("shop", "a") + entry("desk", "b"))

    callers = read_callers(file)

    assert callers[hashlib.sha256(b"b").hexdigest()].name == "desk"


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "names no callers"),
        ('[[callers]]\nname = "shop"\n', "entry 1: name and tenant"),
        ('[[callers]]\nname = "a"\ntenant = "b"\ntoken_sha256 = "plain"\n', "entry 1 (a)"),
        (entry("shop", "a") + entry("desk", "a"), "entry 2 (desk): its token"),
        ("[[callers]", "callers_file"),
        ('callers = "shop"', "[[callers]] tables"),
    ],
)
def test_a_wrong_callers_file_is_refused_by_its_entry(text, complaint, tmp_path):
    file = tmp_path / "callers.toml"
    file.write_text(text)

    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_callers(file)


def test_config_shows_what_would_be_used_and_masks_secrets():
    shown = run("config", "--upstream", "https://g", CONTEXTBRIDGE_UPSTREAM_API_KEY="sk-secret")

    assert shown.returncode == 0
    assert 'upstream = "https://g"' in shown.stdout
    assert 'upstream_api_key = "**********"' in shown.stdout
    assert "sk-secret" not in shown.stdout + shown.stderr


def test_what_config_shows_is_a_config_file(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text(run("config", "--upstream", "https://g").stdout)

    settings = load(["--config", str(file)])

    assert settings.model_dump(exclude={"config"}) == Settings(upstream="https://g").model_dump(
        exclude={"config"}
    )


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (("serve",), "contextbridge: upstream: Field required"),
        (("serve", "--upstream", "emulator", "--config", "/nowhere"), "there is no file"),
        (("serve", "--upstream", "emulator", "--callers-file", "/nowhere"), "/nowhere"),
        (("config", "--upstream", "emulator", "--no-such-flag", "1"), "no-such-flag"),
        (("dance",), "invalid choice"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_exits_with_2(arguments, complaint):
    done = run(*arguments)

    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_has_its_help():
    for arguments in (("--help",), ("serve", "--help"), ("emulate", "--help")):
        assert run(*arguments).returncode == 0
    assert "cut-midstream" in run("emulate", "--help").stdout
    assert "--first-event-timeout" in run("serve", "--help").stdout
    assert run("--version").stdout.strip() == __version__


def test_a_served_bridge_is_healthy_and_a_missing_one_is_not(served):
    healthy = run("healthcheck", "--target", served)
    service = run("healthcheck", "--target", served, "--service", "contextbridge.v1.GeminiService")
    missing = run("healthcheck", "--target", "127.0.0.1:1", "--timeout", "1")

    assert (healthy.returncode, healthy.stdout) == (0, f"{served}: SERVING\n")
    assert service.returncode == 0
    assert missing.returncode == 1
    assert missing.stdout.startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert "Connection refused" in missing.stdout


def test_the_emulator_runs_alone():
    command = [COMMAND, "emulate", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.terminate()
        process.communicate(timeout=30)

    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", line)
    assert process.returncode == 0


def test_logs_are_one_json_object_a_line(serving_logged):
    with serving_logged("--upstream", "emulator") as (_, log):
        lines = log().splitlines()

    assert [json.loads(line)["event"] for line in lines] == ["emulator.started", "server.started"]
