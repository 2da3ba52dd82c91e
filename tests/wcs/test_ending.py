"""Servers whose addresses are set are called when streams of theirs shall end; the mark stays anyhow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import app
from chalicelib import clock, settings
from chalicelib.outbox import kicks, outgoing, owed
from chalicelib.outbox.outgoing import Failure, Outcome
from chalicelib.store import keys, writes
from chalicelib.wcs import ending, store
from chalicelib.wcs import settings as wcs_settings
from chalicelib.wcs.store import EndRow, StreamRow
from tests.conftest import Stack
from tests.support import receiver
from tests.support.faults import Fault, Injector, Kind
from tests.support.receiver import Receiver, answering
from tests.wcs.server import NODE, SESSION, Server, User, error, kept, ok

OTHER = "n2@10.0.0.2"
STREAM = keys.wcs_stream(SESSION, NODE)
END = keys.wcs_end(STREAM)
WANTED = {"mediaSessionId": SESSION}
BODY = b'{"mediaSessionId":"56141d10-fddc-11e6-ac3a-4d67d5b3360d"}'
LOGIN = "op%40s:pa%2Css%3A%E2%82%AC"


def configure(monkeypatch: pytest.MonkeyPatch, **servers: str) -> None:
    """Have these addresses set, by `nodeId`."""
    monkeypatch.setenv("WCS_SERVERS", ",".join(f"{node}={url}" for node, url in servers.items()))
    settings.reset()


@dataclass
class Far:
    """Two servers whose addresses are set: what they are told, and what becomes of the next calls."""

    calls: list[tuple[str, str, bytes]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    """Those after them are accepted."""

    def send(self, method: str, url: str, **given: Any) -> Outcome:
        """As `outgoing.send`."""
        assert given["headers"] == {"Content-Type": "application/json"}
        assert given["limits"].private
        self.calls.append((method, url, given["body"]))
        return self.outcomes.pop(0) if self.outcomes else Outcome(200)


@pytest.fixture
def far(table, monkeypatch) -> Far:
    """The servers, without a network."""
    configure(monkeypatch, **{NODE: "https://one.example:8444", OTHER: "http://10.0.0.2:8081/"})
    told = Far()
    monkeypatch.setattr(outgoing, "send", told.send)
    assert store.END in owed.kinds()
    monkeypatch.setattr(owed, "kinds", lambda: [store.END])  # the sweep of all others takes its time
    return told


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time, to be moved: `now[0] += 1`; the sweep asks for what is due by the millisecond."""
    held = [round(clock.now(), 3)]
    monkeypatch.setattr(clock, "now", lambda: held[0])
    return held


@pytest.fixture
def real(table, monkeypatch) -> Iterator[Receiver]:
    """A server's REST API on a real socket."""
    with receiver.receiving() as running:
        configure(monkeypatch, **{NODE: running.url.replace("//", f"//{LOGIN}@")})
        yield running


def row() -> EndRow | None:
    """What is owed to the server of the documented stream."""
    return writes.get(EndRow, *END, consistent=True)


def stand() -> EndRow:
    """The same, which is there."""
    found = row()
    assert found is not None
    return found


def asked(server: Server, user: User, **changed: Any) -> None:
    """The documented stream, whose end is asked for."""
    server.tell(**changed)
    ok(user.post("terminate", WANTED))


def kinds(table: Stack) -> list[str]:
    """What the queue has kicks for."""
    return [json.loads(message["Body"])["kind"] for message in table.messages()]


def marked(server: Server) -> bool:
    """Whether the stream's next keep-alive is refused."""
    return server.say("StreamKeepAliveEvent").status == 403


def swept() -> int:
    """Serve what the sweep finds to be owed to servers; how much that was."""
    kicked: list[str] = []
    kicks.install(kicked.append)
    try:
        owed.sweep()
    finally:
        kicks.install(None)
    ours = [body for body in kicked if kicks.read(body)[0] == store.END]
    assert owed.work([{"body": body, "messageId": str(at)} for at, body in enumerate(ours)]) == []
    return len(ours)


# What is owed


def test_without_an_address_nothing_is_owed(server, user, table):
    asked(server, user)
    assert row() is None
    assert kinds(table) == []
    assert marked(server)


def test_a_server_whose_address_is_not_set_is_owed_nothing(far, server, user, table):
    server.tell(nodeId="n3@10.0.0.3")
    ok(user.post("terminate", WANTED))
    assert [each for each in table.rows() if each["pk"]["S"].startswith("wt")] == []
    assert kinds(table) == []


def test_the_request_marks_the_stream_and_calls_nobody(far, server, user, table, now):
    asked(server, user)
    assert far.calls == []
    assert marked(server)
    owing = stand()
    assert owing.due == keys.due(store.END, END.pk)
    assert owing.due_at == now[0]
    assert owing.expires_at == int(now[0]) + owed.DEAD_KEPT_S
    assert kinds(table) == [store.END]


def test_each_server_is_told_of_its_own_streams(far, server, user):
    server.tell(mediaSessionId="a/1", name="all")
    server.tell(mediaSessionId="b", name="all", nodeId=OTHER)
    server.tell(mediaSessionId="c", name="all", nodeId="n3@10.0.0.3")
    server.tell(mediaSessionId="d", name="all", status="STOPPED")
    ok(user.post("terminate", {"name": "all"}))
    assert swept() == 2
    assert sorted(far.calls) == [
        ("POST", "http://10.0.0.2:8081/rest-api/stream/terminate", b'{"mediaSessionId":"b"}'),
        ("POST", "https://one.example:8444/rest-api/stream/terminate", b'{"mediaSessionId":"a\\/1"}'),
    ]
    assert swept() == 0


def test_a_stream_that_ends_before_its_mark_is_owed_nothing(far, server, user, monkeypatch):
    server.tell()
    ask = store.ask_for_end

    def after_the_end(found: StreamRow, *, again: bool) -> bool:
        server.tell(status="UNPUBLISHED")
        return ask(found, again=again)

    monkeypatch.setattr(store, "ask_for_end", after_the_end)
    assert error(user.post("terminate", WANTED)) == 404
    assert row() is None


def test_whoever_asks_again_has_the_server_called_again(far, server, user):
    far.outcomes += [Outcome(503), Outcome(401)]
    asked(server, user)
    for tries in range(1, 4):  # it is postponed, buried, done
        first = store.read(STREAM)
        ending.tell(END)
        assert len(far.calls) == tries
        ok(user.post("terminate", WANTED))
        assert stand().attempts == 0
        again = store.read(STREAM)
        assert first is not None
        assert again is not None
        assert first.ending == again.ending


def test_who_sees_to_it_that_a_stream_is_marked_does_not_have_its_server_called_again(far, server, user):
    asked(server, user)
    ending.tell(END)
    found = store.read(STREAM)
    assert found is not None
    assert store.ask_for_end(found)
    assert row() is None


def test_a_stream_that_was_marked_before_its_servers_address_was_set_is_passed_on(server, user, monkeypatch):
    asked(server, user)
    configure(monkeypatch, **{NODE: "https://one.example"})
    ok(user.post("terminate", WANTED))
    assert stand().due is not None


# What becomes of it


@pytest.mark.parametrize("status", [200, 204, 404])
def test_a_server_that_accepts_or_knows_no_such_stream_is_told_once(far, server, user, status):
    far.outcomes.append(Outcome(status))
    asked(server, user)
    for _ in range(3):
        ending.tell(END)
    assert far.calls == [("POST", "https://one.example:8444/rest-api/stream/terminate", BODY)]
    assert row() is None
    assert owed.dead_letters() == []
    assert marked(server)


@pytest.mark.parametrize(
    "outcome",
    [
        *(Outcome(status) for status in (429, 500, 503)),
        *(Outcome(failure=why) for why in (Failure.LATE, Failure.NO_CONNECTION, Failure.NO_TRUST)),
    ],
    ids=lambda outcome: outcome.reason,
)
def test_a_server_that_may_take_it_later_is_called_again(far, server, user, now, table, caplog, outcome):
    far.outcomes.append(outcome)
    asked(server, user)
    assert kinds(table) == [store.END]
    ending.tell(END)
    assert f"was not told that a stream shall end: {outcome.reason}" in caplog.text
    assert stand().due_at == pytest.approx(now[0] + owed.BACKOFF_S)
    ending.tell(END)
    assert len(far.calls) == 1
    now[0] += owed.BACKOFF_S
    ending.tell(END)
    assert len(far.calls) == 2
    assert row() is None
    assert owed.dead_letters() == []


def test_the_last_try_leaves_a_dead_letter_and_the_mark(far, server, user, now):
    far.outcomes += [Outcome(503)] * (owed.ATTEMPTS + 1)
    asked(server, user)
    began = now[0]
    while swept():
        now[0] += owed.LONGEST_BACKOFF_S
    assert len(far.calls) == owed.ATTEMPTS
    assert now[0] - began <= owed.ATTEMPTS * owed.LONGEST_BACKOFF_S
    (letter,) = owed.dead_letters()
    assert (letter.kind, letter.reason, letter.attempts) == (store.END, "status 503", owed.ATTEMPTS)
    assert (letter.owed_pk, letter.owed_sk) == END
    assert marked(server)
    assert user.one() == kept()


@pytest.mark.parametrize(
    "outcome",
    [
        *(Outcome(status) for status in (307, 400, 401)),
        Outcome(failure=Failure.BAD_URL),
    ],
    ids=lambda outcome: outcome.reason,
)
def test_what_would_fare_no_better_later_is_a_dead_letter_at_once_and_can_be_replayed(
    far, server, user, outcome
):
    far.outcomes.append(outcome)
    asked(server, user)
    ending.tell(END)
    (letter,) = owed.dead_letters()
    assert (letter.kind, letter.reason, letter.attempts) == (store.END, outcome.reason, 1)
    assert swept() == 0
    assert marked(server)
    owed.replay(letter)
    assert swept() == 1
    assert len(far.calls) == 2
    assert row() is None
    assert owed.dead_letters() == []


@pytest.mark.parametrize("status", ["UNPUBLISHED", "STOPPED", "FAILED", "DISCONNECTED"])
def test_a_stream_that_has_ended_meanwhile_is_not_passed_on(far, server, user, status):
    asked(server, user)
    server.tell(status=status)
    ending.tell(END)
    assert far.calls == []
    assert row() is None


def test_a_stream_that_is_forgotten_is_not_passed_on(far, server, user, now):
    asked(server, user)
    now[0] += wcs_settings.get().others_kept_s + 1
    ending.tell(END)
    assert far.calls == []
    assert row() is None


def test_a_stream_of_the_same_id_that_began_anew_is_not_ended_by_an_old_letter(far, server, user):
    asked(server, user)
    writes.delete(*STREAM)
    server.tell()
    ending.tell(END)
    assert far.calls == []
    assert row() is None


@pytest.mark.parametrize("lost", ["f_nodeId", "f_mediaSessionId"])
def test_a_stream_that_does_not_say_which_it_is_any_more_is_left_to_its_mark(
    far, server, user, table, caplog, lost
):
    asked(server, user)
    table.dynamodb.update_item(
        TableName=table.table,
        Key=writes.key(*STREAM),
        UpdateExpression="REMOVE #f",
        ExpressionAttributeNames={"#f": lost},
    )
    ending.tell(END)
    assert far.calls == []
    assert row() is None
    assert "cannot be told of a stream" in caplog.text
    assert marked(server)


def test_a_server_whose_address_is_not_set_any_more_is_not_called(far, server, user, monkeypatch, caplog):
    asked(server, user)
    configure(monkeypatch, **{OTHER: "https://two.example"})
    ending.tell(END)
    assert far.calls == []
    assert row() is None
    assert "its address is not set any more" in caplog.text


# Workers


def test_a_lost_kick_is_found_by_the_sweep(far, server, user, table, monkeypatch):
    monkeypatch.setenv("FOYER_QUEUE_URL", "")
    settings.reset()
    asked(server, user)
    assert kinds(table) == []
    assert swept() == 1
    assert [body for _, _, body in far.calls] == [BODY]
    assert swept() == 0


def test_of_two_workers_one_calls(far, server, user, now):
    asked(server, user)
    assert owed.claim(EndRow, END) is not None
    ending.tell(END)
    assert far.calls == []
    now[0] += settings.get().work_lease_s
    ending.tell(END)
    assert len(far.calls) == 1


def test_whoever_asks_while_a_worker_calls_is_not_forgotten(far, server, user, monkeypatch):
    asked(server, user)
    send = outgoing.send

    def meanwhile(*args: Any, **options: Any) -> Outcome:
        outcome = send(*args, **options)
        ok(user.post("terminate", WANTED))
        return outcome

    monkeypatch.setattr(outgoing, "send", meanwhile)
    ending.tell(END)
    monkeypatch.setattr(outgoing, "send", send)
    assert swept() == 1
    assert len(far.calls) == 2
    assert row() is None


@pytest.fixture
def injector(stack, monkeypatch) -> Iterator[Injector]:
    """Spoils storage calls on ministack; the server takes everything."""
    configure(monkeypatch, **{NODE: "https://one.example"})
    made = Injector(monkeypatch)
    yield made
    made.stop()


@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
def test_the_mark_and_what_is_owed_are_written_both_or_neither(injector, kind):
    server, user = Server(), User()
    server.tell()
    with injector.injecting(Fault(1, kind, True)):
        assert error(user.post("terminate", WANTED)) == 500
    assert injector.met
    assert (row() is not None) == marked(server) == (kind is Kind.LOST)


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
def test_a_worker_that_dies_leaves_the_call_to_the_next(injector, monkeypatch, now, at, kind):
    told: list[bytes] = []

    def send(*_: Any, body: bytes, **__: Any) -> Outcome:
        told.append(body)
        return Outcome(200)

    monkeypatch.setattr(outgoing, "send", send)
    server, user = Server(), User()
    asked(server, user)
    with injector.injecting(Fault(at, kind, True)):
        owed.work([{"body": kicks.spell(store.END, END), "messageId": "1"}])
    assert injector.met
    now[0] += settings.get().work_lease_s + 1
    swept()
    assert told in ([BODY], [BODY] * 2)
    assert row() is None
    assert owed.dead_letters() == []


# On a real socket


def test_the_call_is_one_post_of_the_id_with_the_login_of_the_setting(real, server, user):
    asked(server, user)
    ending.tell(END)
    (request,) = real.requests
    assert (request.method, request.path, request.body) == ("POST", "/rest-api/stream/terminate", BODY)
    assert request.headers["Host"] == f"localhost:{real.port}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Basic b3BAczpwYSxzczrigqw="  # op@s:pa,ss:€
    assert row() is None


def test_a_login_is_neither_logged_nor_stored(real, server, user, table, caplog):
    caplog.set_level("DEBUG")
    real.behaviours[:] = [answering(503, b"pa,ss"), answering(401, b"op@s")]
    asked(server, user)
    ending.tell(END)
    writes.update(*END, actions=owed.owing(store.END, END, clock.now()))
    ending.tell(END)
    assert len(real.requests) == 2
    assert len(owed.dead_letters()) == 1
    seen = (
        caplog.text + str(table.rows()) + repr(wcs_settings.get()) + repr(wcs_settings.get().server_of(NODE))
    )
    for secret in ("pa,ss", "pa%2Css", "b3BAcz"):
        assert secret not in seen


def test_a_redirect_is_not_followed(real, server, user):
    real.usual = answering(307, headers={"Location": f"{real.url}/elsewhere"})
    asked(server, user)
    ending.tell(END)
    assert [request.path for request in real.requests] == ["/rest-api/stream/terminate"]
    assert [letter.reason for letter in owed.dead_letters()] == ["status 307"]


def test_a_server_that_is_not_there_is_called_later(server, user, table, monkeypatch):
    configure(monkeypatch, **{NODE: "http://127.0.0.1:9"})
    asked(server, user)
    ending.tell(END)
    assert stand().attempts == 1
    assert owed.dead_letters() == []


def test_a_certificate_is_checked_and_its_roots_are_loaded_at_the_start(
    table, server, user, monkeypatch, tmp_path
):
    made = receiver.certificates(tmp_path)
    with receiver.receiving(made) as running:
        configure(monkeypatch, **{NODE: running.url})
        asked(server, user)
        ending.tell(END)
        assert running.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        settings.reset()
        app.warm()
        ok(user.post("terminate", WANTED))
        ending.tell(END)
        assert [request.body for request in running.requests] == [BODY]
