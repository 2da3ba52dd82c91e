"""What an operator may set: what cannot work stops the start, in one line that has no secret in it."""

import pytest

import app
from chalicelib import settings
from chalicelib.wcs import settings as wcs_settings
from chalicelib.wcs.server import WANTED
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


def given_servers(monkeypatch, text):
    monkeypatch.setenv("WCS_SERVERS", text)
    settings.reset()
    return wcs_settings.get()


@pytest.mark.parametrize(
    "text",
    [
        "n1",
        "n1=",
        "=https://wcs.example",
        "https://wcs.example",
        "n1=wcs.example:8444",
        "n1=ftp://wcs.example",
        "n1=https://",
        "n1=https://:8444",
        "n1=https://wcs.example:0",
        "n1=https://wcs.example:65536",
        "n1=https://wcs.example:s3cret",
        "n1=https://wcs example",
        "n1=https://wcs.example/rest-api",
        "n1=https://wcs.example?a=s3cret",
        "n1=https://wcs.example#s3cret",
        "n1=https://s3cret@wcs.example",
        "n1=https://:s3cret@wcs.example",
        "n1=https://ops:@wcs.example",
        "n1=https://ops:s3/cret@wcs.example",
        "n1=https://ops%3As3cret:x@wcs.example",
        "n1=https://ops:s3cret%0A@wcs.example",
        "n1=https://ops:s3cret%FF@wcs.example",
        "n1=https://[fd00::1:8444",
        "n1=https://[s3cret]:8444",
        "n1=https://wcs.example,n2=s3cret",
    ],
)
def test_a_servers_address_has_a_host_and_perhaps_a_port_and_a_login(monkeypatch, text):
    with pytest.raises(settings.BadSetting) as refused:
        given_servers(monkeypatch, text)
    assert str(refused.value) == f"WCS_SERVERS: items like {WANTED}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("n1=https://a.example,n1=https://b.example", "one address for one nodeId"),
        ("n1=http://8.8.8.8:8081", "http to addresses that are not public only"),
        ("n1=http://[2606:4700::1111]", "http to addresses that are not public only"),
    ],
)
def test_a_server_has_one_address_and_no_public_one_without_tls(monkeypatch, text, complaint):
    with pytest.raises(settings.BadSetting) as refused:
        given_servers(monkeypatch, text)
    assert str(refused.value) == f"WCS_SERVERS: {complaint}"


@pytest.mark.parametrize(
    ("item", "address", "login"),
    [
        ("n1=https://wcs.example", "https://wcs.example", None),
        ("n1=https://8.8.8.8:8444/", "https://8.8.8.8:8444", None),
        ("n1=HTTP://10.0.0.5:8081", "http://10.0.0.5:8081", None),
        ("n1=http://wcs.internal:8081", "http://wcs.internal:8081", None),
        ("n1=http://[fd00::1]:8081", "http://[fd00::1]:8081", None),
        ("n1=https://ops:a:b@wcs.example", "https://wcs.example", Login("ops", "a:b")),
        ("n1=https://ops:a@b=@wcs.example", "https://wcs.example", Login("ops", "a@b=")),
        ("n1=https://o%40s:%2C%E2%82%AC@wcs.example:1", "https://wcs.example:1", Login("o@s", ",€")),
    ],
)
def test_a_server_is_called_at_its_address_with_its_login(monkeypatch, item, address, login):
    found = given_servers(monkeypatch, f"n=https://n.example, {item} ,n12=https://m.example").server_of("n1")
    assert found is not None
    assert (found.node, found.address, found.login) == ("n1", address, login)


def test_a_server_is_known_by_the_whole_of_its_node_id(monkeypatch):
    found = given_servers(monkeypatch, "a@10.0.0.1=https://one.example,a=b=https://two.example")
    nodes = ("a@10.0.0.1", "a=b", "a", "a@10.0.0.1=https", "A@10.0.0.1", "")
    assert [each and each.address for each in map(found.server_of, nodes)] == [
        *("https://one.example", "https://two.example"),
        *[None] * 4,
    ]


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
    found = given_servers(monkeypatch, "n1=https://ops:s3cret@wcs.example")
    assert "s3cret" not in repr(found) + repr(found.server_of("n1"))
