"""What a supervisor that asks for it is told: systemd's `Type=notify`."""

import os
import socket
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"


def tell(state: str) -> None:
    """Send a state such as `READY=1`; nothing happens where nobody asks, or nobody listens any more."""
    address = os.environ.get(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract names
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return
