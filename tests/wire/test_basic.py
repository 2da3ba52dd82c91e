"""Basic on literal headers."""

import base64

import pytest

from chalicelib.wire import basic
from chalicelib.wire.basic import Login, NotBasic


def header(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return "Basic " + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("given", "login"),
    [
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Login("Aladdin", "open sesame")),
        ("Basic dGVzdDoxMjPCow==", Login("test", "123£")),
        ("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ", Login("Aladdin", "open sesame")),
        (header("a:b:c"), Login("a", "b:c")),
        (header(":"), Login("", "")),
    ],
)
def test_a_header_has_a_name_and_a_password(given, login):
    assert basic.parse(given) == login


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer QTpi",
        "Basic QTpi!",
        "Basic Q",
        "Basic QTpi QTpi",
        "Basic QTpé",
        "Basic " + "QTpi" * 4096,
        header("nocolon"),
        header(b"\xff:\xfe"),
        header("a:\0"),
        header("a\n:b"),
    ],
)
def test_what_is_not_of_the_form_is_refused(given):
    with pytest.raises(NotBasic) as refused:
        basic.parse(given)
    assert refused.value.reason
    assert str(refused.value) == "User name and password are expected"


def test_both_parts_count():
    known = Login("a", "b")
    assert basic.same(Login("a", "b"), known)
    assert not basic.same(Login("a", "c"), known)
    assert not basic.same(Login("c", "b"), known)
    assert not basic.same(Login("é", "b"), known)


def test_a_login_does_not_show_its_password():
    assert "s3cret" not in repr(Login("a", "s3cret"))
