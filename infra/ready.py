"""What to write where once a stack is there: addresses, and lines for the files of others."""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from infra.endpoints import base_path

EXAMPLE = "queue.example.com"
GUIDE = "docs/jitsi.md"


class Site(NamedTuple):
    """A deployed stack as its callers see it."""

    stack: str
    name: str
    """`FOYER_STAGE`."""
    stage: str
    """The stage of both APIs."""
    base: str
    """Where the waiting queue is."""
    rest: str
    sockets: str
    table: str
    queue: str
    host: str
    """Where a gateway is, or will be, that serves the clients of Jitsi."""
    domain: str = ""
    """The one domain for both APIs; "" where there is none."""

    def behind(self, domain: str) -> Self:
        """The same behind one domain for both APIs, where `/` is the REST API's."""
        sockets = f"wss://{domain}{self.base}/visitor/websocket"
        return self._replace(rest=f"https://{domain}", sockets=sockets, domain=domain)


def site(
    stack: str,
    settings: Mapping[str, Any],
    name: str,
    outputs: Mapping[str, str],
    emulator: str,
    environ: Mapping[str, str],
) -> Site:
    """The site that a stack's outputs and its stage in .chalice/config.json describe."""
    variables = settings.get("environment_variables", {})
    stage = str(settings.get("api_gateway_stage", name))
    rest, sockets = (outputs[key].rstrip("/") for key in ("EndpointURL", "WebsocketConnectEndpointURL"))
    if emulator:
        below = f"{emulator.rstrip('/')}/_aws/execute-api"
        rest = f"{below}/{outputs['RestAPIId']}/{stage}"
        sockets = f"{below}/{outputs['WebsocketAPIId']}/{stage}".replace("http", "ws", 1)
    return Site(
        stack,
        variables.get("FOYER_STAGE", name),
        stage,
        base_path(variables),
        rest,
        sockets,
        outputs["TableName"],
        outputs["WorkQueueUrl"],
        environ.get("QUEUE_HOST", "") or EXAMPLE,
    )


def prosody(site: Site) -> str:
    """The line for Prosody's configuration."""
    return f'visitors_queue_service = "{site.rest}{site.base}"'


def config_js(site: Site) -> str:
    """The lines for Jitsi Meet's config.js."""
    return (
        "config.visitors = config.visitors || {};\n"
        f"config.visitors.queueService = '{site.host}{site.base}';"
    )


def gateway(site: Site) -> str:
    """What starts a gateway in front of the stack, on a machine with credentials for it."""
    variables = {
        "FOYER_STAGE": site.name,
        "FOYER_TABLE": site.table,
        "FOYER_QUEUE_URL": site.queue,
        "GATEWAY_HANDLERS": "lambda",
        "GATEWAY_LAMBDA_PREFIX": site.stack,
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " \\\n".join([*words, "python -m infra.gateway"])


def text(site: Site) -> str:
    """All of it, for a terminal."""
    host = (
        f"with the host of your gateway in place of {EXAMPLE}, or deploy with QUEUE_HOST"
        if site.host == EXAMPLE
        else "served by your gateway there"
    )
    parts: tuple[tuple[str, str], ...] = (
        (f"HTTP: {site.rest}/", ""),
        (f"WebSocket clients with text frames: {site.sockets}", ""),
        (f"Prosody, above the first VirtualHost ({GUIDE}#prosody):", prosody(site)),
        (
            f"config.js, {host}; web and mobile send what API Gateway refuses ({GUIDE}):",
            config_js(site),
        ),
        ("That gateway, with the same FOYER_GATEWAY_SECRET:", gateway(site)),
    )
    if site.domain:
        setting = f'"LOOP_HAWK_HOSTS": "{site.domain}"'
        parts += (("Loop, among the stage's environment_variables in .chalice/config.json:", setting),)
    lines = []
    for title, content in parts:
        lines += [title, *(f"    {line}" for line in content.splitlines()), ""]
    return "\n".join(lines).rstrip()
