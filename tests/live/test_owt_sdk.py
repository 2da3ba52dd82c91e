"""The requests of OWT's JavaScript REST SDK, byte by byte, on the gateway's socket (contract 14)."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import mauth

MEDIA = '{"audio":{"from":"{stream}"},"video":{"from":"{stream}"}}'
SOURCE = (
    '{"connection":{"url":"rtsp://127.0.0.1/a","transportProtocol":"udp","bufferSize":2048},'
    '"media":{"audio":"auto","video":true}}'
)
PATCH_VIEW = '[{"op":"add","path":"/info/inViews","value":"common"}]'
PATCH_FROM = '[{"op":"replace","path":"/media/audio/from","value":"{room}-common"}]'
PATCH_SAME = PATCH_FROM.replace("{room}-common", "{stream}")
SIP = (
    '{"peerURI":"sip:a@b","mediaIn":{"audio":true,"video":false},'
    '"mediaOut":{"audio":{"from":"{stream}"},"video":false}}'
)
ROOM = '{"name":"sampleRoom","options":{"sip":{"sipServer":"s","username":"u","password":"p"}}}'

# Method, path, body, and what of the answer is remembered under which name.
SESSION: list[tuple[str, str, str, str]] = [
    ("GET", "/v1/rooms?page=1&per_page=100", "", ""),
    ("POST", "/v1/rooms", ROOM, "room:_id"),
    ("GET", "/v1/rooms/{room}", "", ""),
    ("PUT", "/v1/rooms/{room}", '{"participantLimit":9}', ""),
    ("POST", "/v1/rooms/{room}/tokens/", '{"user":"u","role":"presenter"}', ""),
    ("GET", "/v1/rooms/{room}/participants/", "", ""),
    ("GET", "/v1/rooms/{room}/streams/", "", ""),
    ("POST", "/v1/rooms/{room}/streaming-ins/", SOURCE, "stream:id"),
    ("GET", "/v1/rooms/{room}/streams/{stream}", "", ""),
    ("PATCH", "/v1/rooms/{room}/streams/{stream}", PATCH_VIEW, ""),
    ("POST", "/v1/rooms/{room}/streaming-outs/", f'{{"url":"rtmp://127.0.0.1/b","media":{MEDIA}}}', "out:id"),
    ("GET", "/v1/rooms/{room}/streaming-outs/", "", ""),
    ("PATCH", "/v1/rooms/{room}/streaming-outs/{out}", PATCH_FROM, ""),
    ("DELETE", "/v1/rooms/{room}/streaming-outs/{out}", "", ""),
    ("POST", "/v1/rooms/{room}/recordings/", f'{{"container":"mkv","media":{MEDIA}}}', "recording:id"),
    ("GET", "/v1/rooms/{room}/recordings/", "", ""),
    ("PATCH", "/v1/rooms/{room}/recordings/{recording}", PATCH_SAME, ""),
    ("DELETE", "/v1/rooms/{room}/recordings/{recording}", "", ""),
    ("POST", "/v1/rooms/{room}/sipcalls/", SIP, "call:id"),
    ("GET", "/v1/rooms/{room}/sipcalls/", "", ""),
    ("PATCH", "/v1/rooms/{room}/sipcalls/{call}", PATCH_SAME.replace("/media", "/output/media"), ""),
    ("GET", "/v1/rooms/{room}/participants/{call}", "", ""),
    (
        "PATCH",
        "/v1/rooms/{room}/participants/{call}",
        '[{"op":"replace","path":"/permission/publish/audio","value":false}]',
        "",
    ),
    ("DELETE", "/v1/rooms/{room}/sipcalls/{call}", "", ""),
    ("POST", "/v1/rooms/{room}/analytics/", f'{{"algorithm":"dummy","media":{MEDIA}}}', "analytic:id"),
    ("GET", "/v1/rooms/{room}/analytics/", "", ""),
    ("DELETE", "/v1/rooms/{room}/analytics/{analytic}", "", ""),
    ("DELETE", "/v1/rooms/{room}/streaming-ins/{stream}", "", ""),
    ("DELETE", "/v1/rooms/{room}", "", ""),
]
TEXTS = {"DELETE"}


def exchange(base: str, request: bytes) -> tuple[int, str]:
    """Send these bytes and read the answer to its end: status and body."""
    address = urlsplit(base)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as raw:
        raw.sendall(request)
        answer = b""
        while got := raw.recv(65536):
            answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body.decode()


@pytest.fixture
def service(gateway, stack) -> tuple[str, str, str]:
    """A running gateway's address, and id and key of the super service."""
    environ = stack.environment
    return gateway().http, environ["OWT_SUPER_SERVICE_ID"], environ["OWT_SUPER_SERVICE_KEY"]


def test_a_session_of_the_sdk_succeeds_from_the_first_request_to_the_last(service):
    base, identity, key = service
    known: dict[str, str] = {}

    def filled(text: str) -> str:
        for name, value in known.items():
            text = text.replace("{" + name + "}", value)
        return text

    for method, path, body, kept in SESSION:
        payload = filled(body).encode()
        kind = "application/json" if payload else "text/plain;charset=UTF-8"
        header = mauth.header(identity, key)
        assert ", " not in header, "the SDK puts no blanks after commas"
        lines = [
            f"{method} {filled(path)} HTTP/1.1",
            f"Host: {urlsplit(base).netloc}",
            f"Content-Type: {kind}",
            f"Authorization: {header}",
            f"Content-Length: {len(payload)}",
            "Connection: close",
        ]
        status, answer = exchange(base, "\r\n".join([*lines, "", ""]).encode() + payload)
        assert status == 200, (method, path, answer)
        if method in TEXTS:
            assert answer == ("Room deleted" if path == "/v1/rooms/{room}" else ""), (method, path)
        elif path.endswith("tokens/"):
            assert answer
            assert '"' not in answer
        else:
            found: Any = json.loads(answer)
            if kept:
                name, _, field = kept.partition(":")
                known[name] = found[field]
    assert set(known) == {"room", "stream", "out", "recording", "call", "analytic"}
