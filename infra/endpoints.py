"""What it takes to use the local service: `.local/endpoints.json`, and the same on the terminal."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra import credentials as own
from infra.credentials import CannotSign, Credentials

FILE = "endpoints.json"
ROOM = "room1"


def base_path(environ: Mapping[str, str]) -> str:
    """The prefix of the waiting queue's paths."""
    return environ.get("JITSI_QUEUE_BASE_PATH", "/waiting-queue").rstrip("/")


def document(
    ready: Mapping[str, Any], credentials: Credentials, environ: Mapping[str, str]
) -> dict[str, Any]:
    """The document; paths in it are relative to the file.  Facades that are not built have no entry."""
    settings = credentials.environment()
    http = {name: str(ready[name]) for name in ("http", "https") if ready.get(name)}
    ws = {name.replace("http", "ws"): address.replace("http", "ws", 1) for name, address in http.items()}
    return (
        http
        | ws
        | {
            "jitsi": {
                "base_path": base_path(environ),
                "user_secret": credentials.user_secret,
                "user_issuer": credentials.first("JITSI_USER_ISSUERS", own.USER_ISSUER),
                "user_audience": credentials.first("JITSI_USER_AUDIENCES", own.USER_AUDIENCE),
                "server_private_key": "keys/server.pem" if credentials.server_key else None,
                "server_kid": own.SERVER_KID,
                "server_issuer": credentials.first("JITSI_SERVER_ISSUERS", own.SERVER_ISSUER),
                "server_audience": credentials.first("JITSI_SERVER_AUDIENCES", own.SERVER_AUDIENCE),
                "muc_prefix": settings["JITSI_MUC_DOMAIN_PREFIX"],
                "muc_domain": settings["JITSI_MUC_DOMAIN_BASE"],
            },
            "owt": {
                "super_service_id": credentials.super_service_id,
                "super_service_key": credentials.super_service_key,
            },
            "loop": {"base_path": ""},
            "sora": {"key": credentials.sora_key},
            "wcs": {"base_path": f"/rest/{own.WCS_API}", "secret": credentials.wcs_secret},
            "console": {"url": f"{ready['http']}/console/", "token": credentials.admin_token},
            "aws": {
                "endpoint": environ.get("AWS_ENDPOINT_URL"),
                "region": environ.get("AWS_DEFAULT_REGION"),
                "table": environ.get("FOYER_TABLE"),
                "queue_url": environ.get("FOYER_QUEUE_URL"),
            },
        }
    )


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """Replace the file."""
    own.write_private(folder / FILE, json.dumps(found, indent=1) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """The file's document; empty where there is none or it is damaged."""
    try:
        found = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def table(found: Mapping[str, Any], credentials: Credentials, notes: Mapping[str, str]) -> str:
    """The addresses and ready-made credentials as text for a terminal."""
    jitsi = found["jitsi"]
    base = jitsi["base_path"]
    rows = [
        ("web clients (queueService)", f"{found['ws'].partition('://')[2]}{base}"),
        ("visitors and moderators", f"{found['ws']}{base}/visitor/websocket"),
        ("golive (Prosody)", f"{found['http']}{base}/golive"),
        ("conference management (OWT)", f"{found['http']}/v1/rooms"),
        ("rooms by invitation (Loop)", f"{found['http']}{found['loop']['base_path']}/rooms"),
        ("metadata of connections (Sora)", f"{found['http']}/"),
        ("event webhook of a Sora", f"{found['http']}/sora/event"),
        ("hooks of a WCS", f"{found['http']}{found['wcs']['base_path']}"),
        ("streams of all WCS", f"{found['http']}/rest-api/stream/find_all"),
        ("operators' API", f"{found['http']}/admin/v1"),
        ("console", found["console"]["url"]),
        ("health", f"{found['http']}/healthz"),
    ]
    if "wss" in found:
        rows[0] = (rows[0][0], f"{found['wss'].partition('://')[2]}{base}")
        rows.insert(2, ("the same with TLS", f"{found['wss']}{base}/visitor/websocket"))
    rows += notes.items()
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"  {name:<{width}}{value}" for name, value in rows]
    lines += ["", *_credentials(found, credentials)]
    return "\n".join(lines)


def _credentials(found: Mapping[str, Any], credentials: Credentials) -> list[str]:
    lines = []
    for name, make in (("visitor", credentials.visitor_token), ("moderator", credentials.moderator_token)):
        try:
            lines += [f"  {name} token (any room, 24 h)", f"    {make()}"]
        except CannotSign as why:
            lines += [f"  {name} token: {why}"]
    try:
        lines += ["  the conference goes live:", f"    {golive_command(found, credentials)}"]
    except CannotSign as why:
        lines += [f"  golive: {why}"]
    owt = found["owt"]
    lines += [
        "  OWT super service (id, key)",
        f"    {owt['super_service_id']}",
        f"    {owt['super_service_key']}",
    ]
    token = found["console"]["token"]
    operator = "  operator's token (console, /admin/v1)"
    lines += [operator, f"    {token}"] if token is not None else [operator + ": as ADMIN_TOKENS says"]
    return lines


def golive_command(found: Mapping[str, Any], credentials: Credentials) -> str:
    """A line for the shell that makes a conference live.  Raises `CannotSign`."""
    body = json.dumps({"conference": f"{ROOM}@{credentials.muc}"}, separators=(",", ":"))
    headers = (
        f"Authorization: Bearer {credentials.server_token(lives_s=own.DAY_S)}",
        "Content-Type: application/json",
    )
    words = ["curl", "-i", *(word for header in headers for word in ("-H", header)), "-d", body]
    return shlex.join([*words, f"{found['http']}{found['jitsi']['base_path']}/golive"])
