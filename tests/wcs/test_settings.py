"""What an operator may set: what cannot work stops the start, in one line that has no secret in it."""

import pytest

import app
from chalicelib import settings
from chalicelib.wcs import settings as wcs_settings
from chalicelib.wire.basic import Login


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("WCS_NO_SUCH_THING", "1", "WCS_NO_SUCH_THING: there is no such setting"),
        ("WCS_OPEN", "perhaps", "WCS_OPEN: true or false expected"),
        ("WCS_SECRETS", "s3cret", "WCS_SECRETS: items like my_api:secret"),
        ("WCS_SECRETS", "my_api:", "WCS_SECRETS: items like my_api:secret"),
        ("WCS_SECRETS", ":s3cret", "WCS_SECRETS: items like my_api:secret"),
        ("WCS_SECRETS", "my/api:s3cret", "WCS_SECRETS: items like my_api:secret"),
        ("WCS_SECRETS", "a:s3cret1,a:s3cret2,a:s3cret3", "WCS_SECRETS: at most 2 for one api"),
        ("WCS_USERS", "my_api:wcs", "WCS_USERS: items like my_api:user:password"),
        ("WCS_USERS", "my_api::s3cret", "WCS_USERS: items like my_api:user:password"),
        ("WCS_USERS", "a:b:1,a:c:2,a:d:3", "WCS_USERS: at most 2 for one api"),
        ("WCS_API_KEYS", "s3cret", "WCS_API_KEYS: 16 characters or more each, letters, digits and -._~+/="),
        (
            "WCS_API_KEYS",
            "s3cret with blanks in it",
            "WCS_API_KEYS: 16 characters or more each, letters, digits and -._~+/=",
        ),
        ("WCS_API_USERS", "s3cret", "WCS_API_USERS: items like user:password"),
        ("WCS_STALE_AFTER_S", "0", "WCS_STALE_AFTER_S: more than 0, at most WCS_OTHERS_KEPT_S"),
        ("WCS_STALE_AFTER_S", "604801", "WCS_STALE_AFTER_S: more than 0, at most WCS_OTHERS_KEPT_S"),
        ("WCS_FINAL_KEPT_S", "0", "WCS_FINAL_KEPT_S: more than 0"),
        ("WCS_FINAL_KEPT_S", "1.5", "WCS_FINAL_KEPT_S: whole number expected"),
        ("WCS_STATUS_EVENT_CONFIG", "{", "WCS_STATUS_EVENT_CONFIG: The body is not valid JSON"),
        ("WCS_STATUS_EVENT_CONFIG", "[]", "WCS_STATUS_EVENT_CONFIG: an object is expected"),
        ("WCS_STATUS_EVENT_CONFIG", '{"a":""}', "WCS_STATUS_EVENT_CONFIG: one of its names does not exist"),
        (
            "WCS_STATUS_EVENT_CONFIG",
            '{"restOnError":"x"}',
            "WCS_STATUS_EVENT_CONFIG: restOnError cannot be this",
        ),
        (
            "WCS_STATUS_EVENT_CONFIG",
            '{"restExclude":1}',
            "WCS_STATUS_EVENT_CONFIG: restExclude cannot be this",
        ),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(table, monkeypatch, name, text, complaint):
    monkeypatch.setenv(name, text)
    settings.reset()
    with pytest.raises(settings.BadSetting) as refused:
        app.warm()
    assert str(refused.value) == complaint


def test_secrets_and_logins_are_those_of_an_api(monkeypatch):
    monkeypatch.setenv("WCS_SECRETS", "a:1:x, b:2 ,a:3")
    monkeypatch.setenv("WCS_USERS", "a:user:pa:ss")
    monkeypatch.setenv("WCS_API_USERS", "ops:wo:rd,dev:x")
    settings.reset()
    found = wcs_settings.get()
    assert (found.secrets_of("a"), found.secrets_of("b"), found.secrets_of("c")) == (["1:x", "3"], ["2"], [])
    assert found.logins_of("a") == [Login("user", "pa:ss")]
    assert found.api_logins == [Login("ops", "wo:rd"), Login("dev", "x")]


def test_settings_do_not_show_secrets(monkeypatch):
    for name in ("SECRETS", "USERS"):
        monkeypatch.setenv(f"WCS_{name}", "a:s3cret:s3cret")
    monkeypatch.setenv("WCS_API_KEYS", "s3cret-of-16-characters")
    monkeypatch.setenv("WCS_API_USERS", "ops:s3cret")
    settings.reset()
    assert "s3cret" not in repr(wcs_settings.get())
