"""`python -m infra.gateway.probe [PATH]`: whether the gateway of this machine or container answers there.

The exit status is 0 or 1.  It asks `/healthz` unless told otherwise: storage that is down is no
reason to restart a gateway, which goes on with the sockets that it has.
"""

import http.client
import ipaddress
import os
import sys
from collections.abc import Mapping

TIMEOUT_S = 5.0
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def address(environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the public listener, as the gateway's settings name them."""
    host = environ.get("GATEWAY_BIND") or LOOPBACK[4]
    port = environ.get("PORT") or environ.get("GATEWAY_PORT") or "8080"
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host, int(port)
    return LOOPBACK[parsed.version] if parsed.is_unspecified else host, int(port)


def answers(host: str, port: int, path: str) -> bool:
    """Whether a request is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """The exit status."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/healthz"
    return 0 if answers(*address(os.environ), path) else 1


if __name__ == "__main__":
    sys.exit(main())
