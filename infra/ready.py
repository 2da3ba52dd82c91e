"""What to write where once a stack is there: addresses, and lines for the files of others."""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from chalicelib.store import aws
from infra.endpoints import base_path

EXAMPLE = "queue.example.com"
PRIVATE = "10.0.3.7"
"""An example of an address that functions in a VPC reach."""
MANAGEMENT = {"GATEWAY_MANAGEMENT_BIND": PRIVATE, "GATEWAY_MANAGEMENT_PORT": "8081"}
GUIDE = "docs/jitsi.md"
BESIDE = "docs/self-hosting.md#beside-a-stack"


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
    management: str = ""
    """Where the WebSocket API takes what is for its sockets."""
    emulator: str = ""
    """The address of the emulator that the stack is on; "" in AWS."""
    domain: str = ""
    """The one domain for both APIs; "" where there is none."""

    def behind(self, domain: str) -> Self:
        """The same behind one domain for both APIs, where `/` is the REST API's."""
        sockets = f"wss://{domain}{self.base}/visitor/websocket"
        return self._replace(rest=f"https://{domain}", sockets=sockets, domain=domain)

    @property
    def region(self) -> str:
        """The region that the stack is in; "" where its addresses do not say it."""
        return aws.region_of(urlsplit(self.management).hostname or "")


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
        outputs["ManagementEndpoint"],
        emulator,
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
        "FOYER_API_ENDPOINT": site.management,
        **({"AWS_DEFAULT_REGION": site.region} if site.region else {}),
        **({"AWS_ENDPOINT_URL": site.emulator} if site.emulator else MANAGEMENT),
        "GATEWAY_HANDLERS": "lambda",
        "GATEWAY_LAMBDA_PREFIX": site.stack,
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " \\\n".join([*words, ".venv/bin/python -m infra.gateway"])


def text(site: Site) -> str:
    """All of it, for a terminal."""
    host = (
        f"with the host of your gateway in place of {EXAMPLE}, or deploy with QUEUE_HOST"
        if site.host == EXAMPLE
        else "served by your gateway there"
    )
    reached = (
        "" if site.emulator else f", and an address that functions reach in place of {PRIVATE} ({BESIDE})"
    )
    parts: tuple[tuple[str, str], ...] = (
        (f"HTTP: {site.rest}/", ""),
        (f"WebSocket clients with text frames: {site.sockets}", ""),
        (f"Prosody, above the first VirtualHost ({GUIDE}#prosody):", prosody(site)),
        (
            f"config.js, {host}; web and mobile send what API Gateway refuses ({GUIDE}):",
            config_js(site),
        ),
        (f"That gateway, with the same FOYER_GATEWAY_SECRET{reached}:", gateway(site)),
    )
    if site.domain:
        setting = f'"LOOP_HAWK_HOSTS": "{site.domain}"'
        parts += (("Loop, among the stage's environment_variables in .chalice/config.json:", setting),)
    lines = []
    for title, content in parts:
        lines += [title, *(f"    {line}" for line in content.splitlines()), ""]
    return "\n".join(lines).rstrip()
