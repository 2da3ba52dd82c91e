"""The gateway as a whole: listeners, what runs beside them, its lease, and a graceful end."""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
import resource
import secrets
import signal
import socket
import sys
import threading
import time
from asyncio import sslproto
from collections.abc import Callable
from typing import Any, Final

import msgspec
import uvicorn

from chalicelib import metrics, references, tally, waits
from chalicelib import settings as shared
from chalicelib.settings import BadSetting
from infra.gateway import handlers, log, peers, settings, supervisor
from infra.gateway.connections import LocalDelivery, ManagementApp
from infra.gateway.http import GatewayHttp, Upgrade
from infra.gateway.install import Glue, Product
from infra.gateway.metrics import Scrape
from infra.gateway.pages import Pages
from infra.gateway.rest import PublicApp
from infra.gateway.router import Router
from infra.gateway.settings import Settings
from infra.gateway.sockets import Sockets
from infra.gateway.sources import Lease, LocalKicker, Poller, Schedule, Teller
from infra.gateway.websocket import Answer, WebSocketProtocol
from infra.gateway.wheel import Wheel

PR_SET_PDEATHSIG: Final = 1  # prctl(2)
BACKLOG: Final = 4096
REFUSED: Final = 2
"""The exit status for what a person has to change; the last line says what."""
TLS_HANDSHAKE_S: Final = 10.0
STEPS_TO_SERVE: Final = 5
"""Turns of the loop from the acceptance of a connection to its transport, and some more."""
LAST_ANSWERS_S: Final = 10.0
TLS_BUFFER: Final = 16 * 1024
"""asyncio keeps a buffer of 256 KiB for each TLS connection unless told otherwise."""


ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def front_id() -> str:
    """A new name for this front; each start, and each lost lease, makes one."""
    return "".join(secrets.choice(ALPHABET) for _ in range(6))


class Listener(uvicorn.Server):
    """A uvicorn server on one socket that leaves signals to the gateway and limits each connection."""

    def __init__(
        self,
        app: Any,
        bound: socket.socket,
        settings: Settings,
        upgrade: Upgrade | None,
        *,
        tls: bool = False,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=GatewayHttp,
                ws=WebSocketProtocol if upgrade else "none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(settings.keep_alive_s) or 1,
                timeout_graceful_shutdown=5,
                ssl_certfile=settings.tls_cert if tls else None,
                ssl_keyfile=settings.tls_key if tls else None,
            )
        )
        self._bound = bound
        self._settings = settings
        self._upgrade = upgrade
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that was asked for, or found."""
        return int(self._bound.getsockname()[1])

    async def open(self) -> None:
        """Begin to accept."""
        config = self.config
        if not config.loaded:
            config.load()
        if config.ssl is not None:
            sslproto.SSLProtocol.max_size = TLS_BUFFER
        loop = asyncio.get_running_loop()
        app_state: dict[str, Any] = {}

        def connection() -> GatewayHttp:
            return GatewayHttp(config, self.server_state, app_state, loop, self._settings, self._upgrade)

        server = await loop.create_server(
            connection,
            sock=self._bound,
            ssl=config.ssl,
            backlog=BACKLOG,
            ssl_handshake_timeout=TLS_HANDSHAKE_S if config.ssl else None,
        )
        self.servers = [server]
        self.lifespan = config.lifespan_class(config)
        self.started = True
        self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        settings = self._settings
        shortest = min(settings.header_deadline_s, settings.body_deadline_s)
        pause = min(0.5, shortest / 4)
        loop = asyncio.get_running_loop()
        next_date = 0.0
        while not self.should_exit:
            now = loop.time()
            if now >= next_date:
                await self.on_tick(0)  # uvicorn's date header
                next_date = now + 1
            for connection in list(self.server_state.connections):
                if isinstance(connection, GatewayHttp):
                    connection.overdue(now)
            await asyncio.sleep(pause)

    async def stop_accepting(self) -> None:
        """Close the listening socket; connections go on.

        A closed server gives no transport to a connection that it accepted a moment ago: those come first.
        """
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for bound in server.sockets:
                loop.remove_reader(bound.fileno())
        for _ in range(STEPS_TO_SERVE):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    async def finish(self) -> None:
        """Close what is idle at once and the rest after its answer, but do not wait for ever."""
        self.should_exit = True
        if self._task is not None:
            self._task.cancel()
        await self.stop_accepting()
        end = asyncio.get_running_loop().time() + LAST_ANSWERS_S
        open_ones = self.server_state.connections
        for connection in list(open_ones):
            connection.shutdown()
        while (open_ones or self.server_state.tasks) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        for connection in list(open_ones):
            connection.transport.abort()


class Gateway:
    """One running gateway; `start` and `stop` once each."""

    def __init__(self, settings: Settings, glue: Glue | None = None) -> None:
        self.settings = settings
        self.glue: Glue = Product() if glue is None else glue
        self.listeners: list[Listener] = []
        self._given_up = threading.Event()

    async def start(self) -> dict[str, Any]:
        """Bind, register, install and accept; the addresses to tell.  Raises `CannotListen`, `GaveUp`."""
        settings = self.settings
        self.loop = loop = asyncio.get_running_loop()
        public = _bind(settings.bind, settings.port)
        secured = None if settings.tls_port is None else _bind(settings.bind, settings.tls_port)
        management = _bind(settings.management_bind, settings.management_port)
        self.management_url = settings.management_url or _url("http", settings.management_bind, management)

        self.handlers = await asyncio.to_thread(handlers.make, settings)
        self.mailbox = handlers.Mailbox(loop)
        self.pool = handlers.Pool(self.handlers, self.mailbox, settings.threads, "handler", settings.waiting)
        self.work_pool = handlers.Pool(
            self.handlers, self.mailbox, settings.work_threads, "work", settings.waiting
        )
        periods = (
            settings.beat_s,
            settings.silence_s,
            settings.idle_s,
            settings.life_s,
            settings.write_stall_s,
        )
        self.wheel = Wheel(loop, min(0.5, max(0.01, min(period for period in periods if period > 0) / 10)))
        self.sockets = Sockets(settings, loop, self.wheel, self.pool)
        self.delivery = LocalDelivery(self.sockets, self.mailbox)
        self.kicker: LocalKicker | None = None
        queue_url = shared.get().queue_url
        if settings.handlers == "local" and settings.edge:
            self.kicker = LocalKicker(self.work_pool)
        self.public = PublicApp(
            settings, self.pool, Router(self.handlers.routes()), self.handlers.binary_types()
        )
        self.sockets.front_id = await asyncio.to_thread(self._register)

        ours = shared.get()
        signed_with = (ours.gateway_secret, ours.gateway_secret_also)
        manager = ManagementApp(self.sockets, self.mailbox, signed_with)
        scrape = Scrape(self.sockets, {"handler": self.pool, "work": self.work_pool})
        manager.scrape = scrape if settings.metrics != "off" else None
        self.public.scrape = scrape if settings.metrics == "public" else None
        self.public.pages = Pages(settings) if settings.stage == "local" else None
        self.management = Listener(manager, management, settings, None)
        self.listeners = [Listener(self.public, public, settings, self._upgrade)]
        if secured is not None:
            self.listeners.append(Listener(self.public, secured, settings, self._upgrade, tls=True))
        for listener in (self.management, *self.listeners):
            await listener.open()

        self.teller = Teller() if tally.on() else None
        if self.teller is not None:
            self.teller.start()
        self.lease = Lease(self._renew, self._lost)
        self.lease.start()
        self.sources: list[Schedule | Poller] = []
        if settings.runs_sources:
            self.sources.append(Schedule(self.handlers, shared.get().sweep_interval_s))
            if queue_url:
                self.sources.append(Poller(self.handlers, queue_url, settings.work_threads))
        for source in self.sources:
            source.start()
        ready: dict[str, Any] = {
            scheme: _url(scheme, settings.bind, public if plain else secured)
            for scheme, plain in (("http", True), ("ws", True), ("https", False), ("wss", False))
            if plain or secured is not None
        }
        return {**ready, "management": self.management_url, "front": self.sockets.front_id}

    def _register(self) -> str:
        """Register a new front and tell the handlers of it; an outage of the registry is waited for."""
        identity = front_id()
        delay = 0.2
        while True:
            try:
                if self.glue.register(identity, self.management_url, self.settings):
                    break
                identity = front_id()  # it was taken
            except Exception as error:
                log.warning("registry does not answer", error=type(error).__name__, again_in_s=delay)
                metrics.GATEWAY_OUTAGES.add(1, "registry")
                if self._given_up.wait(delay):
                    raise GaveUp from None
                delay = min(delay * 2, 5.0)
        self.public.api_id = f"gateway-{identity}"
        if self.kicker is not None:
            self.glue.install(identity, self.settings, self.delivery, self.kicker)
        return identity

    def _renew(self) -> bool:
        return self.glue.renew(self.sockets.front_id)

    def _lost(self) -> None:
        """In the lease's thread: others hold this front for dead, so its clients begin anew elsewhere."""
        self.mailbox.put(self._moved, self._register())

    def _moved(self, identity: str) -> None:
        self.sockets.front_id = identity
        self._draining = self.loop.create_task(self.sockets.drain(self.settings.drain_rate))

    def _upgrade(self, connection: GatewayHttp, path: str, query: str, early: bytes) -> None:
        """Take a connection that asks for a WebSocket over from HTTP."""
        server, client = connection.server, connection.client
        origin = peers.read(
            self.settings,
            client[0] if client else "",
            connection.scheme or "http",
            server[1] if server and server[1] else 0,
            connection.raw_headers,
        )
        method = connection.scope["method"]
        began = time.monotonic()

        def record(status: int) -> None:
            metrics.GATEWAY_HANDSHAKES.add(1, str(status))
            if self.settings.access_log:
                log.access(method, path, status, time.monotonic() - began, origin.request_id)

        protocol = WebSocketProtocol(self.sockets, connection.transport, origin, early, Answer(record))
        connection.transport.set_protocol(protocol)
        protocol.start(method, path, query, origin)

    def give_up(self) -> None:
        """Let `start` wait for the registry no longer."""
        self._given_up.set()

    async def stop(self) -> None:
        """Stop accepting, leave the registry, close the sockets gently, and finish what is running."""
        self.give_up()
        self.sockets.draining = True
        for listener in self.listeners:
            await listener.stop_accepting()
        sources = [asyncio.create_task(asyncio.to_thread(source.stop)) for source in self.sources]
        await asyncio.to_thread(self.lease.stop)
        try:
            await asyncio.to_thread(self.glue.withdraw, self.sockets.front_id)
        except Exception as error:  # the lease ends by itself
            log.warning("registry does not answer", error=type(error).__name__)
        await self.sockets.drain(self.settings.drain_rate)
        await self.sockets.emptied(self.settings.close_deadline_s + 10)
        await asyncio.gather(*sources)
        waits.end()
        await asyncio.gather(*(listener.finish() for listener in (*self.listeners, self.management)))
        for pool in (self.pool, self.work_pool):
            await asyncio.to_thread(pool.stop, 10.0)
        if self.teller is not None:
            await asyncio.to_thread(self.teller.stop)
        waits.begin()
        self.wheel.stop()
        if self.kicker is not None:
            self.glue.uninstall()


class GaveUp(Exception):
    """Somebody ended the gateway before it was registered."""


class CannotListen(Exception):
    """A port is taken, or an address is not ours."""


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}") from None
    bound.set_inheritable(False)
    return bound


def _url(scheme: str, host: str, bound: socket.socket | None) -> str:
    assert bound is not None
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{bound.getsockname()[1]}"


def die_with_parent() -> None:
    """End gracefully once whoever started this process is gone."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def allow_files() -> None:
    """Raise the limit of open files to what the system allows: each socket is one."""
    with contextlib.suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(settings: Settings, glue: Glue | None = None) -> None:
    """Run a gateway until a signal ends it; a second one ends it at once."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()

    def end() -> None:
        if ending.is_set():
            os._exit(130)
        ending.set()
        if not started.done():
            gateway.give_up()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    gateway = Gateway(settings, glue)
    started = asyncio.ensure_future(gateway.start())
    try:
        ready = await started
    except GaveUp:
        return
    # What is loaded stays, and sockets are no garbage: looking through all of them often is a pause for each.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    supervisor.tell("READY=1")
    await ending.wait()
    supervisor.tell("STOPPING=1")
    log.info("ending", sockets=len(gateway.sockets.live))
    await gateway.stop()


def main(glue: Glue | None = None) -> int:
    """`python -m infra.gateway`: the exit status."""
    references.begin()
    try:
        read = settings.load()
        settings.check_reachable(read)
        shared.get()
    except BadSetting as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    if read.die_with_parent:
        die_with_parent()
    allow_files()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if read.uvloop:
        try:
            factory = importlib.import_module("uvloop").new_event_loop
        except ImportError:
            sys.stderr.write("GATEWAY_UVLOOP: uvloop is not installed\n")
            return REFUSED
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(read, glue))
    except BadSetting as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except CannotListen as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0
