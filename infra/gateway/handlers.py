"""Calls the handlers by their handler string, in threads of this process or as deployed Lambda functions."""

import asyncio
import importlib
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Protocol

import msgspec
from chalice import Chalice

from chalicelib import waits
from chalicelib.store import aws
from infra.gateway import log
from infra.gateway.events import Event
from infra.gateway.settings import Settings

Done = Callable[[Any, BaseException | None], None]
"""Told, in the event loop, what a handler returned or raised."""

LIMIT_MS: Final = 29_000  # API Gateway's integration timeout


class HandlerFailed(Exception):
    """A deployed function raised: Lambda answered with `FunctionError`."""


class Handlers(Protocol):
    """The product's handlers, by name: `app`, `ws_connect`, `ws_message`, `ws_disconnect`, `tick`, `work`."""

    def call(self, name: str, event: Event, request_id: str) -> Any:
        """Run one handler to its end.  Raises what it raises."""

    def routes(self) -> dict[str, Any]:
        """Path -> method -> view, as Chalice keeps them."""

    def binary_types(self) -> list[str]:
        """The media types whose bodies go as base64."""


class Context:
    """The second argument of a Lambda handler."""

    __slots__ = ("_end", "aws_request_id", "function_name")

    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:local:000000000000:function:local"
    memory_limit_in_mb = "512"
    log_group_name = ""
    log_stream_name = ""
    identity = None
    client_context = None

    def __init__(self, function_name: str, request_id: str) -> None:
        self.function_name = function_name
        self.aws_request_id = request_id
        self._end = time.monotonic() + LIMIT_MS / 1000

    def get_remaining_time_in_millis(self) -> int:
        """What is left until Lambda would stop the function."""
        return max(0, int((self._end - time.monotonic()) * 1000))


class _ThreadLocal(threading.local):
    request: Any = None
    context: Any = None


class _PerThread:
    """Chalice keeps the current request in one attribute of the app; here each thread has its own."""

    _own = _ThreadLocal()

    @property
    def current_request(self) -> Any:
        return self._own.request

    @current_request.setter
    def current_request(self, value: Any) -> None:
        self._own.request = value

    @property
    def lambda_context(self) -> Any:
        return self._own.context

    @lambda_context.setter
    def lambda_context(self, value: Any) -> None:
        self._own.context = value


def per_thread(app: Chalice) -> None:
    """Let several threads serve one Chalice app, the way `chalice local` does."""
    if not isinstance(app, _PerThread):
        for name in ("current_request", "lambda_context"):
            vars(app).pop(name, None)
        app.__class__ = type("PerThreadChalice", (_PerThread, type(app)), {})


class LocalHandlers:
    """The handlers of the app module, in this process."""

    def __init__(self, module: str) -> None:
        self._module = importlib.import_module(module)
        self._handlers: dict[str, Any] = {}
        self.app: Any = self._module.app
        per_thread(self.app)
        warm = getattr(self._module, "warm", None)
        if warm is not None:
            warm()

    def call(self, name: str, event: Event, request_id: str) -> Any:
        """Run one handler to its end.  Raises what it raises."""
        handler = self._handlers.get(name)
        if handler is None:
            handler = self._handlers[name] = getattr(self._module, name)
        return handler(event, Context(name, request_id))

    def routes(self) -> dict[str, Any]:
        """Path -> method -> view, as Chalice keeps them."""
        found: dict[str, Any] = self.app.routes
        return found

    def binary_types(self) -> list[str]:
        """The media types whose bodies go as base64."""
        return list(self.app.api.binary_types)


class LambdaHandlers:
    """The handlers as functions of a deployed stack; only the route table is read from the app here."""

    def __init__(self, settings: Settings) -> None:
        import boto3  # an import of seconds' cost that in-process handlers do without
        from botocore.config import Config

        self._settings = settings
        self._app: Any = importlib.import_module(settings.app).app
        self._client = boto3.client(
            "lambda",
            region_name=aws.region(),
            config=Config(
                connect_timeout=2,
                read_timeout=LIMIT_MS / 1000 + 1,
                retries={"total_max_attempts": 3, "mode": "standard"},
                max_pool_connections=settings.threads + settings.work_threads,
            ),
        )

    def call(self, name: str, event: Event, request_id: str) -> Any:
        """Invoke one function and wait for it.  Raises `HandlerFailed`."""
        answer = self._client.invoke(
            FunctionName=self._settings.function(name), Payload=msgspec.json.encode(event)
        )
        payload = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise HandlerFailed(name)
        return msgspec.json.decode(payload) if payload else None

    def routes(self) -> dict[str, Any]:
        """Path -> method -> view, as Chalice keeps them."""
        found: dict[str, Any] = self._app.routes
        return found

    def binary_types(self) -> list[str]:
        """The media types whose bodies go as base64."""
        return list(self._app.api.binary_types)


def make(settings: Settings) -> Handlers:
    """The handlers that the settings ask for."""
    return LocalHandlers(settings.app) if settings.handlers == "local" else LambdaHandlers(settings)


class Mailbox:
    """Calls from threads into the event loop: one wake-up serves all that came meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._awake = False
        self._thread = threading.get_ident()

    @property
    def inside(self) -> bool:
        """Whether the caller is in the loop's own thread."""
        return threading.get_ident() == self._thread

    def put(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have `function` called in the loop, in the order of the puts."""
        self._calls.append((function, arguments))
        if not self._awake:
            self._awake = True
            try:
                self.loop.call_soon_threadsafe(self._empty)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                self._calls.clear()

    def _empty(self) -> None:
        self._awake = False
        calls = self._calls
        for _ in range(len(calls)):
            function, arguments = calls.popleft()
            try:
                function(*arguments)
            except Exception as error:  # one socket's trouble is not the others'
                log.failure("callback", error)


def backlog(pool: "Pool") -> int:
    """How many calls wait for a free thread."""
    return pool._jobs.qsize()


Job = tuple[str, Event, str, Done | None]


class Pool:
    """A bounded number of threads that run handlers; what each returns goes back through the mailbox.

    A thread that waits for somebody else (`chalicelib.waits`) does not count, as long as not too many do.
    """

    def __init__(
        self, handlers: Handlers, mailbox: Mailbox | None, threads: int, name: str, waiting: int = 0
    ) -> None:
        self._handlers = handlers
        self._mailbox = mailbox
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._limit = threads
        self._name = name
        self._most_waiting = waiting
        self._waiting = 0
        self._threads: list[threading.Thread] = []
        self._made = 0
        self._lock = threading.Lock()

    def submit(self, name: str, event: Event, request_id: str, done: Done | None = None) -> None:
        """Run a handler as soon as a thread is free; without `done`, failures are only logged."""
        self._jobs.put((name, event, request_id, done))
        if len(self._threads) < self._limit + self._waiting and not self._jobs.empty():
            self._grow()

    def leave(self) -> bool:
        """One of the threads is about to wait; `False` when too many do already."""
        with self._lock:
            if self._waiting >= self._most_waiting:
                return False
            self._waiting += 1
        if not self._jobs.empty():
            self._grow()
        return True

    def back(self) -> None:
        """That thread goes on; whoever is done first while there are too many of them goes."""
        with self._lock:
            self._waiting -= 1

    def _grow(self) -> None:
        with self._lock:
            if len(self._threads) < self._limit + self._waiting:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{self._made}", daemon=True)
                self._made += 1
                self._threads.append(thread)
                thread.start()

    def _is_surplus(self) -> bool:
        """Whether the current thread is one too many; it is none of the pool's any more then."""
        if len(self._threads) <= self._limit:
            return False
        with self._lock:
            if len(self._threads) <= self._limit + self._waiting:
                return False
            self._threads.remove(threading.current_thread())
            return True

    def _run(self) -> None:
        get, call, mailbox = self._jobs.get, self._handlers.call, self._mailbox
        waits.hosted_by(self)
        while True:
            job = get()
            if job is None:
                return
            name, event, request_id, done = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = call(name, event, request_id)
            except BaseException as raised:
                error = raised
                log.failure("handler failed", raised, handler=name, request_id=request_id)
            if done is not None and mailbox is not None:
                mailbox.put(done, result, error)
            del job, event, result, error, done
            if self._is_surplus():
                return

    def stop(self, timeout_s: float) -> None:
        """Let the threads end after what they were given, and wait for them."""
        threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        end = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
