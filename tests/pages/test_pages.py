"""What is served to people on the local stage, under which names, and that none of it is there elsewhere."""

import asyncio
import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from infra.credentials import Credentials
from infra.gateway import pages, settings
from infra.gateway.pages import Pages
from tests.gateway.support import SECRET, running

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LOCAL = "127.0.0.1:8080"
NOT_FOUND = b'{"code":404,"errno":999,"error":{"code":1001,"message":"Resource not found"}}'
PAGES = ("/", "/docs", "/playground")
SECRETS = ("/playground/credentials.json", "/playground/tokens.json")


@pytest.fixture
def served(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Pages:
    for name, text in credentials.environment().items():
        monkeypatch.setenv(name, text)
    folder = str(credentials.server_key_path.parent.parent)
    return Pages(settings.load({"GATEWAY_CREDENTIALS": folder}))


def ask(
    served: Pages,
    path: str,
    query: str = "",
    *,
    host: str = LOCAL,
    accept: str = BROWSER,
    method: str = "GET",
) -> tuple[int, dict[str, str], bytes] | None:
    answer = served.answer(method, path, query, [(b"host", host.encode()), (b"accept", accept.encode())])
    if answer is None:
        return None
    status, headers, body = answer
    return status, {name.decode(): value.decode() for name, value in headers}, body


def said(served: Pages, path: str, query: str = "", **how: str) -> tuple[int, Any]:
    answer = ask(served, path, query, **how)
    assert answer is not None
    assert answer[1]["cache-control"] == "no-store"
    return answer[0], json.loads(answer[2])


@pytest.mark.parametrize("path", [*PAGES, "/docs/", "/playground/", "/playground/vendor/rapidoc-min.js"])
def test_pages_may_load_nothing_from_elsewhere_and_are_framed_by_nobody(served: Pages, path: str):
    answer = ask(served, path)
    assert answer is not None
    status, headers, body = answer
    assert (status, headers["x-content-type-options"]) == (200, "nosniff")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert body
    if path.endswith(".js"):
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        return
    policy = headers["content-security-policy"]
    assert policy.startswith(f"default-src 'self'; connect-src 'self' ws://{LOCAL} wss://{LOCAL};")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy.replace("style-src 'self' 'unsafe-inline'", "") or path == "/docs"
    assert ("'unsafe-inline'" in policy) == path.startswith("/docs")


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;Q=0.5", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("text/*", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=0.000", False),
    ],
)
def test_the_root_is_a_page_for_who_asks_for_html_by_name_and_soras_for_everybody_else(
    served: Pages, accept: str, page: bool
):
    answer = ask(served, "/", accept=accept)
    assert (answer is not None) == page
    if answer is not None:
        assert answer[1]["vary"] == "accept"


def test_the_description_of_the_sockets_is_served_as_it_stands_in_the_repository(served: Pages):
    answer = ask(served, "/asyncapi.yaml", accept="*/*")
    assert answer is not None
    status, headers, body = answer
    assert (status, headers["content-type"]) == (200, "application/yaml; charset=utf-8")
    assert body == (pages.ROOT / "asyncapi.yaml").read_bytes()
    assert body.startswith(b"asyncapi:")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [*PAGES, *SECRETS])
def test_every_other_method_is_for_the_app(served: Pages, method: str, path: str):
    assert ask(served, path, method=method) is None


@pytest.mark.parametrize(
    "path",
    [
        *("/playground/../../../etc/passwd", "/playground/%2e%2e/index.html", "/playground/..%2findex.html"),
        *(
            "//playground/",
            "/playground//",
            "/playground/vendor/",
            "/playground/vendor",
            "/docs/x",
            "/console/",
        ),
        *("/playground/index.html", "/playground/.local/endpoints.json", "/playground/vendor/../style.css"),
        *("/healthz", "/openapi.json", "/v1/rooms", "/rooms", "/index.html", "/infra/pages/index.html"),
    ],
)
def test_no_path_leads_anywhere_but_to_the_files_of_the_pages(served: Pages, path: str):
    assert ask(served, path) is None


@pytest.mark.parametrize("path", SECRETS)
@pytest.mark.parametrize(
    "host",
    [
        *("", "attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example:8080"),
        *("10.0.0.1", "localhost:8080@attacker.example", "::1", "0.0.0.0:8080"),
    ],
)
def test_keys_and_tokens_are_not_told_under_a_name_that_is_not_this_machines(
    served: Pages, path: str, host: str
):
    status, told = said(served, path, "kind=visitor", host=host)
    assert (status, list(told)) == (403, ["message"])


@pytest.mark.parametrize("host", [LOCAL, "localhost", "LOCALHOST:1", "127.0.0.2:80", "[::1]:8080"])
def test_keys_are_told_under_the_names_of_this_machine(served: Pages, credentials: Credentials, host: str):
    status, told = said(served, SECRETS[0], host=host)
    assert status == 200
    assert told == {
        "jitsi": {"base_path": "/waiting-queue", "muc": "conference.meet.local"},
        "owt": {
            "super_service_id": credentials.super_service_id,
            "super_service_key": credentials.super_service_key,
        },
        "sora": {"key": None, "socket_key": None},
    }


@pytest.mark.parametrize(("kind", "claim"), [("visitor", "role"), ("moderator", "moderator")])
def test_tokens_are_what_the_service_takes_and_no_two_are_alike(
    served: Pages, credentials: Credentials, kind: str, claim: str
):
    status, told = said(served, SECRETS[1], f"kind={kind}&room=room1&count=100")
    assert (status, len(set(told["tokens"]))) == (200, 100)
    assert credentials.user_secret
    for token in told["tokens"][:3]:
        claims = jwt.decode(
            token, credentials.user_secret, algorithms=["HS256"], audience="jitsi", issuer="chat"
        )
        assert (claims["room"], bool(claims["context"]["user"][claim])) == ("room1", True)


def test_a_servers_token_is_one_and_is_signed_with_the_servers_key(served: Pages, credentials: Credentials):
    _, told = said(served, SECRETS[1], "kind=server&count=7")
    public = credentials.server_public_path.read_text()
    (token,) = told["tokens"]
    claims = jwt.decode(token, public, algorithms=["RS256"], audience="jitsi", issuer="jitsi")
    assert "context" not in claims


@pytest.mark.parametrize(
    "query",
    [
        *("", "kind=admin", "kind=visitor&count=0", "kind=visitor&count=101", "kind=visitor&count=x"),
        *("kind=visitor&count=-1", "kind=visitor&count=0000000011999", "kind=visitor&count=%C2%B2"),
        f"kind=visitor&room={'r' * 256}",
    ],
)
def test_what_is_no_request_for_tokens_is_refused(served: Pages, query: str):
    assert said(served, SECRETS[1], query)[0] == 400


def test_without_keys_of_ours_the_pages_say_so(credentials: Credentials, monkeypatch: pytest.MonkeyPatch):
    keyless = Pages(settings.load({}))
    assert [said(keyless, path, "kind=visitor")[0] for path in SECRETS] == [409, 409]
    monkeypatch.setenv("JITSI_USER_KEYS", "jwks:https://keys.example.com/")
    folder = str(credentials.server_key_path.parent.parent)
    others = Pages(settings.load({"GATEWAY_CREDENTIALS": folder}))
    status, told = said(others, SECRETS[1], "kind=visitor")
    assert status == 409
    assert "JITSI_USER_KEYS" in told["message"]


def test_no_page_is_there_on_another_stage(monkeypatch: pytest.MonkeyPatch, credentials: Credentials):
    monkeypatch.setenv("FOYER_GATEWAY_SECRET", SECRET)
    folder = str(credentials.server_key_path.parent.parent)
    every = [*pages.files(), *SECRETS, "/playground/", "/docs/"]

    async def main() -> None:
        for stage, statuses in (("dev", {404}), ("local", {200, 403})):
            async with running(FOYER_STAGE=stage, GATEWAY_CREDENTIALS=folder) as gateway:
                answers = [await gateway.request("GET", path, {"Accept": BROWSER}) for path in every]
            assert {answer[0] for answer in answers} == statuses
            if stage == "dev":
                assert {answer[2] for answer in answers} == {NOT_FOUND}

    asyncio.run(main())


def test_a_page_that_is_asked_for_by_head_has_no_body(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FOYER_GATEWAY_SECRET", SECRET)

    async def main() -> None:
        async with running() as gateway:
            status, headers, body = await gateway.request("HEAD", "/docs", {"Accept": BROWSER})
        assert (status, body) == (200, b"")
        assert headers["content-type"] == "text/html; charset=utf-8"

    asyncio.run(main())


class References(html.parser.HTMLParser):
    """What a page loads, and the digests that it demands."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: dict[str, str | None] = {}
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        source = given.get("src") if tag == "script" else given.get("href") if tag == "link" else None
        if source:
            self.loaded[source] = given.get("integrity")
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_what_is_served_and_vendored_code_by_its_digest(served: Pages, path: str):
    known = pages.files()
    found = References()
    found.feed(known[path].path.read_text())
    assert found.inline == []
    for source, integrity in found.loaded.items():
        assert source in known
        vendored = source.startswith("/playground/vendor/")
        assert vendored == (integrity is not None)
        if integrity is not None:
            digest = hashlib.sha384(known[source].path.read_bytes()).digest()
            assert integrity == f"sha384-{base64.b64encode(digest).decode()}"


def test_vendored_code_has_its_licence_and_its_origin_beside_it():
    vendor = pages.FOLDER / "vendor"
    origins = (vendor / "ORIGINS.txt").read_text()
    for path in vendor.glob("*.js"):
        name = path.name.partition("-" if "-" in path.name else ".")[0]
        assert (vendor / f"{name}.LICENSE.txt").stat().st_size > 500
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"^{re.escape(path.name)} +npm:\S+@\d\S* +\S+ +{digest}$", origins, re.MULTILINE)


def test_every_file_of_the_pages_is_served():
    known = {file.path for file in pages.files().values()}
    unserved = {path.name for path in pages.FOLDER.rglob("*") if path.is_file() and path not in known}
    assert unserved <= {"index.html", "docs.html"}
    assert all(isinstance(path, Path) and path.is_file() for path in known)
