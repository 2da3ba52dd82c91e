"""TLS for clients that read and write in two threads, which a TLS socket of Python is not made for."""

import asyncio
import contextlib
import socket
import ssl
import threading
from functools import cache

TIMEOUT_S = 20.0


def through(host: str, port: int, tls: ssl.SSLContext, source: str = "") -> socket.socket:
    """A plain socket whose other end is a TLS connection to there."""
    ours, theirs = socket.socketpair()
    asyncio.run_coroutine_threadsafe(_open(theirs, host, port, tls, source), _loop()).result(TIMEOUT_S)
    return ours


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="tunnels", daemon=True).start()
    return loop


_running: set[asyncio.Task[None]] = set()


async def _open(plain: socket.socket, host: str, port: int, tls: ssl.SSLContext, source: str) -> None:
    local = (source, 0) if source else None
    far = await asyncio.open_connection(host, port, ssl=tls, local_addr=local)
    near = await asyncio.open_connection(sock=plain)
    for reader, writer in ((near[0], far[1]), (far[0], near[1])):
        task = asyncio.create_task(_pump(reader, writer))
        _running.add(task)
        task.add_done_callback(_running.discard)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()
