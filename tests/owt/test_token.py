"""Join tokens: their text, their rows, and that each is redeemed once (contract section 13)."""

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

import pytest

from chalicelib import clock, settings
from chalicelib.owt import token
from chalicelib.owt.errors import BadData, NoToken
from chalicelib.owt.store import children, rooms, tokens
from chalicelib.owt.token import NewToken, Portal
from tests.owt import documents
from tests.owt.test_services import at_once
from tests.support.counts import full
from tests.support.storage import listening

SERVICE = "5e0d0c0a0b0c0d0e0f101112"
ID = "6b026e56401e97f54448416b"
SECRET = "0123456789abcdef"
NEW = NewToken("alice", "presenter")
ROUNDS = full(10, 200)


def decoded(text: str) -> dict[str, object]:
    found = json.loads(base64.b64decode(text, validate=True))
    assert isinstance(found, dict)
    return found


def signature(text: str) -> str:
    """As the original's JavaScript makes it."""
    digits = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return base64.b64encode(digits.encode()).decode()


class TestText:
    def test_it_is_base64_of_json_that_names_the_portal_and_is_signed(self):
        text = token.spell(ID, Portal("portal.example:8080", True), SECRET)
        assert text.startswith("eyJ0b2tlbklkIjoiNmIwMjZlNTY0MDFlOTdmNTQ0NDg0MTZiIiwiaG9zdCI6")
        assert decoded(text) == {
            "tokenId": ID,
            "host": "portal.example:8080",
            "secure": True,
            "signature": signature(f"{ID},portal.example:8080,undefined"),
        }

    def test_a_webtransport_url_is_named_and_signed(self):
        text = token.spell(ID, Portal("p:1", False, "https://quic.example:7700"), SECRET)
        assert decoded(text) == {
            "tokenId": ID,
            "host": "p:1",
            "secure": False,
            "webTransportUrl": "https://quic.example:7700",
            "signature": signature(f"{ID},p:1,https://quic.example:7700"),
        }


class TestRequest:
    def test_user_and_role_come_from_the_body(self):
        body: Any = {"user": "alice", "role": "presenter", "preference": {"isp": "i", "region": "r"}, "x": 1}
        assert token.parse_new(body, None, None) == NewToken("alice", "presenter", "i", "r")

    @pytest.mark.parametrize("more", [{}, {"preference": None}, {"preference": {}}])
    def test_without_a_preference_there_is_the_originals(self, more):
        found = token.parse_new({"user": "alice", "role": "presenter"} | more, None, None)
        assert (found.isp, found.region) == ("isp", "region")

    @pytest.mark.parametrize(
        "body", [None, {}, {"user": "mallory", "role": "viewer"}, {"user": 1, "role": None}]
    )
    def test_d21_a_user_and_role_of_the_header_win(self, body):
        assert token.parse_new(body, "alice", "presenter") == NEW

    def test_a_preference_counts_beside_the_headers_user(self):
        assert token.parse_new({"preference": {"isp": "i"}}, "alice", "presenter").isp == "i"

    @pytest.mark.parametrize(
        "body",
        [
            *(None, [], "alice", 1, {}),
            {"user": "alice"},
            {"role": "presenter"},
            {"user": "", "role": "presenter"},
            {"user": "alice", "role": ""},
            {"user": 1, "role": "presenter"},
            {"user": None, "role": "presenter"},
            {"user": "alice", "role": ["presenter"]},
            {"user": "a" * 1025, "role": "presenter"},
        ],
    )
    def test_anything_else_is_refused(self, body):
        with pytest.raises(BadData):
            token.parse_new(body, None, None)

    @pytest.mark.parametrize(
        "preference", ["isp", 1, True, [], {"isp": 1}, {"region": None}, {"isp": {}}, {"isp": "x" * 257}]
    )
    def test_a_preference_is_an_object_of_texts(self, preference):
        body = {"user": "alice", "role": "presenter", "preference": preference}
        for names in ((None, None), ("alice", "presenter")):
            with pytest.raises(BadData, match="preference"):
                token.parse_new(body, *names)

    @pytest.mark.parametrize("body", [[], "alice", 1, True])
    def test_a_body_that_is_there_is_an_object_even_beside_a_header(self, body):
        with pytest.raises(BadData):
            token.parse_new(body, "alice", "presenter")


@pytest.fixture
def room(table) -> str:
    return rooms.create(SERVICE, dict(documents.room().document), check_service=False).id


def at(monkeypatch, moment: float) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


class TestRows:
    def test_a_token_is_kept_by_one_write(self, table, room):
        with listening() as storage:
            made = tokens.create(SERVICE, room, NEW)
        assert [call.operation for call in storage.calls] == ["PutItem"]
        assert len(made.id) == 24
        assert int(made.id, 16) >= 0

    def test_what_was_asked_for_comes_back_once(self, room):
        made = tokens.create(SERVICE, room, NewToken("Ælice", "viewer", "i", "r"))
        joined = tokens.redeem(made.id)
        assert joined.token == made
        assert (joined.participant.user, joined.participant.role) == ("Ælice", "viewer")
        with pytest.raises(NoToken):
            tokens.redeem(made.id)

    @pytest.mark.parametrize("token_id", ["6b026e56401e97f54448416b", "", "\x00", "x" * 1000])
    def test_a_token_that_was_never_made_is_not_there(self, table, token_id):
        with pytest.raises(NoToken):
            tokens.redeem(token_id)
        assert table.rows() == []

    def test_it_lives_for_three_minutes(self, room, monkeypatch):
        at(monkeypatch, 1_800_000_000.25)
        first, second = (tokens.create(SERVICE, room, NEW) for _ in range(2))
        at(monkeypatch, 1_800_000_180.0)
        assert tokens.redeem(first.id).token == first
        at(monkeypatch, 1_800_000_180.25)
        with pytest.raises(NoToken):
            tokens.redeem(second.id)

    def test_ttl_does_not_remove_it_before(self, room, table, monkeypatch):
        at(monkeypatch, 1_800_000_000.25)
        tokens.create(SERVICE, room, NEW)
        (row,) = [row for row in table.rows() if row["pk"]["S"].startswith("ot")]
        assert row["expires_at"] == {"N": "1800000181"}

    def test_a_deleted_room_takes_its_tokens_with_it(self, room):
        made = tokens.create(SERVICE, room, NEW)
        rooms.delete(SERVICE, room)
        with pytest.raises(NoToken):
            tokens.redeem(made.id)

    def test_joining_and_the_end_of_the_token_are_one_transaction(self, room):
        made = tokens.create(SERVICE, room, NEW)
        with listening() as storage:
            tokens.redeem(made.id)
        operations = [call.operation for call in storage.calls]
        assert operations == ["GetItem", "BatchGetItem", "TransactWriteItems"]

    def test_of_two_redemptions_at_once_exactly_one_succeeds(self, stack):
        settings.reset()
        room_id = rooms.create(SERVICE, dict(documents.room().document), check_service=False).id
        for _ in range(ROUNDS):
            made = tokens.create(SERVICE, room_id, NEW)
            redeem = functools.partial(children.decided, functools.partial(tokens.redeem, made.id))
            found = at_once(redeem, redeem)
            names = sorted(type(each).__name__ for each in found)
            assert names == ["Joined", "NoToken"]


class TestTextThatComesBack:
    def test_the_id_of_a_token_of_ours(self):
        for portal in (Portal("p:1", True), Portal("p:1", False, "https://quic.example:7700")):
            assert token.checked(token.spell(ID, portal, SECRET), [SECRET]) == ID

    @pytest.mark.parametrize(
        "change",
        [
            {"tokenId": ID[::-1]},
            {"host": "other:1"},
            {"webTransportUrl": "https://other.example"},
            {"signature": ""},
            {"signature": "\u00e9"},
            {"tokenId": 5},
            {"tokenId": None},
            {"host": None},
            {"signature": []},
        ],
    )
    def test_one_that_was_changed_is_none(self, change):
        text = json.dumps(decoded(token.spell(ID, Portal("p:1", True), SECRET)) | change)
        assert token.checked(base64.b64encode(text.encode()).decode(), [SECRET]) is None

    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "e30=", "bnVsbA==", "W10=", "NQ==", "!!", "\x00", "é", "e30", "/w==", "A" * 4097),
            base64.b64encode(b"[" * 3000).decode(),
            base64.b64encode(b'{"x":' * 600).decode(),
        ],
    )
    def test_any_other_text_is_none(self, text):
        assert token.checked(text, [SECRET]) is None

    def test_one_signed_with_another_secret_is_none(self):
        assert token.checked(token.spell(ID, Portal("p:1", True), "another secret"), [SECRET]) is None

    def test_an_id_that_could_not_have_been_made_is_none_however_it_is_signed(self):
        assert token.checked(token.spell("../x", Portal("p:1", True), SECRET), [SECRET]) is None
