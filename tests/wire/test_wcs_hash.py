"""The signature of WCS hooks, on the contract's own values."""

import hashlib

import pytest

from chalicelib.wire import wcs_hash
from chalicelib.wire.wcs_hash import NotSigned

SECRET = "1234567890"
BODY = b'{"a":1}'
DIGITS = "ea43e4f8c69b846c217954a35cf3bec3"


def by_hand(secret: bytes, body: bytes) -> str:
    """HMAC as RFC 2104 has it."""
    key = secret if len(secret) <= 64 else hashlib.md5(secret).digest()
    key = key.ljust(64, b"\0")
    inner = hashlib.md5(bytes(each ^ 0x36 for each in key) + body).digest()
    return hashlib.md5(bytes(each ^ 0x5C for each in key) + inner).hexdigest()


def test_the_contracts_test_value():
    assert wcs_hash.sign(SECRET, BODY) == DIGITS == by_hand(SECRET.encode(), BODY)


@pytest.mark.parametrize("secret", ["a", "é" * 40, "x" * 200])
def test_any_secret_signs_as_the_rfc_has_it(secret):
    assert wcs_hash.sign(secret, b"\0\xff") == by_hand(secret.encode(), b"\0\xff")


@pytest.mark.parametrize("given", [f"WCS {DIGITS}", f"wcs {DIGITS.upper()}", f"  WCS   {DIGITS} "])
def test_digits_may_have_either_case(given):
    assert wcs_hash.parse(given) == DIGITS


@pytest.mark.parametrize(
    "given",
    [None, "", "WCS", "WCS ", DIGITS, f"Bearer {DIGITS}", f"WCS {DIGITS}0", f"WCS {DIGITS[:-1]}g", "WCS é"],
)
def test_what_is_not_of_the_form_is_refused(given):
    with pytest.raises(NotSigned) as refused:
        wcs_hash.parse(given)
    assert refused.value.reason
    assert str(refused.value) == "The request is not signed"


def test_the_very_bytes_are_signed():
    assert wcs_hash.signed(DIGITS, [SECRET], BODY)
    assert not wcs_hash.signed(DIGITS, [SECRET], b'{"a": 1}')
    assert not wcs_hash.signed(DIGITS, ["another"], BODY)
    assert not wcs_hash.signed(DIGITS, [], BODY)


def test_either_of_two_secrets_counts():
    assert wcs_hash.signed(DIGITS, ["another", SECRET], BODY)
    assert wcs_hash.signed(DIGITS, [SECRET, "another"], BODY)
