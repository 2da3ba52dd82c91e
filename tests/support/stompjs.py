"""The real @stomp/stompjs in Node, driven line by line."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.support import node


class StompJs:
    """A Node process with one stompjs client; events come in the order they happened."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.process = subprocess.Popen(
            [node.executable("node"), "client.mjs", json.dumps(options)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self) -> "StompJs":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def tell(self, line: str) -> None:
        """Have the client `activate` or `leave`."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def next(self, timeout: float = 30.0) -> dict[str, Any]:
        """The next event.  Raises `queue.Empty`."""
        return self.events.get(timeout=timeout)

    def until(self, event: str, timeout: float = 30.0) -> dict[str, Any]:
        """The next event of that name; those before it are dropped.  Raises `queue.Empty`."""
        while True:
            found = self.next(timeout)
            if found["event"] == event:
                return found

    def quiet(self, seconds: float) -> list[dict[str, Any]]:
        """What happens within `seconds`."""
        try:
            return [self.next(seconds)]
        except queue.Empty:
            return []
