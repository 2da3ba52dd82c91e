"""Keys: who may use which door, and that none is open unless a deployment says so (contract 1.3)."""

import json

import pytest

from chalicelib.errors import Unauthenticated
from chalicelib.settings import BadSetting
from chalicelib.sora import auth, settings
from tests.owt.api import serve
from tests.sora.api import LIST, VERSION, given, rpc

UNAUTHORIZED = (401, {"error_type": "Unauthorized"})
EVENT = json.dumps({"type": "spotlight.focused"}).encode()


@pytest.fixture(autouse=True)
def _closed(table, monkeypatch):
    given(monkeypatch, OPEN="false", SOCKET_OPEN="false")


def asked(**headers):
    answer = rpc(LIST, {"channel_id": "x"}, headers)
    return answer.status, answer.json()


def told(query="", **headers):
    return serve("POST", f"/sora/event{query}", EVENT, headers).status


def listens(token):
    try:
        auth.authenticate_socket(token)
    except Unauthenticated:
        return False
    return True


def test_without_keys_every_door_is_closed():
    for header in ("Bearer x", "Bearer ", "", "Basic eDp5"):
        assert asked(Authorization=header) == UNAUTHORIZED
        assert told(Authorization=header) == 401
    assert told("?key=") == 401
    assert not listens("")
    assert not listens(None)


def test_a_deployment_may_say_that_every_door_is_open(monkeypatch):
    given(monkeypatch, OPEN="1")
    assert asked() == (200, [])
    assert told() == 200
    assert listens(None)


def test_one_of_the_keys_opens_the_api(monkeypatch):
    given(monkeypatch, API_KEYS="old,new")
    assert asked(Authorization="Bearer old") == (200, [])
    assert asked(AUTHORIZATION="bearer new") == (200, [])
    for wrong in ("Bearer other", "Bearer ol", "Bearer old,new", "Bearer old new", "Basic old", "old"):
        assert asked(Authorization=wrong) == UNAUTHORIZED


def test_credentials_are_looked_at_before_anything_else(monkeypatch):
    given(monkeypatch, API_KEYS="k", CORS_ORIGIN="https://app.example.com")
    for method, body, headers in (
        ("POST", b"", {}),
        ("POST", b"{", {"x-sora-target": "x"}),
        ("POST", b" " * (6 * 1024 * 1024 + 1), {"x-sora-target": f"{VERSION}.{LIST}"}),
        ("GET", b"", {}),
        ("DELETE", b"", {}),
    ):
        answer = serve(method, "/", body, headers)
        assert (answer.status, answer.json()) == UNAUTHORIZED
        assert answer.header("www-authenticate") == "Bearer"
    assert serve("OPTIONS", "/").status == 204


def test_a_media_server_may_bring_its_key_in_the_url(monkeypatch):
    given(monkeypatch, API_KEYS="api", EVENT_KEYS="e1,e2")
    assert told("?key=e1") == 200
    assert told("?a=b&key=e2") == 200
    assert told(Authorization="Bearer e2") == 200
    assert told("?key=e2", Authorization="Basic eDp5") == 200
    for query in ("?key=api", "?key=", "?key=e1e2", "?Key=e1", "?key=%F0%9F%98%80", "?key=%ED%A0%80"):
        assert told(query) == 401
    assert asked(Authorization="Bearer e1") == UNAUTHORIZED


def test_without_keys_of_its_own_the_webhook_takes_those_of_the_api(monkeypatch):
    given(monkeypatch, API_KEYS="api")
    assert told(Authorization="Bearer api") == 200


def test_a_key_of_a_url_or_header_is_in_no_log(monkeypatch, capfd):
    given(monkeypatch, EVENT_KEYS="right")
    for key in ("right", "canary-wrong"):
        told(f"?key={key}")
        told(Authorization=f"Bearer {key}")
    logged = capfd.readouterr().err
    assert "right" not in logged
    assert "canary" not in logged


def test_who_listens_has_keys_of_its_own(monkeypatch):
    given(monkeypatch, API_KEYS="api", SOCKET_KEYS="s1,s2")
    assert listens("s2")
    for wrong in ("api", "", None, 1, ["s1"], {"s1": 1}, "\ud800"):
        assert not listens(wrong)
    given(monkeypatch, SOCKET_OPEN="true")
    assert listens(None)
    assert asked() == UNAUTHORIZED


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("API_KEYS", "a key", "SORA_API_KEYS: keys of letters, digits and -._~+/"),
        ("SOCKET_KEYS", "é", "SORA_SOCKET_KEYS: keys of letters, digits and -._~+/"),
        ("CORS_ORIGIN", "a b", "SORA_CORS_ORIGIN: one origin like https://app.example.com"),
        ("UPSTREAM_URL", "sora:3000", "SORA_UPSTREAM_URL: an address like https://sora.example.com:3000/"),
        ("UPSTREAM_URL", "http://a:b", "SORA_UPSTREAM_URL: an address like https://sora.example.com:3000/"),
        ("UPSTREAM_KEY", "\n", "SORA_UPSTREAM_KEY: a key of letters, digits and -._~+/"),
        ("METADATA_LIMIT", "122881", "SORA_METADATA_LIMIT: between 2 and 122880"),
        ("TOMBSTONE_SECONDS", "3599", "SORA_TOMBSTONE_SECONDS: 3600 or more"),
        ("OPENED", "1", "SORA_OPENED: there is no such setting"),
    ],
)
def test_a_bad_setting_is_named_and_not_shown(monkeypatch, name, text, complaint):
    given(monkeypatch, **{name: text})
    with pytest.raises(BadSetting) as refused:
        settings.get()
    assert str(refused.value) == complaint


def test_no_key_is_in_the_representation_of_the_settings(monkeypatch):
    given(monkeypatch, API_KEYS="canary", EVENT_KEYS="canary", SOCKET_KEYS="canary", UPSTREAM_KEY="canary")
    assert "canary" not in repr(settings.get())
