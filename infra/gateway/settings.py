"""The gateway's own settings, read from the environment once and frozen."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from chalicelib import settings as shared
from chalicelib.settings import require
from infra.gateway import events

PREFIX: Final = "GATEWAY_"
KIB: Final = 1024

Mode = Literal["edge", "aws"]
Handlers = Literal["local", "lambda"]

# Names without the prefix, because every tool that starts servers knows them.
PLAIN: Final = ("PORT", "TLS_PORT", "TLS_CERT", "TLS_KEY")
HEARTBEAT: Final = "JITSI_HEARTBEAT"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class _Given:
    """What the environment says; 0 and "" mean that the mode decides."""

    mode: str = "edge"
    handlers: str = "local"
    app: str = "app"
    bind: str = "127.0.0.1"
    port: int = 8080
    tls_port: int | None = None
    tls_cert: str = ""
    tls_key: str = ""
    management_bind: str = ""
    management_port: int = 0
    management_url: str = ""
    lambda_prefix: str = ""
    lambda_names: tuple[str, ...] = ()
    threads: int = 16
    work_threads: int = 4
    waiting: int = 256
    """So many threads more, of each kind, as wait for somebody else."""
    sources: str = "auto"
    heartbeat: str = ""
    trusted_proxies: tuple[str, ...] = ()
    drain_rate: float = 200.0
    max_connections: int = 100_000
    max_requests: int = 10_000
    header_deadline_s: float = 10.0
    body_deadline_s: float = 30.0
    handshake_deadline_s: float = 30.0
    keep_alive_s: float = 65.0
    max_header_bytes: int = 64 * KIB
    max_body_bytes: int = 8 * 1024 * KIB
    max_message_bytes: int = 0
    max_frame_bytes: int = 0
    idle_s: float = -1.0
    life_s: float = 0.0
    close_deadline_s: float = 2.0
    write_stall_s: float = 2.0
    write_buffer_bytes: int = 256 * KIB
    queue_messages: int = 64
    queue_bytes: int = 256 * KIB
    compression: bool = False
    access_log: bool = True
    metrics: str = "management"
    """Where `GET /metrics` is answered: on the management listener, on the public port too, or `off`."""
    credentials: str = ""
    """The folder of the keys that pages of the local stage sign with."""
    uvloop: bool = False
    die_with_parent: bool = False


@dataclass(frozen=True)
class Settings(_Given):
    """The gateway's settings with the mode's defaults filled in."""

    stage: str = "local"
    emulated: bool = False
    """Whether functions run on an emulator, which may be on this machine."""
    beat_s: float = 0.0
    """How often the gateway sends a heart-beat; 0 means never."""
    silence_s: float = 0.0
    """The heart-beats a peer owes us come this often; 0 means it owes none."""
    proxies: tuple[Network, ...] = ()
    rewrites: Mapping[str, str] = field(default_factory=dict)

    @property
    def edge(self) -> bool:
        """Whether the extensions over API Gateway are on."""
        return self.mode == "edge"

    @property
    def runs_sources(self) -> bool:
        """Whether this process runs the schedule and polls the queue; a deployed stack does so itself."""
        return self.handlers == "local" if self.sources == "auto" else self.sources == "on"

    def function(self, name: str) -> str:
        """The deployed function behind a handler of ours, named as Chalice names it unless told otherwise."""
        for pair in self.lambda_names:
            ours, _, theirs = pair.partition("=")
            if ours == name:
                return theirs
        suffix = events.FUNCTIONS[name]
        return f"{self.lambda_prefix}-{suffix}" if suffix else self.lambda_prefix


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.  Raises `BadSetting`, whose text is one line."""
    environ = os.environ if environ is None else environ
    named = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    named.update({PREFIX + name: environ[name] for name in PLAIN if environ.get(name)})
    if environ.get(HEARTBEAT):
        named.setdefault(PREFIX + "HEARTBEAT", environ[HEARTBEAT])
    given = shared.load(_Given, PREFIX, named)
    _check(given)
    return _complete(given, environ)


def check_reachable(read: Settings) -> None:
    """Raises `BadSetting` where the address that workers are told is one that they cannot reach."""
    require(
        bool(read.management_url) or not _unspecified(read.management_bind),
        "GATEWAY_MANAGEMENT_URL: needed where the management listener is bound to every address",
    )
    require(
        read.handlers == "local"
        or read.emulated
        or bool(read.management_url)
        or not _loopback(read.management_bind),
        "GATEWAY_MANAGEMENT_URL: with GATEWAY_HANDLERS=lambda it is needed, or GATEWAY_MANAGEMENT_BIND: "
        "functions send to the gateway what is for its sockets, and do not reach its loopback",
    )


def _check(given: _Given) -> None:
    require(given.mode in get_args(Mode), "GATEWAY_MODE: edge or aws")
    require(given.handlers in get_args(Handlers), "GATEWAY_HANDLERS: local or lambda")
    require(given.sources in {"auto", "on", "off"}, "GATEWAY_SOURCES: auto, on or off")
    require(given.metrics in {"management", "public", "off"}, "GATEWAY_METRICS: management, public or off")
    for name, port in (("PORT", given.port), ("TLS_PORT", given.tls_port or 0)):
        require(0 <= port <= 65535, f"{name}: between 0 and 65535")
    require(0 <= given.management_port <= 65535, "GATEWAY_MANAGEMENT_PORT: between 0 and 65535")
    require(
        given.tls_port is None or bool(given.tls_cert and given.tls_key),
        "TLS_PORT: TLS_CERT and TLS_KEY missing",
    )
    for name, path in (("TLS_CERT", given.tls_cert), ("TLS_KEY", given.tls_key)):
        require(not path or Path(path).is_file(), f"{name}: no such file")
    for name in (
        "threads",
        "work_threads",
        "drain_rate",
        "max_connections",
        "max_requests",
        "queue_messages",
    ):
        require(getattr(given, name) > 0, f"{PREFIX}{name.upper()}: more than 0")
    require(given.waiting >= 0, "GATEWAY_WAITING: 0 or more")
    for name in (
        "header_deadline_s",
        "body_deadline_s",
        "handshake_deadline_s",
        "keep_alive_s",
        "write_stall_s",
    ):
        require(getattr(given, name) > 0, f"{PREFIX}{name.upper()}: more than 0")
    require(
        given.handlers == "local" or bool(given.lambda_prefix or given.lambda_names),
        "GATEWAY_LAMBDA_PREFIX: the deployed functions' prefix is needed with GATEWAY_HANDLERS=lambda",
    )
    require(
        all(
            pair.partition("=")[0] in events.FUNCTIONS and pair.partition("=")[2]
            for pair in given.lambda_names
        ),
        f"GATEWAY_LAMBDA_NAMES: handler=function pairs, the handlers being {', '.join(events.FUNCTIONS)}",
    )


def _complete(given: _Given, environ: Mapping[str, str]) -> Settings:
    edge = given.mode == "edge"
    heartbeat = given.heartbeat or ("15000,15000" if edge else "0,480000")
    sends, wants = _heartbeat(heartbeat)
    stage = environ.get("FOYER_STAGE", "local")
    management_bind = given.management_bind or given.bind
    for name, address in (("BIND", given.bind), ("MANAGEMENT_BIND", management_bind)):
        require(
            stage != "local" or _loopback(address),
            f"GATEWAY_{name}: the local stage is open to everybody and is served on loopback only",
        )
    values = {
        **vars(given),
        "management_bind": management_bind,
        "heartbeat": heartbeat,
        "max_message_bytes": given.max_message_bytes or (64 if edge else 128) * KIB,
        "max_frame_bytes": given.max_frame_bytes or (64 if edge else 32) * KIB,
        "idle_s": given.idle_s if given.idle_s >= 0 else (0.0 if edge else 600.0),
        "life_s": given.life_s or (23 * 3600.0 if edge else 2 * 3600.0),
    }
    return Settings(
        **values,
        stage=stage,
        emulated=any(environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA")),
        beat_s=sends / 1000 if edge else 0.0,
        silence_s=wants / 1000 if edge else 0.0,
        proxies=tuple(_network(text) for text in given.trusted_proxies),
        rewrites=events.rewrites(environ),
    )


def _heartbeat(text: str) -> tuple[int, int]:
    sends, comma, wants = text.partition(",")
    require(
        bool(comma) and sends.strip().isdecimal() and wants.strip().isdecimal(),
        "JITSI_HEARTBEAT: two whole numbers of milliseconds with a comma expected",
    )
    return int(sends), int(wants)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise shared.BadSetting("GATEWAY_TRUSTED_PROXIES: addresses or networks expected") from None


def _loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"


def _unspecified(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_unspecified
    except ValueError:
        return False
