"""Stands in for API Gateway's management API: takes every post, and says how many there were."""

import asyncio
import json
import math
import sys
from typing import Final

UNIT_BYTES: Final = 32 * 1024
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

counts = {"posts": 0, "units": 0, "closes": 0}


class Sink(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            _, _, rest = head.partition(b"\r\ncontent-length:")
            length = int(rest.partition(b"\r\n")[0] or 0)
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self._answer(head, length)

    def _answer(self, head: bytes, length: int) -> None:
        if head.startswith(b"get /counts"):
            body = json.dumps(counts).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        if head.startswith(b"post "):
            counts["posts"] += 1
            counts["units"] += math.ceil(length / UNIT_BYTES)
        else:
            counts["closes"] += 1
        self.transport.write(OK)


async def main(port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
