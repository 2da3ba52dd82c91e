"""The package that the tests deploy, and a front that clients of its stack call."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from infra import package
from infra.credentials import Credentials
from tests.support import target as targets
from tests.support.target import Deployed, Target

KEYS = {
    "SORA_OPEN": "false",
    "SORA_SOCKET_OPEN": "false",
    "SORA_API_KEYS": "an-API-key-of-the-deployed-stack",
    "SORA_EVENT_KEYS": "a-key-of-the-event-webhook",
    "SORA_SOCKET_KEYS": "a-key-of-those-who-listen",
    "WCS_SECRETS": "my_api:a secret of hooks",
    "WCS_API_KEYS": "a-key-of-the-stream-API",
}

REFERRED = (
    *("JITSI_USER_KEYS", "OWT_KEY_SECRET", "OWT_SUPER_SERVICE_KEY", "LOOP_SECRET"),
    *("SORA_API_KEYS", "WCS_SECRETS"),
)
"""Settings of the functions that only say where their value stands, one or more of each facade."""


class Front(NamedTuple):
    """Where the clients of a deployed stack call."""

    deployed: Deployed
    http: str
    sockets: str
    takes_paths: bool

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> targets.Answer:
        """One request."""
        return self.deployed.ask(self.http, method, path, body, **headers)

    def path(self, base: str, endpoint: str) -> str:
        """What comes behind `sockets` for an endpoint below a base."""
        return f"{base}{endpoint}" if self.takes_paths else f"?endpoint={endpoint}"


def with_keys(folder: Path, copy: Path, credentials: Credentials, cloud: Target) -> Path:
    """A copy of a package whose functions trust the keys of this run; some they look up in `cloud`."""
    copy.mkdir()
    shutil.copy(folder / package.CODE, copy)
    template = json.loads((folder / "sam.json").read_text())
    keys = credentials.environment() | credentials.operators() | KEYS
    keys["JITSI_SERVER_KEYS"] = f"pem:{credentials.server_public_path.read_text()}"
    keys["LOOP_HAWK_PATH_PREFIXES"] = ",".join(targets.PREFIXES)
    del keys["FOYER_GATEWAY_SECRET"]  # a parameter of the stack
    keys |= targets.referred(cloud, {name: keys[name] for name in REFERRED})
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["Environment"]["Variables"] |= keys
    (copy / "sam.json").write_text(json.dumps(template))
    return copy
