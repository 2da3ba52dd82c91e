"""Writes what the Bruno collection needs to use the local service: `bruno/.env`."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra import endpoints
from infra.credentials import HOME, write_private

COLLECTION: Final = HOME.parent / "bruno"
FILE: Final = ".env"


class NotRunning(Exception):
    """There is no local service to be used."""


def variables(found: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the collection, from the document of a service whose keys are in `folder`.

    Keys that the document does not have are the first of those that `environ` sets.
    """
    jitsi, sora = found["jitsi"], found["sora"]["key"] or ""
    key = jitsi["server_private_key"]
    return {
        "HTTP": found["http"],
        "QUEUE": jitsi["base_path"],
        "MUC": f"{jitsi['muc_prefix']}.{jitsi['muc_domain']}",
        "SERVER_KEY": (folder / key).read_text() if key else "",
        "SERVER_KID": jitsi["server_kid"],
        "SERVER_ISSUER": jitsi["server_issuer"],
        "SERVER_AUDIENCE": jitsi["server_audience"],
        "SERVICE_ID": found["owt"]["super_service_id"],
        "SERVICE_KEY": found["owt"]["super_service_key"],
        "METADATA_KEY": sora,
        "EVENT_KEY": _first(environ, "SORA_EVENT_KEYS") or sora,
        "HOOKS": found["wcs"]["base_path"],
        "HOOK_SECRET": found["wcs"]["secret"] or "",
        "STREAM_KEY": _first(environ, "WCS_API_KEYS"),
        "OPERATOR_TOKEN": found["console"]["token"] or "",
    }


def _first(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").split(",")[0].strip()


def spell(given: Mapping[str, str]) -> str:
    """Variables as the file has them; ends of lines are escaped."""
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in given.items())


def write(collection: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    """Write the collection's file, mode 0600.  Raises `NotRunning`."""
    found = endpoints.read(folder)
    if "http" not in found:
        raise NotRunning(f"there is no {folder / endpoints.FILE}: does `make run` run?")
    path = collection / FILE
    write_private(path, spell(variables(found, folder, environ)))
    return path


def main() -> int:
    """Write bruno/.env for the service of `make run`, secrets and all."""
    arguments = argparse.ArgumentParser(prog="python -m infra.bruno", description=main.__doc__)
    arguments.add_argument("--folder", type=Path, default=HOME, help=argparse.SUPPRESS)
    try:
        print(write(COLLECTION, arguments.parse_args().folder, os.environ))
    except NotRunning as why:
        print(f"foyer: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
