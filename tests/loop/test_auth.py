"""Who calls (contract 4.2 to 4.6): the order of the checks, what is refused how, and the storage it takes."""

import base64
import time

import pytest

from chalicelib import clock, settings
from chalicelib.store import writes
from tests.loop.api import HOST, JSON, STAGE, Caller, GuestCaller, HawkCaller, ok, refusal, serve
from tests.support import hawk
from tests.support.events import Answer
from tests.support.hawk import Credentials, Signature

UNKNOWN = hawk.derive("00" * 32)
UNAUTHENTICATED = (401, 110)
MALFORMED = (400, 110)


def sign(owner: HawkCaller | Credentials, method: str = "GET", target: str = "/rooms", **more) -> Signature:
    who = owner.credentials if isinstance(owner, HawkCaller) else owner
    given = {"hashed": "body" in more} | more
    return hawk.sign(who, method, f"/{STAGE}{target}", HOST, 443, **given)


def ask(header: str | None, method: str = "GET", target: str = "/rooms", body: bytes = b"", **more) -> Answer:
    headers = {} if header is None else {"Authorization": header}
    return serve(method, target, body, headers | ({"Content-Type": JSON} if body else {}), **more)


def challenge(answer: Answer) -> str | None:
    return answer.header("WWW-Authenticate")


class TestOrder:
    """The checks of 4.2; each request fails that one and all later ones."""

    @pytest.mark.parametrize("path", ["/rooms", "/account", "/registration", "/session"])
    @pytest.mark.parametrize("header", [None, "", "  ", "Basic YTo=", "Bearer x", "Hawkish x", "Hawk,x"])
    def test_1_and_2_nothing_or_another_scheme(self, table, path, header):
        answer = ask(header, "DELETE" if path != "/rooms" else "GET", path)
        assert refusal(answer) == UNAUTHENTICATED
        assert challenge(answer) == "Hawk"

    @pytest.mark.parametrize("header", ["Bearer x", "Token x", "Negotiate", "Hawkish x"])
    def test_2_at_a_room_the_answer_names_what_is_supported(self, owner, header):
        room = owner.room()
        for method, body in (("GET", b""), ("POST", b'{"action":"leave"}')):
            answer = ask(header, method, f"/rooms/{room}", body)
            assert refusal(answer) == UNAUTHENTICATED
            assert challenge(answer) == "Hawk, Basic"

    def test_3_before_5_a_header_that_cannot_be_read(self, table):
        header = sign(UNKNOWN).header
        assert refusal(ask(header + ', id="x"')) == MALFORMED

    def test_4_before_5_a_part_is_missing(self, table):
        header = sign(UNKNOWN).header
        assert refusal(ask(header.replace("nonce", "ext"))) == MALFORMED

    def test_5_before_8_credentials_that_are_unknown(self, table):
        answer = ask(sign(UNKNOWN, ts="1").header)
        assert refusal(answer) == UNAUTHENTICATED
        assert challenge(answer) == 'Hawk error="Unknown credentials"'

    def test_6_before_7_and_8_a_wrong_mac(self, owner):
        wrong = Credentials(owner.credentials.id, UNKNOWN.key)
        answer = ask(sign(wrong, ts="1", body=b"{}").header, body=b"x")
        assert refusal(answer) == UNAUTHENTICATED
        assert challenge(answer) == 'Hawk error="Bad mac"'

    def test_7_before_8_a_body_that_is_not_the_signed_one(self, owner):
        header = sign(owner, "POST", ts="1", body=b'{"a":1}').header
        answer = ask(header, "POST", body=b'{"a":2}')
        assert refusal(answer) == UNAUTHENTICATED
        assert challenge(answer) == 'Hawk error="Bad payload hash"'

    def test_8_a_time_that_is_not_ours_and_ours_with_a_proof(self, owner, monkeypatch):
        now = int(time.time())
        monkeypatch.setattr(clock, "now", lambda: now + 0.9)
        for off in (-61, 61, -now):
            answer = ask(sign(owner, ts=str(now + off)).header)
            assert refusal(answer) == UNAUTHENTICATED
            tsm = hawk.tsm(owner.credentials, str(now))
            assert challenge(answer) == f'Hawk ts="{now}", tsm="{tsm}", error="Stale timestamp"'
        for off in (-60, 60):
            assert ok(ask(sign(owner, ts=str(now + off)).header)) == []

    @pytest.mark.parametrize("ts", ["NaN", "x", "1.7e9", "-1700000000", " 1700000000", "٣", ""])
    def test_8_a_time_that_is_no_number_never_passes(self, owner, ts):
        assert refusal(ask(sign(owner, ts=ts).header)) == MALFORMED

    def test_9_the_same_request_once_more(self, owner):
        header = sign(owner).header
        assert ask(header).status == 200
        answer = ask(header)
        assert refusal(answer) == UNAUTHENTICATED
        assert challenge(answer) == 'Hawk error="Seen before"'

    def test_9_a_nonce_is_one_credentials_and_one_times(self, owner, other):
        now = int(time.time())
        for who, ts in ((owner, now), (other, now), (owner, now - 1)):
            assert ask(sign(who, nonce="n", ts=str(ts)).header).status == 200

    def test_9_can_be_switched_off(self, owner, storage, monkeypatch):
        monkeypatch.setenv("LOOP_HAWK_NONCE_CHECK", "off")
        settings.reset()
        header = sign(owner).header
        assert [ask(header).status for _ in range(2)] == [200, 200]

    def test_the_window_can_be_set(self, owner, monkeypatch):
        monkeypatch.setenv("LOOP_HAWK_SKEW", "600")
        settings.reset()
        assert ask(sign(owner, ts=str(int(time.time()) - 500)).header).status == 200


class TestCost:
    def test_what_is_refused_before_5_costs_nothing(self, owner, storage):
        forged = sign(Credentials("x" * 64, UNKNOWN.key)).header
        with storage.counting() as counted:
            for header in (None, "Basic YTo=", "Hawk x", sign(owner).header + ",,", forged):
                assert ask(header).status in (400, 401)
        assert counted == {}

    @pytest.mark.parametrize(
        "more", [{"ts": "1"}, {"body": b"other"}], ids=["a stale request", "another body"]
    )
    def test_what_is_refused_by_5_to_8_costs_a_read_and_writes_nothing(self, owner, storage, more):
        wrong = Credentials(owner.credentials.id, UNKNOWN.key)
        with storage.counting() as counted:
            for who in (owner, wrong, UNKNOWN):
                assert ask(sign(who, **more).header).status == 401
        assert counted == {"GetItem": 3}

    def test_a_caller_costs_a_read_and_the_write_of_a_nonce(self, owner, storage):
        with storage.counting() as counted:
            assert owner.delete("/session").status == 403
        assert counted == {"GetItem": 1, "PutItem": 1}

    def test_the_nonce_is_kept_for_two_minutes(self, owner, table):
        at = int(time.time()) + 30
        assert ask(sign(owner, ts=str(at)).header).status == 200
        kept = [row["expires_at"]["N"] for row in table.rows() if row["pk"]["S"].startswith("n")]
        assert kept == [str(at + 120)]


class TestHash:
    def test_a_body_need_not_be_hashed(self, owner):
        header = sign(owner, "POST", hashed=False).header
        body = b'{"roomOwner":"a","maxSize":2,"roomName":"r"}'
        assert ask(header, "POST", body=body).status == 201

    @pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "text/plain"])
    def test_the_type_is_hashed_without_parameters_and_is_not_checked_otherwise(self, owner, kind):
        body = '{"roomOwner":"ä","maxSize":2,"roomName":"r"}'.encode()
        header = sign(owner, "POST", body=body, content_type=kind).header
        assert serve("POST", "/rooms", body, {"Authorization": header, "Content-Type": kind}).status == 201

    def test_another_type_is_another_body(self, owner):
        header = sign(owner, "POST", body=b"{}", content_type="text/plain").header
        assert refusal(ask(header, "POST", body=b"{}")) == UNAUTHENTICATED

    def test_the_bytes_are_hashed_as_they_came(self, owner):
        for body in (b' { "a" : 1 } ', b"\xff\xfe", b'"'):
            header = sign(owner, "POST", body=body).header
            assert ask(header, "POST", body=body).status == 400

    def test_a_hash_of_nothing_is_checked_too(self, owner):
        given = sign(owner, hashed=True, content_type="")
        assert serve("GET", "/rooms", headers={"Authorization": given.header}).status == 200
        given = sign(owner, hashed=True, content_type="", body=b"x")
        assert serve("GET", "/rooms", headers={"Authorization": given.header}).status == 401


def fronts(api: str) -> list[tuple[str, dict[str, str], str, dict[str, str], str, int]]:
    """What a client types in front of a path, what the front hands on, headers, host and port."""
    secure = {"X-Forwarded-Proto": "https"}
    aws = f"{api}.execute-api.us-east-1.amazonaws.com"
    return [
        ("/prod", {"stage": "prod"}, "/prod", {"Host": aws} | secure, aws, 443),
        ("", {"stage": "prod"}, "", {"Host": "loop.example"} | secure, "loop.example", 443),
        ("/api", {"stage": "prod"}, "/api", {"Host": "Loop.Example"} | secure, "loop.example", 443),
        ("", {"stage": "local"}, "/local", {"Host": "127.0.0.1:8080", **plain()}, "127.0.0.1", 8080),
        ("", {"stage": "local"}, "/local", {"Host": "[::1]:8080", **plain()}, "::1", 8080),
        ("", {"stage": "local"}, "/local", {"Host": "gateway", **plain()}, "gateway", 80),
        (
            f"/restapis/{api}/dev/_user_request_",
            {"stage": "dev"},
            "/dev",
            {"Host": "localhost:4566", **plain()},
            "localhost",
            4566,
        ),
        (f"/_aws/{api}/dev", {"stage": "dev"}, "/dev", {"Host": "emulator", **plain()}, "emulator", 80),
        ("", {"stage": "prod"}, "/prod", {"Host": aws} | secure, "cdn.example", 443),
        ("/x", {"stage": "x"}, "/x", {"Host": "inside:8080", **plain()}, "other.example", 8443),
    ]


def plain() -> dict[str, str]:
    return {"X-Forwarded-Proto": "http"}


NAMES = ["stage", "domain", "base path", "gateway", "IPv6", "no port", "emulator", "another emulator"]
NAMES += ["CDN", "CDN with a port"]


class TestFronts:
    @pytest.fixture(autouse=True)
    def _prefixes(self, table, monkeypatch):
        prefixes = "/restapis/{api}/{stage}/_user_request_,/_aws/{api}/dev"
        monkeypatch.setenv("LOOP_HAWK_PATH_PREFIXES", prefixes)
        monkeypatch.setenv("LOOP_HAWK_HOSTS", "CDN.example,other.example:8443")
        settings.reset()

    @pytest.mark.parametrize("front", fronts("a1b2"), ids=NAMES)
    @pytest.mark.parametrize("target", ["/rooms", "/rooms?version=1700000000", "/v0/rooms"])
    def test_what_the_client_typed_is_what_is_checked(self, owner, front, target):
        prefix, more, shown, headers, host, port = front
        given = hawk.sign(owner.credentials, "GET", prefix + target, host, port, hashed=False)
        answer = serve(
            *("GET", target, b"", headers | {"Authorization": given.header}),
            context_path=shown + target.partition("?")[0],
            api_id="a1b2",
            **more,
        )
        assert answer.status == 200, answer
        assert given.proves(answer.header("Server-Authorization"), JSON, answer.body.encode())

    @pytest.mark.parametrize("front", fronts("a1b2"), ids=NAMES)
    def test_another_host_port_or_prefix_is_not(self, owner, front):
        prefix, more, shown, headers, host, port = front
        for resource, its_host, its_port in (
            ("/other/rooms", host, port),
            (f"{prefix}/rooms?", host, port),
            (f"{prefix}/rooms?version=1", host, port),
            (f"{prefix}/rooms", host + "x", port),
            (f"{prefix}/rooms", host, port + 1),
        ):
            header = hawk.sign(owner.credentials, "GET", resource, its_host, its_port, hashed=False).header
            answer = serve(
                *("GET", "/rooms", b"", headers | {"Authorization": header}),
                context_path=f"{shown}/rooms",
                api_id="a1b2",
                **more,
            )
            assert refusal(answer) == UNAUTHENTICATED

    @pytest.mark.parametrize(
        "query",
        [
            "simplePushURL=https%3A%2F%2Fpush.example%2F%3Fa%3D1%26b%3D(2)",
            "simplePushURL=https%3a%2f%2fpush.example%2f",
            "simplePushURL=https://push.example/a",
            "simplePushURL=https%3A%2F%2Fpush.example%2Fa+b",
            "version=1&simplePushURL=https%3A%2F%2Fa",
        ],
    )
    def test_a_query_is_checked_as_it_was_typed(self, owner, query):
        assert owner.delete(f"/registration?{query}").status == 204


class TestSigned:
    """Every answer to somebody who proved itself is signed, errors included (4.3)."""

    def test_errors_are_signed_too(self, owner, monkeypatch):
        def unavailable(*_: object, **__: object) -> None:
            raise RuntimeError("a surprise")

        room = owner.room()
        for method, target, body in (
            ("POST", "/rooms", b"{"),
            ("POST", "/rooms", b"[]"),
            ("POST", "/rooms", b"{}"),
            ("PATCH", "/rooms/nosuchroom1", b"{}"),
            ("PATCH", f"/rooms/{room}", b'{"maxSize":0}'),
            ("POST", f"/rooms/{room}", b'{"action":"refresh"}'),
            ("DELETE", "/session", b""),
        ):
            assert owner.call(method, target, body).status in (400, 403, 404, 410)
        monkeypatch.setattr(writes, "query_raw", unavailable)
        assert refusal(owner.get("/rooms")) == (500, 999)

    def test_what_is_refused_is_not_signed(self, owner):
        header = sign(owner).header
        assert ask(header).header("Server-Authorization") is not None
        assert ask(header).header("Server-Authorization") is None
        assert ask(sign(UNKNOWN).header).header("Server-Authorization") is None

    def test_an_application_and_its_delegate_are_part_of_the_signature(self, owner):
        given = sign(owner, ext="some thing", app="app", dlg="dlg")
        answer = ask(given.header)
        assert given.proves(answer.header("Server-Authorization"), JSON, answer.body.encode())


class TestGuests:
    @pytest.fixture
    def room(self, owner: HawkCaller) -> str:
        return owner.room()

    @pytest.fixture
    def token(self, room) -> str:
        return str(ok(Caller().join(room))["sessionToken"])

    @pytest.mark.parametrize("colon", ["", ":"])
    def test_a_session_token_is_shown_with_a_colon_or_without(self, room, token, colon):
        guest = GuestCaller(token, colon)
        assert "participants" in ok(guest.get(f"/rooms/{room}"))
        assert ok(guest.act(room, "refresh"))["expires"] == 300

    @pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic  "])
    def test_the_scheme_has_no_case(self, room, token, scheme):
        encoded = base64.b64encode(token.encode()).decode()
        assert "participants" in ok(ask(f"{scheme} {encoded}", target=f"/rooms/{room}"))

    @pytest.mark.parametrize(
        "text", ["nobody's", "nobody's:", "{token}::", "{token}:x", ":{token}", "{token}x", ""]
    )
    def test_anything_else_is_nobodys(self, room, token, text):
        encoded = base64.b64encode(text.replace("{token}", token).encode()).decode()
        for method, body in (("GET", b""), ("POST", b'{"action":"refresh"}')):
            answer = ask(f"Basic {encoded}", method, f"/rooms/{room}", body)
            assert refusal(answer) == UNAUTHENTICATED
            assert (challenge(answer) or "").startswith('Basic error="')

    @pytest.mark.parametrize("shown", ["", "!", "YQ=", "YQ\x00", "//4=", "é", "YTo= YTo="])
    def test_what_cannot_be_decoded_is_refused_the_same_way(self, room, shown):
        answer = ask(f"Basic {shown}", target=f"/rooms/{room}")
        assert refusal(answer) == UNAUTHENTICATED
        assert (challenge(answer) or "").startswith('Basic error="')

    def test_it_opens_that_one_room(self, owner, token):
        assert refusal(GuestCaller(token).get(f"/rooms/{owner.room()}")) == UNAUTHENTICATED

    def test_it_opens_nothing_but_rooms(self, room, token):
        guest = GuestCaller(token)
        for method, target in (
            *(("GET", "/rooms"), ("POST", "/rooms"), ("PATCH", "/rooms")),
            *(("PATCH", f"/rooms/{room}"), ("DELETE", f"/rooms/{room}"), ("DELETE", "/account")),
        ):
            answer = guest.call(method, target, b"{}")
            assert refusal(answer) == UNAUTHENTICATED
            assert challenge(answer) == "Hawk"

    def test_it_does_not_stand_in_the_table(self, room, token, table):
        assert token not in repr(table.rows())


class TestOrderAtRooms:
    """Contract 4.6."""

    @pytest.mark.parametrize("header", [None, "Bearer x", "Hawk x", "Basic !"])
    def test_get_and_post_look_for_the_room_first(self, table, header):
        for method, body in (("GET", b""), ("POST", b'{"action":"refresh"}'), ("POST", b'{"action":"join"}')):
            assert refusal(ask(header, method, "/rooms/nosuchroom1", body)) == (404, 105)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_patch_and_delete_look_at_the_caller_first(self, owner, method):
        room = owner.room()
        for target in (f"/rooms/{room}", "/rooms/nosuchroom1"):
            assert refusal(ask(None, method, target, b"{")) == UNAUTHENTICATED
            assert refusal(ask("Hawk x", method, target, b"{")) == MALFORMED
        assert refusal(owner.call(method, "/rooms/nosuchroom1", b'{"maxSize":0}')) == (404, 105)

    def test_fields_before_ownership(self, owner, other):
        room = owner.room()
        assert refusal(other.patch(f"/rooms/{room}", {"maxSize": 0})) == (400, 107)
        assert refusal(other.patch(f"/rooms/{room}", {"maxSize": 2})) == (403, 999)
        assert refusal(other.delete(f"/rooms/{room}")) == (403, 999)

    def test_the_action_before_the_fields_and_the_caller_before_both(self, owner, nobody):
        room = owner.room()
        assert refusal(nobody.post(f"/rooms/{room}", {})) == (400, 108)
        assert refusal(nobody.act(room, "dance")) == (400, 107)
        for action in ("refresh", "leave", "status", "logDomain"):
            answer = nobody.act(room, action)
            assert refusal(answer) == UNAUTHENTICATED
            assert "Hawk" in (challenge(answer) or "")
