"""Errors as status and errno (contract 3.2), every row of the table."""

import json

import pytest

from chalicelib import errors as facts
from chalicelib import web
from chalicelib.loop import errors, secrets, spelling
from chalicelib.store import writes
from chalicelib.wire.hawk import Malformed
from chalicelib.wire.untrusted import Malformed as NotJson

SECRETS = "pk=lR5e0d table foyer s3cret Traceback"

TABLE = [
    (errors.InvalidToken, 404, 105),
    (errors.BadJson, 400, 106),
    (errors.NotAcceptable, 406, 106),
    (errors.ValidationError, 400, 107),
    (facts.ValidationError, 400, 107),
    (NotJson, 400, 107),
    (errors.Missing, 400, 108),
    (errors.MalformedAuthorization, 400, 110),
    (errors.Unauthenticated, 401, 110),
    (errors.NotASession, 401, 110),
    (facts.Unauthenticated, 401, 110),
    (errors.NoAccounts, 403, 110),
    (errors.Expired, 410, 111),
    (errors.TooLarge, 413, 113),
    (facts.TooLarge, 413, 113),
    (errors.ClientCapacity, 400, 121),
    (facts.Unavailable, 503, 201),
    (errors.RoomFull, 400, 202),
    (errors.NotInRoom, 400, 203),
    (errors.Forbidden, 403, 999),
    (facts.Forbidden, 403, 999),
    (errors.UnknownPath, 404, 999),
    (facts.NotFound, 404, 999),
    (facts.Throttled, 429, 999),
    (facts.Conflict, 500, 999),
    (facts.AppError, 500, 999),
]


@pytest.mark.parametrize(("kind", "status", "errno"), TABLE)
def test_each_error_has_its_status_and_errno(kind, status, errno):
    reply = spelling.spell(kind("a text"))
    document = json.loads(reply.body)
    assert (reply.status, document.pop("code"), document.pop("errno")) == (status, status, errno)
    assert list(document) == ["error"]
    assert document["error"]
    assert reply.notes == {"errno": errno}
    assert reply.headers["Content-Type"] == "application/json"
    assert spelling.number(kind("a text")) == (status, errno)


@pytest.mark.parametrize("error", [writes.Refused(None), writes.Cancelled({}), web.Unforeseen()])
def test_what_nobody_foresaw_is_ours(error):
    assert spelling.number(error) == (500, 999)


def test_a_secret_that_cannot_be_had_is_no_failure_of_authentication():
    assert spelling.number(secrets.CannotOpen()) == (503, 201)


@pytest.mark.parametrize("kind", [kind for kind, status, _ in TABLE if status in (429, 503)])
def test_who_shall_come_again_is_told_when(kind):
    assert spelling.spell(kind("x")).headers["Retry-After"] == "30"


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (errors.Unauthenticated("x"), "Hawk"),
        (errors.Unauthenticated("x", 'Hawk error="Bad mac"'), 'Hawk error="Bad mac"'),
        (errors.NotASession(), errors.BASIC),
        (facts.Unauthenticated("x"), "Hawk"),
    ],
)
def test_every_401_says_what_is_asked_for(error, challenge):
    assert spelling.spell(error).headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("kind", [kind for kind, _, errno in TABLE if errno not in (106, 107, 108, 113)])
def test_what_an_error_says_of_our_inside_does_not_reach_the_peer(kind):
    assert SECRETS not in str(spelling.spell(kind(SECRETS)).body)


@pytest.mark.parametrize("kind", [errors.ValidationError, errors.Missing, errors.BadJson])
def test_what_an_error_says_of_a_body_does(kind):
    assert "maxSize" in str(spelling.spell(kind("maxSize is missing")).body)


def test_no_text_of_the_codec_reaches_the_peer():
    assert issubclass(Malformed, facts.ValidationError)
    assert not issubclass(errors.MalformedAuthorization, Malformed)
