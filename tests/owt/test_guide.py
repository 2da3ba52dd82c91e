"""docs/owt.md and docs/contracts/owt.md: their scripts run, their vectors hold, their settings exist."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from chalicelib.wire import mauth
from chalicelib.wire.mauth import Claim
from infra.credentials import Credentials
from tests.conftest import GatewayFactory
from tests.prosody.tools import tool
from tests.support import mauth as signer

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = (ROOT / "docs" / "owt.md").read_text()
CONTRACT: Final = (ROOT / "docs" / "contracts" / "owt.md").read_text()
SERVICE, KEY, STAMP, NONCE = "5e0d0c0a0b0c0d0e0f101112", "21989", "1406079112038", "87428"
TOKENS: Final = "/v1/rooms/6b0269fdb32ce611868ec9e0/tokens"


def script(language: str, holding: str) -> str:
    """The one block of the guide in this language that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if holding in block]
    return str(found)


def run(language: str, text: str, folder: Path, environ: dict[str, str], *arguments: str) -> str:
    path = folder / {"python": "script.py", "js": "script.js"}[language]
    path.write_text(text)
    program = sys.executable if language == "python" else tool("node")
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [program, str(path), *arguments],
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reach(standing: GatewayFactory, credentials: Credentials) -> dict[str, str]:
    """What the guide's scripts need: a gateway in strict mode, as the strictest takes them."""
    front = standing(OWT_MAUTH="strict")
    return {
        "MANAGEMENT_URL": str(front.ready["http"]),
        "SERVICE_ID": credentials.super_service_id,
        "SERVICE_KEY": credentials.super_service_key,
    }


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_script_makes_a_room_and_a_token(language, reach, tmp_path):
    said = run(language, script(language, "/tokens"), tmp_path, reach, "weekly")
    room, token = said.split()
    assert re.fullmatch("[0-9a-f]{24}", room)
    assert set(json.loads(base64.b64decode(token))) == {"tokenId", "host", "secure", "signature"}


USES_V2: Final = {
    "python": """
import json, os, urllib.request
URL, SERVICE, KEY = (os.environ[name] for name in ("MANAGEMENT_URL", "SERVICE_ID", "SERVICE_KEY"))
for method, target, body in CALLS:
    data = body.encode()
    headers = {"Authorization": mauth_v2(SERVICE, KEY, method, target, data)}
    request = urllib.request.Request(URL + target, data or None, headers, method=method)
    print(urllib.request.urlopen(request).status)
""",
    "js": """
const { MANAGEMENT_URL: url, SERVICE_ID: service, SERVICE_KEY: key } = process.env;
(async () => {
  for (const [method, target, body] of CALLS) {
    const headers = { Authorization: mauthV2(service, key, method, target, body) };
    const answer = await fetch(url + target, { method, headers, body: body || undefined });
    console.log(answer.status);
  }
})();
""",
}
CALLS: Final = [
    ["POST", "/v1/rooms/", '{"name":"r\u00f6om"}'],
    ["GET", "/v1/rooms?per_page=20&page=1", ""],
    ["GET", "/v1/rooms?x=a+b%26c~&x=!*()'&per_page=1&%c3%a4", ""],
]


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_second_method_is_signed_as_the_guide_shows_it(language, reach, tmp_path):
    calls = f"{'CALLS =' if language == 'python' else 'const CALLS ='} {json.dumps(CALLS)}\n"
    text = script(language, "HMAC_SHA256_V2") + calls + USES_V2[language]
    assert run(language, text, tmp_path, reach).split() == ["200"] * len(CALLS)


def rows(text: str) -> list[tuple[str, ...]]:
    """The cells of the table rows that end in a signature."""
    lines = re.findall(r"^\| (.*) \| `([A-Za-z0-9+/]{86}==)` \|$", text, re.MULTILINE)
    return [(*(cell.strip() for cell in cells.split(" | ")), signature) for cells, signature in lines]


VECTORS: Final[dict[str, dict[str, Any]]] = {
    "`GET /services/`": {"method": "GET", "path": "/services/", "query": {}},
    "`GET /v1/rooms?per_page=20&page=1`": {
        "method": "GET",
        "path": "/v1/rooms",
        "query": {"per_page": ["20"], "page": ["1"]},
    },
    '`POST /v1/rooms` with `{"name":"röom"}`': {
        "method": "POST",
        "path": "/v1/rooms",
        "query": {},
        "body": '{"name":"röom"}'.encode(),
    },
    f"`POST {TOKENS}`, user name `YWxpY2U=`, role `presenter`": {
        "method": "POST",
        "path": TOKENS,
        "query": {},
        "names": ("YWxpY2U=", "presenter"),
    },
    "`GET /v1/rooms/a%20b%7Ec?q=a+b%26c&q=~%c3%a4&p`": {
        "method": "GET",
        "path": "/v1/rooms/a%20b%7Ec",
        "query": {"q": ["a b&c", "~ä"], "p": [""]},
    },
}


def test_the_documented_vectors_of_both_methods_hold():
    found = rows(CONTRACT)
    first = {cells[0]: cells[-1] for cells in found if len(cells) == 2}
    second = {cells[0]: cells for cells in found if len(cells) == 4}
    assert first == {
        "none": signer.mac(KEY, f"{STAMP},{NONCE}"),
        "`test`, `role`": signer.mac(KEY, f"{STAMP},{NONCE},test,role"),
    }
    assert set(second) == set(VECTORS)
    for name, given in VECTORS.items():
        signature = second[name][-1]
        body = given.get("body", b"")
        claim = Claim(mauth.V2, SERVICE, NONCE, STAMP, signature, *given.get("names", ("", "")))
        text = mauth.signed_text_v2(claim, given["method"], given["path"], given["query"], body)
        assert mauth.signed(claim, KEY, text), name
        assert text.splitlines()[-1].startswith(second[name][2].strip("`"))


def test_the_documented_text_is_what_is_signed():
    (text,) = re.findall(r"^```text\n(HMAC_SHA256_V2\n.*?)\n```", CONTRACT, re.MULTILINE | re.DOTALL)
    given = VECTORS["`GET /v1/rooms?per_page=20&page=1`"]
    claim = Claim(mauth.V2, SERVICE, NONCE, STAMP, "-")
    assert mauth.signed_text_v2(claim, given["method"], given["path"], given["query"], b"") == text
