"""Settings: flags, environment variables and a TOML file, in that order of precedence.

The docstring of each setting is its documentation; docs/configuration.md is made from them.
"""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    PlainSerializer,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from .process.cores import usable_cores

EMULATOR = "emulator"
EMBEDDED = "embedded"
NO_STORE = "none"
STORE_URL = re.compile(r"valkeys?(\+cluster)?://([^/?#@\s]*@)?[^/?#@\s]+(/\d*)?|unix:///\S+")
DATA_DIR = "~/.local/state/contextbridge"
MAX_DATA_DIR_BYTES = 90
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
BASE_URL = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)")


def parse_duration(value: Any) -> Any:
    """Return `500ms`, `5s`, `2m`, `1h` or `7d` as a timedelta; leave other kinds as they are.

    Raises:
        ValueError: It is text, and no duration.
    """
    if not isinstance(value, str):
        return value
    found = DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError("must be a duration such as 500ms, 5s, 2m or 1h")
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])


def format_duration(duration: timedelta) -> str:
    """Return a duration as settings are written."""
    seconds = duration.total_seconds()
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(gt=timedelta(0), json_schema_extra={"type": "duration"}),
    PlainSerializer(format_duration),
]
DurationOrZero = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(ge=timedelta(0), json_schema_extra={"type": "duration"}),
    PlainSerializer(format_duration),
]


def default_data_dir() -> Path:
    """Return where the user's programs keep their state (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "contextbridge"


def default_workers(given: Mapping[str, Any]) -> int:
    """Return how many workers there are where nobody says."""
    return 1 if is_unix(given.get("listen", "")) else usable_cores()


def is_unix(listen: str) -> bool:
    """Tell whether an address is a Unix socket's."""
    return listen.startswith(("unix:", "unix-abstract:"))


def mask_password(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"(?<=://)([^@/]*):[^@/]*@", r"\1:**********@", url)


def check_store(url: str) -> str:
    """Return a store's address as it is.

    Raises:
        ValueError: It is none.
    """
    if url not in (EMBEDDED, NO_STORE) and not STORE_URL.fullmatch(url):
        raise ValueError("must be embedded, none, valkey://HOST or a variant of it")
    return url


StoreUrl = Annotated[str, AfterValidator(check_store), PlainSerializer(mask_password)]
Prefix = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_.-]+)*$")]


class Settings(BaseSettings):
    """What the server is told when it starts."""

    model_config = SettingsConfigDict(
        env_prefix="CONTEXTBRIDGE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        cli_prog_name="contextbridge serve",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    config: Path | None = None
    """A TOML file with any of these settings, by their names in snake_case."""

    listen: str = "127.0.0.1:50051"
    """Where to listen: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Port 0 picks a free one. Anything
    but loopback needs `callers_file` and TLS, or `insecure`."""

    workers: PositiveInt = Field(
        default_factory=default_workers, json_schema_extra={"default": "cores"}
    )
    """How many processes serve, on one port; calls of one connection are served by one of them.
    Unset means the cores that the process may use, by its affinity and the quota of its control
    group, and 1 with a `unix:` address, which processes cannot share. Limits on calls, connections
    and memory are each worker's."""

    insecure: bool = False
    """Allow listening beyond loopback without callers or without TLS."""

    upstream: str
    """The gateway's address: scheme and host, with a path if its routes lie below one, such as
    `https://gateway.example`. `emulator` starts the emulator beside the server; it is an extra of
    the distribution, `contextbridge-server[emulator]`. Required: nothing is assumed."""

    upstream_api_key: SecretStr | None = None
    """The key for upstream, sent as `Authorization: Bearer` or `x-goog-api-key`, as the route has
    it."""

    upstream_api_key_file: Path | None = None
    """A file that holds the key for upstream, instead of `upstream_api_key`. Read at start."""

    upstream_key_from: Literal["server", "caller"] = "server"
    """Whose key goes upstream: the server's own, or each caller's (metadata
    `x-upstream-api-key`)."""

    upstream_ca_file: Path | None = None
    """Certificates (PEM) to trust for upstream, instead of the system's."""

    context_prefix: Prefix = "/v1"
    """Path prefix of upstream's context routes."""

    native_prefix: Prefix = "/v1/v1beta"
    """Path prefix of upstream's Gemini-native routes."""

    upload_prefix: Prefix = "/upload/v1beta"
    """Path prefix of upstream's file uploads."""

    store: StoreUrl = EMBEDDED
    """Where contexts are kept. `embedded` runs a private Valkey in `data_dir`;
    `valkey://HOST:PORT`, `valkeys://…` (TLS), `valkey+cluster://…` and `valkeys+cluster://…` use a
    shared one, with `USER:PASSWORD@` before the host where it wants them; `none` keeps nothing."""

    data_dir: Path = Field(
        default_factory=default_data_dir, json_schema_extra={"default": DATA_DIR}
    )
    """Where the embedded store keeps its data. Servers that are given the same directory share it.
    At most 90 bytes long, because a Unix socket lies in it."""

    store_max_memory: ByteSize = ByteSize(1024**3)
    """Most memory of the embedded store. Past it nothing is lost; new contexts are refused with
    STORE_FULL."""

    store_fsync: Literal["always", "everysec", "no"] = "everysec"
    """When the embedded store flushes its append-only file to the disk: before each reply, every
    second, or when the system likes. What was not flushed is lost if the machine fails; if Valkey
    itself is killed, at most what waited for a slow flush is (`everysec`: up to two seconds)."""

    store_timeout: Duration = timedelta(seconds=2)
    """Longest wait for the store."""

    store_ca_file: Path | None = None
    """Certificates (PEM) to trust for `valkeys://…`, instead of the system's."""

    store_encryption_key_file: Path | None = None
    """A file of keys that stored content is encrypted with (AES-256-GCM): base64 of 32 bytes, one a
    line. The first encrypts, all decrypt. Unset stores content in the clear. Read at start."""

    recovery: Literal["never", "restore", "restore_or_inline"] = "restore_or_inline"
    """What happens when a context's binding is found gone, where its creation did not say."""

    retention: Duration = timedelta(days=7)
    """How long after its last use a context can still be brought back, where its creation did not
    say; at least its ttl."""

    idempotency_key_retention: Duration = timedelta(days=1)
    """How long a create with an `idempotency_key` is answered as it was the first time."""

    resume_grace: DurationOrZero = timedelta(seconds=30)
    """How long a generation with an `idempotency_key` goes on without a reader, so that a caller
    whose connection broke can resume it."""

    resume_retention: Duration = timedelta(minutes=10)
    """How long a generation with an `idempotency_key` can still be read after it has ended."""

    journal_max_bytes: ByteSize = ByteSize(8 * 1024**2)
    """Most that is kept of one answer, in bytes of its events. A longer one still goes to its
    caller, but cannot be resumed, and is not served again."""

    tenant_max_journals: PositiveInt = 10_000
    """Most answers kept of one tenant: for the response cache, and as many again for resuming. Past
    it, those that would lapse first go. As many can be in the making in one process; calls past
    that are answered without the response cache, and cannot be resumed."""

    tenant_max_journal_bytes: ByteSize = ByteSize(256 * 1024**2)
    """Most bytes of events kept of one tenant, in each of the two."""

    session_wait: Duration = timedelta(minutes=10)
    """Longest wait for another call on the same session; the caller's deadline bounds it too."""

    session_max_bytes: ByteSize = ByteSize(8 * 1024**2)
    """Most history kept of a session, in bytes as stored (compressed); past it, the oldest turns
    are forgotten."""

    keep_warm: bool = False
    """Extend a binding with a fixed end while calls use it, before it ends."""

    keep_warm_max_token_hours: PositiveFloat = 10_000_000
    """The most that keeping a context warm may hold upstream in a day (UTC), in tokens times
    hours."""

    prices_file: Path | None = None
    """A TOML file of prices, from which statistics tell what contexts cost and save: `currency`,
    and `[[prices]]` with `model`, `input`, `cached_input`, `output` (per million tokens) and
    `storage` (per million tokens and hour)."""

    connect_timeout: Duration = timedelta(seconds=5)
    """Longest wait for a connection to upstream, TLS included."""

    response_timeout: Duration = timedelta(minutes=10)
    """Longest wait for a whole unary answer of upstream's; the caller's deadline bounds it too."""

    first_event_timeout: Duration = timedelta(minutes=2)
    """Longest wait for the first event of a stream. Comments that keep a connection open do not
    count as events."""

    idle_timeout: Duration = timedelta(minutes=1)
    """Longest silence within a stream that has begun; any byte ends it."""

    retry_max_attempts: PositiveInt = 3
    """Attempts at an upstream request, the first included. Only what cannot have been charged is
    repeated: no connection, HTTP 429 and HTTP 503, before anything was sent to the caller."""

    retry_base_delay: Duration = timedelta(milliseconds=100)
    """Longest wait before the first repetition; doubles with each."""

    retry_max_delay: Duration = timedelta(seconds=5)
    """Longest wait before a repetition. Where upstream asks for more, the caller is told so."""

    retry_budget: float = Field(default=0.2, ge=0, le=1)
    """Repetitions earned by each request: 0.2 bounds them to one in five. Each worker has a budget
    of its own."""

    callers_file: Path | None = None
    """A TOML file of callers: `[[callers]]` with `name`, `tenant` and `token_sha256`, and
    `unknown_upstream_ids`, whether the caller may name what upstream holds and the server never
    saw (unset: only where all callers are of one tenant). With it, every call but health and
    reflection needs a token. Unset lets everybody in."""

    tls_certificate_file: Path | None = None
    """The server's certificate chain (PEM). It is read again when it changes."""

    tls_key_file: Path | None = None
    """The certificate's private key (PEM). It is read again when it changes."""

    tls_client_ca_file: Path | None = None
    """Certificates (PEM) that clients' certificates must come from: mutual TLS. They are read again
    when they change."""

    reflection: bool = True
    """Serve reflection, so that grpcurl needs no protos."""

    channelz: bool = False
    """Serve channelz, gRPC's view of its own connections."""

    max_concurrent_calls: PositiveInt = 10_000
    """Calls open at once in each worker; more are refused with OVERLOADED. Health and reflection do
    not count."""

    max_message_bytes: ByteSize = ByteSize(32 * 1024**2)
    """Largest message taken from a caller."""

    max_metadata_bytes: ByteSize = ByteSize(16 * 1024)
    """Largest metadata taken from a caller."""

    max_inline_bytes: ByteSize = ByteSize(20 * 1024**2)
    """Most inline media in one request."""

    max_response_bytes: ByteSize = ByteSize(32 * 1024**2)
    """Largest unary answer taken from upstream."""

    max_event_bytes: ByteSize = ByteSize(16 * 1024**2)
    """Largest event of a stream taken from upstream."""

    keepalive_interval: Duration = timedelta(minutes=1)
    """How often a silent connection is pinged, so that middleboxes keep it."""

    keepalive_min_interval: Duration = timedelta(seconds=10)
    """How often clients may ping; those that ping oftener are disconnected."""

    max_connection_age: DurationOrZero = timedelta(minutes=30)
    """How old a connection may get, a tenth more or less by chance. Then it takes no new calls, its
    open ones go on, and the client opens another, which may meet another worker or replica. 0 means
    any age."""

    max_connection_age_grace: Duration = timedelta(hours=1)
    """How long open calls may go on after that; then they are cut. The longest stream must fit:
    an hour is how long a generation is found by its `idempotency_key`."""

    drain_delay: DurationOrZero = timedelta(0)
    """How long, after SIGTERM, health says NOT_SERVING before new calls are refused: the time that
    load balancers need to notice."""

    drain_grace: DurationOrZero = timedelta(seconds=30)
    """How long open calls may go on after that, and generations that are kept for callers who may
    come back. The longest stream should fit."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""

    log_format: Literal["json", "console"] = "json"
    """`json` for machines, `console` for people."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.upstream != EMULATOR and not re.match(
            r"https?://[^/?#@]+(/[^?#]*)?$", self.upstream
        ):
            raise ValueError("upstream: must be http://HOST, https://HOST or emulator")
        if self.workers > 1 and is_unix(self.listen):
            raise ValueError("workers: must be 1 with a unix: address, which none can share")
        data_dir_bytes = len(os.fsencode(self.data_dir.absolute()))
        if self.store == EMBEDDED and data_dir_bytes > MAX_DATA_DIR_BYTES:
            raise ValueError(f"data_dir: must be at most {MAX_DATA_DIR_BYTES} bytes long")
        if self.upstream_api_key and self.upstream_api_key_file:
            raise ValueError("upstream_api_key_file: not together with upstream_api_key")
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("tls_key_file: goes together with tls_certificate_file")
        if self.tls_client_ca_file and not self.tls_certificate_file:
            raise ValueError("tls_client_ca_file: needs tls_certificate_file")
        guarded = self.callers_file and self.tls_certificate_file
        if not (guarded or self.insecure or is_loopback(self.listen)):
            raise ValueError(
                "listen: beyond loopback needs callers_file and tls_certificate_file, or insecure"
            )
        return self

    def upstream_key(self) -> str | None:
        """Return the key for upstream.

        Raises:
            OSError: Its file cannot be read.
        """
        if self.upstream_api_key_file:
            return self.upstream_api_key_file.read_text().strip()
        return self.upstream_api_key.get_secret_value() if self.upstream_api_key else None


def to_plain(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON has them, secrets included: for a process of ours."""
    return {name: _plain(value) for name, value in settings}


def from_plain(plain: Mapping[str, Any]) -> Settings:
    """Return the settings that `to_plain` was called on."""
    return Settings(**plain)


def _plain(value: Any) -> Any:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case timedelta():
            return value.total_seconds()
        case Path():
            return str(value)
        case _:
            return value


def is_loopback(listen: str) -> bool:
    """Tell whether an address is reached from this machine only."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(arguments: Sequence[str]) -> Settings:
    """Return the settings that flags, environment and file give.

    Args:
        arguments: The command line, without the program's name and the command.

    Raises:
        ValidationError: A setting is missing or wrong.
        OSError: The TOML file cannot be read.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    in_flags = finder.parse_known_args(arguments)[0].config
    toml_file = Path(in_flags) if in_flags else _OnlyConfig().config
    if toml_file is not None and not toml_file.is_file():
        raise FileNotFoundError(f"config: there is no file {toml_file}")

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            flags: CliSettingsSource[Any] = CliSettingsSource(
                settings_cls, cli_parse_args=list(arguments)
            )
            return flags, env_settings, TomlConfigSettingsSource(settings_cls, toml_file)

    return Sourced()


class _OnlyConfig(BaseSettings):
    """Where the TOML file is, by the environment."""

    model_config = SettingsConfigDict(env_prefix="CONTEXTBRIDGE_", env_ignore_empty=True)

    config: Path | None = None


def problems(error: ValidationError) -> list[str]:
    """Return what is wrong with settings, a line each, without the values, which may be secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        field = ".".join(str(place) for place in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}" if field else message)
    return lines
