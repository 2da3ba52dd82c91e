"""Replies and errors as contract sections 1 and 2 spell them."""

import json

import pytest

from chalicelib import errors as facts
from chalicelib import web
from chalicelib.owt import errors, spelling
from chalicelib.store import writes
from chalicelib.wire.mauth import NotProven
from chalicelib.wire.untrusted import Malformed

SECRETS = "pk=o5e0d table foyer s3cret Traceback"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.BadData("x"), 400, 1301),
        (facts.ValidationError("x"), 400, 1301),
        (facts.TooLarge("x"), 400, 1301),
        (Malformed("x"), 400, 1301),
        (facts.Unauthenticated("x"), 401, 1101),
        (NotProven("x"), 401, 1101),
        (errors.NotPermitted("x"), 403, 1102),
        (facts.Forbidden("x"), 403, 1102),
        (errors.NoResource("x"), 404, 1001),
        (facts.NotFound("x"), 404, 1001),
        (errors.NoService("x"), 404, 1002),
        (errors.NoRoom("x"), 404, 1003),
        (errors.NoStream("x"), 404, 1004),
        (errors.NoParticipant("x"), 404, 1005),
        (errors.Refused("x"), 500, 1201),
        (facts.Unavailable("x"), 500, 1401),
        (facts.Conflict("x"), 500, 2001),
        (writes.Refused(None), 500, 2001),
        (writes.Cancelled({}), 500, 2001),
        (web.Unforeseen(), 500, 2001),
    ],
)
def test_d01_each_error_has_its_status_and_code(error, status, code):
    reply = spelling.spell(error)
    document = json.loads(reply.body)
    assert (reply.status, document["error"]["code"]) == (status, code)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message"}
    assert document["error"]["message"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (facts.Unauthenticated("x"), 'WWW-Authenticate: MAuth realm="http://marte3.dit.upm.es"'),
        (errors.NotPermitted("x"), "Permission denied"),
        (errors.NoResource("x"), "Resource not found"),
        (errors.NoService("x"), "Service not found"),
        (errors.NoRoom("x"), "Room not found"),
        (errors.NoStream("x"), "Stream not found"),
        (errors.NoParticipant("x"), "Participant not found"),
        (errors.BadData("mp4 needs aac audio"), "mp4 needs aac audio"),
        (errors.BadData(), "Invalid request body"),
        (errors.Refused(), "Operation failed"),
    ],
)
def test_messages_are_those_of_the_original(error, message):
    assert json.loads(spelling.spell(error).body)["error"]["message"] == message


@pytest.mark.parametrize(
    "kind",
    [
        facts.AppError,
        facts.Unauthenticated,
        facts.Forbidden,
        facts.NotFound,
        facts.Conflict,
        facts.Throttled,
        facts.Unavailable,
        errors.NoRoom,
    ],
)
def test_what_an_error_says_of_our_inside_does_not_reach_the_peer(kind):
    assert SECRETS not in str(spelling.spell(kind(SECRETS)).body)


@pytest.mark.parametrize(
    "reply",
    [
        spelling.document({"a": 1}),
        spelling.document([], 200),
        spelling.text("Room deleted"),
        spelling.empty(),
        spelling.preflight(),
        spelling.spell(facts.Unauthenticated()),
        spelling.spell(web.Unforeseen()),
    ],
)
def test_every_reply_may_be_read_by_a_page_of_any_origin(reply):
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    methods = reply.headers["Access-Control-Allow-Methods"].split(", ")
    assert sorted(methods) == ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
    assert {"origin", "authorization", "content-type"} <= set(
        reply.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert "Access-Control-Allow-Credentials" not in reply.headers


def test_no_reply_has_a_header_for_authentication():
    assert "WWW-Authenticate" not in spelling.spell(facts.Unauthenticated()).headers


def test_documents_are_json_and_texts_have_no_quotes():
    assert spelling.document([]).headers["Content-Type"] == "application/json"
    text = spelling.text("Room deleted")
    assert (text.status, text.body) == (200, "Room deleted")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert (spelling.empty().status, spelling.empty().body) == (200, "")
