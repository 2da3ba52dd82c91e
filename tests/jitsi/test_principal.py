"""To what a token admits its holder."""

import pytest

from chalicelib.jitsi import conference, principal
from chalicelib.jitsi.conference import Rules
from chalicelib.jitsi.errors import NotAllowed

RULES = Rules(prefix="conference", base="meet.local")
ROOM = "room1@conference.meet.local"
ACME = "room1@conference.acme.meet.local"


def user(**claims):
    person = {"role": "visitor"} | claims.pop("user", {})
    base = {"exp": 1, "room": "room1", "sub": "meet.local"}
    return principal.user(base | {"context": {"user": person}} | claims, "hash", False, ())


def allowed(check, who, name, rules=RULES):
    try:
        check(who, conference.parse(name), rules)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize(
    ("claims", "name", "expected"),
    [
        ({}, ROOM, True),
        ({"room": "*"}, ROOM, True),
        ({"room": "ROOM1"}, ROOM, True),
        ({"room": "room2"}, ROOM, False),
        ({"room": 5}, ROOM, False),
        ({"room": None}, ROOM, False),
        ({"room": "möte"}, "m%c3%b6te@conference.meet.local", True),
        ({"room": "M%C3%B6te"}, "m%c3%b6te@conference.meet.local", True),
        ({"room": "room(1)"}, "room(1)@conference.meet.local", True),
        ({"room": "room.*", "context": {"user": {"role": "visitor"}, "room": {"regex": True}}}, ROOM, True),
        ({"room": "room.*"}, ROOM, False),
        ({"room": "(room)", "context": {"user": {"role": "visitor"}, "room": {"regex": True}}}, ROOM, False),
        ({"sub": "*"}, ROOM, True),
        ({"sub": "MEET.local"}, ROOM, True),
        ({"sub": "local"}, ROOM, False),
        ({"sub": None}, ROOM, False),
        ({"sub": "acme"}, ACME, True),
        ({"sub": "ACME"}, ACME, True),
        ({"sub": "meet.local"}, ACME, False),
        ({"sub": "acme"}, ROOM, False),
        ({"sub": "*"}, "room1@conference.evilmeet.local", False),
        ({"sub": "*"}, "room1@muc.meet.local", False),
        ({"user": {"role": "other"}}, ROOM, False),
        ({"user": {"role": None}}, ROOM, False),
    ],
)
def test_a_users_token_waits_only_for_what_its_claims_name(claims, name, expected):
    assert allowed(principal.may_wait, user(**claims), name) is expected


@pytest.mark.parametrize(
    ("moderator", "expected"),
    [
        (True, True),
        ("true", True),
        ("TRUE", True),
        (False, False),
        ("false", False),
        (1, False),
        (None, False),
    ],
)
def test_the_moderator_claim_may_be_a_boolean_or_its_text(moderator, expected):
    who = user(user={"moderator": moderator})
    assert allowed(principal.may_watch, who, ROOM) is expected


def test_further_claims_may_make_a_moderator():
    claims = {"exp": 1, "room": "*", "sub": "*", "context": {"user": {"affiliation": "owner"}}}
    who = principal.user(claims, "hash", False, ("context.user.affiliation=owner",))
    assert allowed(principal.may_watch, who, ROOM)
    assert not allowed(principal.may_watch, principal.user(claims, "hash", False, ()), ROOM)


@pytest.mark.parametrize(
    ("rules", "claims", "expected"),
    [
        (Rules(base="meet.local", verify_domain=False), {"sub": None}, True),
        (Rules(base="meet.local", verify_domain=False), {"sub": "other"}, True),
        (Rules(base="meet.local", require_room_claim=False), {"room": None}, True),
        (Rules(base="meet.local", require_room_claim=False), {"room": "other"}, False),
        (Rules(base="meet.local", any_visitor=True), {"user": {"role": None}}, True),
    ],
)
def test_a_deployment_may_ask_for_less(rules, claims, expected):
    assert allowed(principal.may_wait, user(**claims), ROOM, rules) is expected


def test_a_server_waits_for_any_conference_that_its_token_covers():
    def server(domains=(), **claims):
        return principal.server({"exp": 1} | claims, "hash", False, domains)

    assert allowed(principal.may_wait, server(), ROOM)
    assert allowed(principal.may_wait, server(room="room1"), ROOM)
    assert not allowed(principal.may_wait, server(room="room2"), ROOM)
    assert not allowed(principal.may_wait, server(room=7), ROOM)
    assert allowed(principal.may_wait, server(("meet.local",)), ROOM)
    assert not allowed(principal.may_wait, server(("example.com",)), ROOM)
    assert not allowed(principal.may_watch, server(), ROOM)


def test_nobody_waits_without_a_token_unless_that_is_allowed_and_nobody_ever_watches():
    nobody = principal.Principal()
    assert not allowed(principal.may_wait, nobody, ROOM)
    assert allowed(principal.may_wait, nobody, ROOM, Rules(base="meet.local", anonymous=True))
    assert not allowed(
        principal.may_wait, nobody, "a@conference.x.y", Rules(base="meet.local", anonymous=True)
    )
    assert not allowed(principal.may_watch, nobody, ROOM, Rules(base="meet.local", anonymous=True))


def test_an_expired_token_never_watches():
    claims = {"exp": 1, "room": "*", "sub": "*", "context": {"user": {"moderator": True, "role": "visitor"}}}
    assert not allowed(principal.may_watch, principal.user(claims, "hash", True, ()), ROOM)
    assert allowed(principal.may_wait, principal.user(claims, "hash", True, ()), ROOM)


@pytest.mark.parametrize(
    ("who", "rules", "expected"),
    [
        (principal.Principal(), RULES, False),
        (principal.Principal(), Rules(anonymous=True), True),
        (user(user={"role": "none"}), RULES, False),
        (user(user={"role": "none"}), Rules(any_visitor=True), True),
        (user(user={"role": "none", "moderator": True}), RULES, True),
        (user(room=None), RULES, False),
        (user(room=None), Rules(require_room_claim=False), True),
        (principal.Principal(kind="server"), RULES, True),
    ],
)
def test_connect_refuses_whom_no_destination_could_admit(who, rules, expected):
    try:
        principal.may_connect(who, rules)
    except NotAllowed:
        assert not expected
    else:
        assert expected
