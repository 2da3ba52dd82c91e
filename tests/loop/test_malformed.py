"""`Authorization` headers that no client sends: all are 400 or 401 in Loop's words, and cost no write."""

import base64
import json

import pytest

from chalicelib import journal
from tests.loop.api import HOST, STAGE, HawkCaller, serve
from tests.support import hawk

ID = "5fa7b1a9a3266f052b766e956f525b583607e777f264a5bb67b57ed5e34c2c5c"
GOOD = {
    "id": ID,
    "ts": "1700000000",
    "nonce": "abc123",
    "mac": "te+r37Qt8pGj7LfacFgsxULVuLQCokN70X2EkaurqpU=",
}


def header(**changed: str) -> str:
    return hawk.spell(GOOD | changed)


def without(name: str) -> str:
    return hawk.spell({key: text for key, text in GOOD.items() if key != name})


def basic(raw: bytes) -> str:
    return "Basic " + base64.b64encode(raw).decode()


MALFORMED = {
    "the scheme alone": "Hawk",
    "the scheme in capitals alone": "HAWK ",
    "a word": "Hawk id",
    "a pair without quotes": "Hawk id=abc",
    "a pair in single quotes": "Hawk id='abc'",
    "an open quote": header()[:-1],
    "an empty list": "Hawk ,",
    "semicolons": header().replace(",", ";"),
    "no commas": header().replace(",", ""),
    "two commas": header().replace(",", ",,"),
    "blanks around equals": header().replace("=", " = ", 1),
    "a tab for a blank": header().replace(" ", "\t", 1).replace("\t", " \t", 1) + "\t=",
    "no id": without("id"),
    "no ts": without("ts"),
    "no nonce": without("nonce"),
    "no mac": without("mac"),
    "an empty id": header(id=""),
    "an empty ts": header(ts=""),
    "an empty nonce": header(nonce=""),
    "an empty mac": header(mac=""),
    "an empty hash": header(hash=""),
    "an empty ext": header(ext=""),
    "an unknown name": header(realm="x"),
    "a name of answers": header(tsm="x"),
    "a name of challenges": header(error="x"),
    "a name in capitals": header(ID="x"),
    "a name that is none": header(**{"a-b": "x"}),
    "an id twice": header() + f', id="{ID}"',
    "a mac twice": header() + ', mac="x"',
    "a backslash": header(ext="a\\b"),
    "an escaped quote": header(ext='a\\"b'),
    "a quote within": header(ext='a"b'),
    "a line feed": header(ext="a\nb"),
    "a carriage return": header(ext="a\rb"),
    "a zero byte": header(ext="a\0b"),
    "a letter beyond ASCII": header(ext="ä"),
    "a letter beyond ASCII in a name": header(**{"ёxt": "x"}),
    "digits beyond ASCII": header(ts="\u0661\u0667" + "\u0660" * 8),
    "a negative time": header(ts="-1700000000"),
    "a fraction of a time": header(ts="1700000000.5"),
    "a time with an exponent": header(ts="17e8"),
    "a hexadecimal time": header(ts="0x6553f100"),
    "a time that is a word": header(ts="NaN"),
    "a time that is a long word": header(ts="Infinity"),
    "a time that never comes": header(ts="9" * 400),
    "a time with a blank": header(ts=" 1700000000"),
    "a header of five thousand characters": header(ext="x" * 5000),
    "a thousand pairs": "Hawk " + ", ".join(f'x{n}="y"' for n in range(1000)),
    "something behind": header() + " x",
    "something in front": header().replace("Hawk ", "Hawk x, "),
    "two headers in one": header() + ", " + header(),
    "JSON": "Hawk " + json.dumps(GOOD),
}
UNPROVEN = {
    "nothing": "",
    "a blank": " ",
    "a comma behind the scheme": header().replace("Hawk ", "Hawk,"),
    "no blank behind the scheme": header().replace("Hawk ", "Hawk"),
    "another scheme": "Bearer " + ID,
    "the original's other scheme": 'Token token="x"',
    "a scheme beyond ASCII": "Hаwk x",  # noqa: RUF001 - a Cyrillic letter
    "an id that nobody has": header(),
    "an id of other characters": header(id="../../etc/passwd"),
    "an id in capitals": header(id=ID.upper()),
    "a mac that is none": header(mac="x"),
    "a hash that is none": header(hash="x"),
    "Basic alone": "Basic",
    "Basic without base64": "Basic !",
    "Basic of no text": basic(b"\xff\xfe"),
    "Basic of a colon": basic(b":"),
    "Basic with a password": basic(b"T1==x:password"),
    "Basic in two parts": "Basic YTo= YTo=",
}
PLACES = [("GET", "/rooms"), ("POST", "/registration"), ("GET", "/rooms/{room}"), ("POST", "/rooms/{room}")]


@pytest.fixture
def lines(capsys):
    journal.begin()
    return lambda: capsys.readouterr().err.splitlines()


def expected(place: str, given: str) -> set[int]:
    if not given.strip():  # the same as none
        return {200} if place == "/registration" else {401} if place == "/rooms" else {200, 401}
    return {400} if given in MALFORMED.values() else {401}


def test_there_are_fifty_and_more():
    assert len(set(MALFORMED.values())) > 50


@pytest.mark.parametrize("name", [*MALFORMED, *UNPROVEN])
def test_a_header_that_proves_nothing_gets_loops_answer_and_no_write(owner, storage, lines, name):
    given = (MALFORMED | UNPROVEN)[name]
    room = owner.room()
    before = len(storage.calls)
    for method, place in PLACES:
        if not given.strip() and place == "/registration":
            continue
        lines()
        body = b'{"action":"refresh"}' if place == "/rooms/{room}" and method == "POST" else b""
        answer = serve(method, place.replace("{room}", room), body, {"Authorization": given})
        assert answer.status in expected(place, given), answer
        if answer.status == 200:
            continue
        found = answer.json()
        assert (found["code"], found["errno"]) == (answer.status, 110)
        assert set(found) == {"code", "errno", "error"}
        assert answer.header("Server-Authorization") is None
        assert (answer.header("WWW-Authenticate") is None) == (answer.status == 400)
        told = json.dumps(answer.headers) + answer.body + str(lines())
        assert not any(len(word) > 20 and word in told for word in given.split('"'))
    written = [call for call in storage.calls[before:] if call.operation not in ("GetItem", "BatchGetItem")]
    assert written == []


@pytest.mark.parametrize("name", ["mohawk", "Mac", "token", "MAC", "illegal", "Duplicate"])
def test_no_text_of_the_library_reaches_the_peer(owner: HawkCaller, name):
    sent = [header(), header(ext="ä"), header() + ', id="x"', header(ts="1")]
    sent.append(hawk.sign(owner.credentials, "GET", f"/{STAGE}/rooms", HOST, 443, ts="1").header)
    for each in sent:
        answer = serve("GET", "/rooms", headers={"Authorization": each})
        assert name not in answer.body
        assert name not in (answer.header("WWW-Authenticate") or "").replace("Bad mac", "")
