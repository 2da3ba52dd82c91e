"""Lambda's Invoke call on loopback, with the real handlers behind it, as a process of its own.

`python -m tests.support.lambda_endpoint` prints its address and serves
`POST /2015-03-31/functions/{name}/invocations`; the function's name ends in the handler's.
"""

import json
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import app
from infra.gateway.events import FUNCTIONS
from infra.gateway.handlers import Context, per_thread

HANDLERS = {
    "app": app.app,
    "ws_connect": app.ws_connect,
    "ws_message": app.ws_message,
    "ws_disconnect": app.ws_disconnect,
    "tick": app.tick,
    "work": app.work,
}


class Invoke(BaseHTTPRequestHandler):
    """One invocation for each request, in a thread of its own."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Run the handler that the function's name ends in."""
        name = unquote(self.path.split("/")[3])
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        handler = HANDLERS[
            next(
                (ours for ours, theirs in FUNCTIONS.items() if theirs and name.endswith(f"-{theirs}")), "app"
            )
        ]
        error = ""
        try:
            answer = json.dumps(handler(event, Context(name, "request")))
        except Exception:
            traceback.print_exc()
            error, answer = "Unhandled", json.dumps({"errorMessage": "failed"})
        self.send_response(200)
        if error:
            self.send_header("X-Amz-Function-Error", error)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing for each request."""


def main() -> None:
    """Serve until standard input ends, as it does when the parent goes."""
    app.warm()
    per_thread(app.app)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Invoke)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
