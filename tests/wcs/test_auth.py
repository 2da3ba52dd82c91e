"""Who may tell, and who may ask (contract section 4): every refusal says why in the log, and only there."""

import base64
from typing import Any

import pytest

from chalicelib import settings
from tests.wcs.server import EVENT, Server, User, error, event, kept, ok, spell

SECRET = "1234567890"
KEY = "a-key-of-16-chars-or-more"


@pytest.fixture
def given(table, monkeypatch):
    """Set settings of ours, on a stage that is not open."""
    monkeypatch.setenv("FOYER_STAGE", "dev")

    def give(**values: str) -> None:
        for name, text in values.items():
            monkeypatch.setenv(name, text)
        settings.reset()

    give()
    return give


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def wcs(digits: str) -> dict[str, str]:
    return {"Authorization": f"WCS {digits}"}


BODY = b'{"a":1}'
DIGITS = "ea43e4f8c69b846c217954a35cf3bec3"


# Hooks


def test_the_local_stage_is_open(server):
    assert ok(server.post("connect", BODY, basic("any", "body")))
    assert ok(Server("another").post("call", BODY))


def test_an_api_that_is_not_set_up_is_refused(given, caplog):
    answer = Server().post("StreamStatusEvent", spell(event()))
    assert error(answer) == 403
    assert answer.header("www-authenticate") is None
    assert (
        "'my_api' was refused: it has neither WCS_SECRETS nor WCS_USERS, and WCS_OPEN is not set"
        in caplog.text
    )


def test_a_deployment_can_say_that_it_is_open(given):
    given(WCS_OPEN="true")
    assert ok(Server().post("call", BODY))


def test_an_api_with_a_secret_is_closed_wherever_others_are_open(given):
    given(WCS_OPEN="true", WCS_SECRETS=f"my_api:{SECRET}")
    assert error(Server().post("call", BODY)) == 403
    assert ok(Server("another").post("call", BODY))
    given(FOYER_STAGE="local", WCS_OPEN="false")
    assert error(Server().post("call", BODY)) == 403
    assert ok(Server("another").post("call", BODY))


@pytest.mark.parametrize("digits", [DIGITS, DIGITS.upper(), f" {DIGITS} "])
def test_a_signature_of_the_bytes_lets_a_hook_pass(given, digits):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    assert ok(Server().post("publishStream", BODY, wcs(digits)))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        (wcs(""), BODY),
        (wcs(DIGITS), b'{"a": 1}'),
        (wcs(DIGITS), b'{"a":1}\n'),
        (wcs(DIGITS[:-1]), BODY),
        (wcs("0" * 32), BODY),
        (wcs("g" * 32), BODY),
        ({"Authorization": DIGITS}, BODY),
        ({"Authorization": f"Bearer {DIGITS}"}, BODY),
        (basic("WCS", DIGITS), BODY),
    ],
)
@pytest.mark.parametrize("hook", ["StreamStatusEvent", "connect", "StreamKeepAliveEvent", "call"])
def test_no_or_another_signature_is_a_403(given, caplog, headers, body, hook):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    assert error(Server().post(hook, body, headers)) == 403
    assert "a hook of 'my_api' was refused: " in caplog.text
    assert SECRET not in caplog.text
    assert DIGITS not in caplog.text


def test_a_signature_is_checked_before_the_body_is_read(given):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    assert error(Server().post("call", b"{", wcs(DIGITS))) == 403
    assert error(Server(secret=SECRET).post("call", b"{")) == 400


def test_nothing_is_kept_of_an_event_that_is_refused(given, table):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    assert error(Server(secret="another").post("StreamStatusEvent", spell(event()))) == 403
    assert table.rows() == []


def test_the_documented_event_can_be_signed(given):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    Server(secret=SECRET).tell()


def test_two_secrets_of_an_api_count_while_they_change(given):
    given(WCS_SECRETS=f"my_api:{SECRET}, my_api:n:e-w , other:third")
    for secret in (SECRET, "n:e-w"):
        Server(secret=secret).tell()
    Server("other", "third").tell()
    assert error(Server(secret="third").say()) == 403
    assert error(Server("other", SECRET).say()) == 403


@pytest.mark.parametrize("api", ["my_api", "my%5Fapi", "%6dy_api"])
def test_an_api_is_the_same_however_its_name_is_encoded(given, api):
    given(WCS_SECRETS=f"my_api:{SECRET}", WCS_OPEN="true")
    assert error(Server(api).say()) == 403
    Server(api, SECRET).tell()


def test_a_login_lets_a_hook_pass(given):
    given(WCS_USERS="my_api:wcs:pa:ss")
    assert ok(Server().post("call", BODY, basic("wcs", "pa:ss")))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        wcs(DIGITS),
        basic("wcs", "another"),
        basic("another", "pass"),
        basic("", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer pass"},
    ],
)
def test_no_or_another_login_is_a_401(given, caplog, headers):
    given(WCS_USERS="my_api:wcs:pass")
    answer = Server().post("call", BODY, headers)
    assert error(answer) == 401
    assert answer.header("www-authenticate") == 'Basic realm="wcs"'
    assert "a hook of 'my_api' was refused: " in caplog.text


def test_an_api_may_have_secrets_and_logins(given):
    given(WCS_SECRETS=f"my_api:{SECRET}", WCS_USERS="my_api:wcs:old,my_api:wcs:new")
    assert ok(Server(secret=SECRET).post("call", BODY))
    assert ok(Server().post("call", BODY, basic("wcs", "old")))
    assert ok(Server().post("call", BODY, basic("wcs", "new")))
    assert error(Server(secret="x").post("call", BODY)) == 403
    assert error(Server().post("call", BODY, basic("wcs", "x"))) == 401
    assert error(Server().post("call", BODY)) == 401


def test_a_hook_that_nobody_has_is_a_404_whoever_calls(given):
    given(WCS_SECRETS=f"my_api:{SECRET}")
    assert error(Server().post("a1", BODY)) == 404


# The stream API

CALLS: tuple[tuple[str, Any], ...] = (("find_all", None), ("find", {}), ("terminate", {"name": "b4e7"}))


def test_on_the_local_stage_anybody_may_ask(server):
    server.tell()
    for path, body in CALLS:
        ok(User().post(path, body))


@pytest.mark.parametrize("wcs_open", ["false", "true"])
def test_elsewhere_nobody_may_ask_without_a_setting(given, caplog, wcs_open):
    given(WCS_OPEN=wcs_open)
    for path, body in CALLS:
        assert error(User().post(path, body)) == 401
    assert "neither WCS_API_KEYS nor WCS_API_USERS is set" in caplog.text


def test_a_key_or_a_login_lets_one_ask(given):
    given(WCS_SECRETS=f"my_api:{SECRET}", WCS_API_KEYS=f"{KEY},{KEY}2", WCS_API_USERS="ops:pa:ss")
    Server(secret=SECRET).tell()
    for authorization in (
        *(f"Bearer {KEY}", f"bearer {KEY}2"),
        basic("ops", "pa:ss")["Authorization"],
    ):
        assert User(authorization).one() == kept()


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        f"Bearer {KEY}3",
        "Bearer",
        KEY,
        f"Basic {KEY}",
        *basic("ops", "x").values(),
        "Bearer é",
        f"WCS {DIGITS}",
    ],
)
def test_another_key_or_login_is_a_401(given, caplog, authorization):
    given(WCS_OPEN="true", WCS_API_KEYS=KEY, WCS_API_USERS="ops:pass")
    Server().tell()
    for path, body in CALLS:
        answer = User(authorization).post(path, body)
        assert error(answer) == 401
        assert answer.header("www-authenticate") == 'Bearer, Basic realm="wcs"'
        assert EVENT["name"] not in answer.body
    assert "a call of the stream API was refused: " in caplog.text
    assert KEY not in caplog.text


def test_keys_of_users_are_not_for_servers_and_the_other_way_round(given):
    given(
        WCS_SECRETS=f"my_api:{SECRET}",
        WCS_USERS="my_api:wcs:pass",
        WCS_API_KEYS=KEY,
        WCS_API_USERS="ops:word",
    )
    assert error(Server().post("call", BODY, basic("ops", "word"))) == 401
    assert error(Server().post("call", BODY, {"Authorization": f"Bearer {KEY}"})) == 401
    assert error(User(basic("wcs", "pass")["Authorization"]).post("find_all")) == 401
    assert error(User(f"Bearer {SECRET}").post("find_all")) == 401


def test_who_may_not_ask_is_told_nothing_of_the_body(given):
    given(WCS_API_KEYS=KEY)
    assert error(User().post("terminate", raw=b"{")) == 401
    assert error(User(f"Bearer {KEY}").post("terminate", raw=b"{")) == 400
