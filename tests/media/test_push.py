"""Webhooks of commands: what is sent and how it is signed, in which order, and what comes of bad servers."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook

from chalicelib import clock, settings
from chalicelib.errors import Unavailable
from chalicelib.media import push
from chalicelib.media import settings as webhooks
from chalicelib.outbox import outgoing, owed
from chalicelib.outbox.outgoing import Failure
from chalicelib.owt.command import LIVES_S
from chalicelib.owt.store import commands
from chalicelib.owt.store.commands import PusherRow, PushRow
from chalicelib.store import keys, writes
from tests.media.workers import Worker, order
from tests.owt.api import ok
from tests.support import network, receiver
from tests.support.receiver import answering

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
SERVICE = "5188b9af6e53c84ffd600499"
ROOM, OTHER_ROOM = "6b0269fdb32ce611868ec9e0", "6b0269fdb32ce611868ec9e1"
SCHEDULE = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


@pytest.fixture
def server():
    with receiver.receiving() as running:
        yield running


@pytest.fixture
def told(monkeypatch):
    """Have commands sent to an address, or addresses."""

    def configure(url, secret=SECRET, private="true"):
        monkeypatch.setenv("COMMAND_WEBHOOK_URL", url)
        monkeypatch.setenv("COMMAND_WEBHOOK_SECRET", secret)
        monkeypatch.setenv("COMMAND_WEBHOOK_PRIVATE", private)
        settings.reset()

    return configure


@pytest.fixture
def at(monkeypatch):
    """Move the clock by some seconds; what it shows then."""

    def move(seconds):
        moment = clock.now() + seconds
        monkeypatch.setattr(clock, "now", lambda: moment)
        return moment

    return move


@pytest.fixture
def still(at):
    """The clock stands."""
    return at(0)


def serve(room=ROOM):
    push.serve(keys.owt_pusher(room))


def queued(room=ROOM):
    """The ids of what is still to be sent."""
    rows, _ = writes.query(PushRow, keys.owt_pushes(room), consistent=True, at_least="0")
    return [row.sk for row in rows]


def pusher(room=ROOM):
    return writes.get(PusherRow, *keys.owt_pusher(room), consistent=True)


def due_in(room=ROOM):
    row = pusher(room)
    assert row is not None
    return float(row.due_at) - clock.now()


def sent(server):
    """The ids of what a server was sent, in order."""
    return [request.headers["webhook-id"] for request in server.requests]


def made(*rooms):
    return [order(SERVICE, room) for room in rooms]


# What is sent


@pytest.mark.usefixtures("stack")
def test_a_command_arrives_as_it_is_listed_and_signed_by_the_standard(server, told):
    told(f"{server.url}/hook?a=1")
    command = order(SERVICE, ROOM, args={"into": ["common"], "name": "Grüße"})
    serve()
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hook?a=1")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["webhook-id"] == command.id
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == command.spell()
    assert (queued(), pusher()) == ([], None)
    assert commands.find(command.id) is not None


@pytest.mark.usefixtures("stack")
def test_while_a_secret_is_replaced_both_are_good(server, told):
    told(server.url, f"{OTHER_SECRET} {SECRET}")
    made(ROOM)
    serve()
    (request,) = server.requests
    for secret in (SECRET, OTHER_SECRET):
        Webhook(secret).verify(request.body, dict(request.headers))


def test_the_signature_is_the_one_that_the_standards_own_library_makes():
    moment = datetime(2021, 2, 25, 15, 2, 10, tzinfo=UTC)
    text = f"msg_1.{int(moment.timestamp())}.{{}}"
    assert push.signature(b"0123456789abcdef01234567", text) == Webhook(SECRET).sign("msg_1", moment, "{}")


@pytest.mark.usefixtures("stack")
def test_services_have_addresses_and_secrets_of_their_own(server, told):
    other = "5188b9af6e53c84ffd600500"
    urls = {SERVICE: f"{server.url}/one", other: f"{server.url}/other"}
    told(json.dumps(urls), json.dumps({SERVICE: SECRET, other: OTHER_SECRET}))
    order(SERVICE, ROOM)
    order(other, OTHER_ROOM)
    order("5188b9af6e53c84ffd600501", "6b0269fdb32ce611868ec9e2")
    for room in (ROOM, OTHER_ROOM):
        serve(room)
    assert [request.path for request in server.requests] == ["/one", "/other"]
    for secret, request in zip((SECRET, OTHER_SECRET), server.requests, strict=True):
        Webhook(secret).verify(request.body, dict(request.headers))
    assert queued("6b0269fdb32ce611868ec9e2") == []


@pytest.mark.usefixtures("stack")
def test_without_an_address_nothing_is_owed(stack):
    made(ROOM)
    assert (queued(), pusher(), stack.messages()) == ([], None, [])


@pytest.mark.parametrize(
    ("url", "secret", "private", "complaint"),
    [
        ("https://a.example/", "", "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", "whsec_", "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", SECRET.removeprefix("whsec_"), "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", SECRET[:-8], "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", SECRET + "!", "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", "whsec_" + "A" * 88, "", "COMMAND_WEBHOOK_SECRET"),
        ("https://a.example/", f'{{"{SERVICE}": 5}}', "", "COMMAND_WEBHOOK_SECRET"),
        (f'{{"{SERVICE}": "https://a.example/"}}', f'{{"b": "{SECRET}"}}', "", "COMMAND_WEBHOOK_SECRET"),
        ('{"": "https://a.example/"}', SECRET, "", "COMMAND_WEBHOOK_URL"),
        ('{"a": ""}', SECRET, "", "COMMAND_WEBHOOK_URL"),
        ("{", SECRET, "", "COMMAND_WEBHOOK_URL"),
        ("http://a.example/", SECRET, "", "COMMAND_WEBHOOK_URL"),
        ("https://user@a.example/", SECRET, "true", "COMMAND_WEBHOOK_URL"),
        ("https://", SECRET, "true", "COMMAND_WEBHOOK_URL"),
        ("https://a.example:x/", SECRET, "true", "COMMAND_WEBHOOK_URL"),
        ("ftp://a.example/", SECRET, "true", "COMMAND_WEBHOOK_URL"),
        ("https://a b/", SECRET, "true", "COMMAND_WEBHOOK_URL"),
        ("https://a.example/" + "a" * 2048, SECRET, "true", "COMMAND_WEBHOOK_URL"),
    ],
)
def test_settings_that_cannot_work_stop_the_start_and_tell_no_secret(told, url, secret, private, complaint):
    told(url, secret, private or "false")
    with pytest.raises(settings.BadSetting) as refused:
        webhooks.get()
    assert str(refused.value).startswith(f"{complaint}: ")
    assert SECRET.removeprefix("whsec_") not in str(refused.value)
    assert "a.example" not in str(refused.value)


# In which order


@pytest.mark.usefixtures("stack")
def test_a_rooms_commands_are_sent_in_their_order(server, told):
    told(server.url)
    ordered = [order(SERVICE, ROOM).id for _ in range(push.PAGE + 3)]
    serve()
    assert sent(server) == ordered
    assert pusher() is None


@pytest.mark.usefixtures("stack", "still")
def test_what_is_not_taken_holds_up_its_room_and_no_other(server, told, at):
    told(server.url)
    first, second, other = made(ROOM, ROOM, OTHER_ROOM)
    server.behaviours[:] = [answering(500)]
    serve()
    serve(OTHER_ROOM)
    assert sent(server) == [first.id, other.id]
    assert queued() == [first.id, second.id]
    third = order(SERVICE, ROOM)
    serve()  # a kick before its time
    assert len(server.requests) == 2
    at(6)
    serve()
    assert sent(server)[2:] == [first.id, second.id, third.id]
    assert pusher() is None


@pytest.mark.usefixtures("stack")
def test_a_command_that_comes_while_the_last_one_is_sent_is_sent_too(server, told):
    told(server.url)
    late: list[str] = []

    def answer(handler):
        if not late:
            late.append(order(SERVICE, ROOM).id)
        answering(200)(handler)

    server.usual = answer
    (first,) = made(ROOM)
    serve()
    assert sent(server) == [first.id, *late]
    assert pusher() is None


@pytest.mark.usefixtures("stack")
def test_a_command_that_comes_after_the_last_look_is_not_forgotten(server, told, monkeypatch):
    told(server.url)
    (first,) = made(ROOM)
    late: list[str] = []
    finish = owed.finish

    def finishing(row, unless=None):
        if not late:
            late.append(order(SERVICE, ROOM).id)
        return finish(row, unless)

    monkeypatch.setattr(owed, "finish", finishing)
    serve()
    assert sent(server) == [first.id, *late]
    assert pusher() is None


@pytest.mark.usefixtures("stack", "still")
def test_a_room_has_one_worker_and_what_a_dead_one_left_is_taken_on(server, told, at):
    told(server.url)
    (first,) = made(ROOM)
    key = keys.owt_pusher(ROOM)
    dead = owed.claim(PusherRow, key, lease_s=push.lease_s(), endless=True)
    assert dead is not None
    serve()
    assert server.requests == []
    at(push.lease_s() + 1)
    serve()
    assert sent(server) == [first.id]
    assert not owed.finish(dead)


@pytest.mark.usefixtures("stack", "still")
def test_a_worker_whose_time_is_up_leaves_the_rest_to_the_next_one(server, told, monkeypatch):
    told(server.url)
    ordered = [order(SERVICE, ROOM).id for _ in range(3)]
    monkeypatch.setattr(push, "AT_ONCE_S", -1.0)
    serve()
    assert (server.requests, queued()) == ([], ordered)
    monkeypatch.setattr(push, "AT_ONCE_S", 20.0)
    serve()
    assert sent(server) == ordered


@pytest.mark.usefixtures("stack")
def test_what_a_worker_has_acknowledged_already_is_not_sent(server, told):
    told(server.url)
    first, second, third = made(ROOM, ROOM, ROOM)
    writes.transact(commands.acking(second.id, True))
    serve()
    assert sent(server) == [first.id, third.id]
    assert (pusher(), owed.dead_letters()) == (None, [])


# Retries


@pytest.mark.usefixtures("stack", "still")
def test_retries_follow_the_schedule_under_one_id_until_the_command_expires(server, told, at):
    told(server.url)
    server.usual = answering(503)
    first, second = made(ROOM, ROOM)
    began, left = clock.now(), first.created + LIVES_S
    for usual in SCHEDULE:
        serve()
        delay = due_in()
        if clock.now() + usual * 1.1 < left:
            assert 0.9 * usual <= delay <= 1.1 * usual
        else:
            # It goes on when the command's time is over, not later.
            assert delay == pytest.approx(int(left) - clock.now(), abs=1.5)
            break
        at(delay + 0.01)
    assert sent(server) == [first.id] * 7
    stamps = [int(request.headers["webhook-timestamp"]) for request in server.requests]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] - began > 17 * 3600 * 0.9
    server.usual = answering(204)
    third = order(SERVICE, ROOM)
    at(due_in() + 0.01)
    serve()
    letters = owed.dead_letters()
    expired = "it expired before it was taken"
    assert sorted(letter.reason for letter in letters) == [
        f"{each.id}: {expired}" for each in (first, second)
    ]
    assert sent(server)[7:] == [third.id]
    assert (queued(), pusher()) == ([], None)


@pytest.mark.usefixtures("stack", "still")
def test_after_the_last_try_a_command_is_a_dead_letter_and_the_next_one_follows(
    server, told, at, monkeypatch
):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule((1.0, 2.0)))
    server.behaviours[:] = [answering(500), answering(302), answering(404)]
    first, second = made(ROOM, ROOM)
    for _ in range(3):
        serve()
        at(3)
    assert sent(server) == [first.id] * 3 + [second.id]
    (letter,) = owed.dead_letters()
    assert (letter.kind, letter.reason, letter.attempts) == (commands.PUSH, f"{first.id}: status 404", 3)
    assert (queued(), pusher()) == ([], None)


@pytest.mark.usefixtures("stack", "still")
def test_what_keeps_a_worker_from_sending_is_no_try(server, told, at, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule((1.0,)))
    (first,) = made(ROOM)
    with monkeypatch.context() as broken:
        broken.setattr(commands, "find", lambda _: (_ for _ in ()).throw(Unavailable("storage is away")))
        for _ in range(2 * owed.ATTEMPTS):
            with pytest.raises(Unavailable):
                serve()
            at(push.lease_s() + 1)
    server.behaviours[:] = [answering(500)]
    serve()
    assert (queued(), owed.dead_letters()) == ([first.id], [])
    at(2)
    serve()
    assert sent(server) == [first.id] * 2
    assert pusher() is None


@pytest.mark.usefixtures("stack", "still")
def test_each_command_has_the_whole_schedule_to_itself(server, told, at, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule((1.0, 1.0)))
    server.behaviours[:] = [answering(500), answering(500), answering(200), answering(500), answering(500)]
    first, second = made(ROOM, ROOM)
    for _ in range(5):
        serve()
        at(2)
    assert sent(server) == [first.id] * 3 + [second.id] * 3
    assert (pusher(), owed.dead_letters()) == (None, [])


@pytest.mark.usefixtures("stack", "still")
def test_a_command_too_large_for_a_dead_letter_leaves_one_without_it(server, told, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule(()))
    server.behaviours[:] = [answering(500)]
    command = order(SERVICE, ROOM, args={"name": 'ü"' * 50_000})
    serve()
    (letter,) = owed.dead_letters()
    assert (letter.reason, letter.body) == (f"{command.id}: status 500", None)
    push.replay(letter)
    assert (queued(), pusher()) == ([], None)


@pytest.mark.usefixtures("stack", "still")
def test_a_dead_letter_that_is_replayed_is_sent_again(server, told, at, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule(()))
    monkeypatch.setattr(owed, "_replayers", {commands.PUSH: push.replay})
    server.behaviours[:] = [answering(500)]
    (first,) = made(ROOM)
    serve()
    assert (queued(), pusher()) == ([], None)
    at(2 * LIVES_S)  # also when its time is over: somebody wants it
    (letter,) = owed.dead_letters()
    owed.replay(letter)
    assert owed.dead_letters() == []
    serve()
    assert sent(server) == [first.id, first.id]
    assert server.requests[0].body == server.requests[1].body
    assert (queued(), pusher()) == ([], None)


@pytest.mark.usefixtures("stack")
def test_a_dead_letter_that_was_acknowledged_meanwhile_is_not_sent_again(server, told, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule(()))
    server.behaviours[:] = [answering(500)]
    (first,) = made(ROOM)
    serve()
    writes.transact(commands.acking(first.id, True))
    (letter,) = owed.dead_letters()
    push.replay(letter)
    serve()
    assert len(server.requests) == 1
    assert (queued(), pusher()) == ([], None)


@pytest.mark.usefixtures("stack")
def test_a_replay_while_the_rooms_last_command_is_sent_is_not_forgotten(server, told, monkeypatch):
    told(server.url)
    monkeypatch.setattr(push, "SCHEDULE", owed.Schedule(()))
    server.behaviours[:] = [answering(500)]
    (first,) = made(ROOM)
    serve()
    (letter,) = owed.dead_letters()
    second = order(SERVICE, ROOM)
    finish = owed.finish
    replayed: list[str] = []

    def finishing(row, unless=None):
        if not replayed:
            replayed.append("once")
            push.replay(letter)
        return finish(row, unless)

    monkeypatch.setattr(owed, "finish", finishing)
    serve()
    assert sent(server) == [first.id, second.id, first.id]


@pytest.mark.usefixtures("stack", "still")
@pytest.mark.parametrize(
    ("status", "text", "least", "most"),
    [
        (429, "120", 120, 120),
        (503, "120", 120, 120),
        (429, "1", 4.5, 5.5),
        (429, "soon", 4.5, 5.5),
        (429, "-5", 4.5, 5.5),
        (429, "", 4.5, 5.5),
        (429, "date", 595, 601),
        (429, "9" * 50, LIVES_S - 5, LIVES_S),
    ],
)
def test_a_server_that_asks_for_patience_gets_it(server, told, status, text, least, most):
    told(server.url)
    if text == "date":
        text = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    server.behaviours[:] = [answering(status, headers={"Retry-After": text})]
    made(ROOM)
    serve()
    assert least <= due_in() <= most


@pytest.mark.usefixtures("stack")
def test_an_address_that_is_gone_is_not_used_any_more_until_it_is_enabled(server, told):
    told(server.url)
    server.behaviours[:] = [answering(410)]
    first, second, other = made(ROOM, ROOM, OTHER_ROOM)
    serve()
    serve(OTHER_ROOM)
    assert sent(server) == [first.id]
    (letter,) = owed.dead_letters()
    assert first.id in letter.reason
    for room in (ROOM, OTHER_ROOM):
        assert (queued(room), pusher(room)) == ([], None)
    for each in (first, second, other):
        assert commands.find(each.id) is not None  # to be pulled

    push.enable(server.url)
    (again,) = made(ROOM)
    serve()
    assert sent(server)[1:] == [again.id]

    server.behaviours[:] = [answering(410)]
    made(ROOM)
    serve()
    told(f"{server.url}/another")
    (last,) = made(ROOM)
    serve()
    assert sent(server)[-1] == last.id


# Bad servers


@contextmanager
def raw(behave) -> Iterator[int]:
    """The port of a server that treats each connection as it likes."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.settimeout(5)
                    try:
                        behave(sock, stop)
                    except OSError:
                        continue

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def reset(sock, stop):
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def silence(sock, stop):
    stop.wait(5)


def drip(sock, stop):
    sock.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        sock.sendall(bytes([byte]))
        if stop.wait(0.05):
            return


def drip_in_the_body(sock, stop):
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not stop.wait(0.05):
        sock.sendall(b"x")


def no_http(sock, stop):
    sock.recv(65536)
    sock.sendall(b"220 mail.example ESMTP\r\n")


def hang_up(sock, stop):
    sock.recv(65536)


@contextmanager
def refused(_) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/"


@contextmanager
def unknown_name(_) -> Iterator[str]:
    yield "https://nowhere.invalid/"


def behaving(behave):
    @contextmanager
    def place(_) -> Iterator[str]:
        with raw(behave) as port:
            yield f"http://127.0.0.1:{port}/"

    return place


def answered(status):
    @contextmanager
    def place(server) -> Iterator[str]:
        server.usual = answering(status, b"{}", {"Location": "/elsewhere"})
        yield server.url

    return place


def gigabyte(status):
    def pour(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        block = b"x" * (1 << 20)
        for _ in range(1 << 10):
            handler.wfile.write(block)

    @contextmanager
    def place(server) -> Iterator[str]:
        server.usual = pour
        yield server.url

    return place


TAKEN, LATER, SILENCED = "taken", "later", "silenced"
BAD_SERVERS = [
    ("refuses", refused, LATER, "no connection"),
    ("reset", behaving(reset), LATER, "no answer that can be read"),
    ("hangs up", behaving(hang_up), LATER, "no answer that can be read"),
    ("speaks no HTTP", behaving(no_http), LATER, "no answer that can be read"),
    ("silence", behaving(silence), LATER, "no answer in time"),
    ("drips its head", behaving(drip), LATER, "no answer in time"),
    ("drips its body", behaving(drip_in_the_body), TAKEN, ""),
    ("unknown name", unknown_name, LATER, "a name without an address"),
    *((str(status), answered(status), TAKEN, "") for status in (200, 201, 202, 204)),
    *(
        (str(status), answered(status), LATER, f"status {status}")
        for status in (301, 302, 303, 307, 308, 400, 401, 404, 408, 429, 500, 502, 503)
    ),
    ("410", answered(410), SILENCED, "status 410"),
    ("a GB of 200", gigabyte(200), TAKEN, ""),
    ("a GB of 500", gigabyte(500), LATER, "status 500"),
]


def outcome(caplog, place, told, server):
    """What comes of a command that is sent to a bad server, and what the log says of it."""
    caplog.clear()
    with place(server) as url:
        told(url)
        (command,) = made(ROOM)
        serve()
    reasons = [record.args[1] for record in caplog.records if "did not take" in record.msg]
    if queued() == [command.id]:
        found = LATER
        assert 4.5 <= due_in() <= 5.5
        writes.batch(deletes=[keys.owt_push(ROOM, command.id), keys.owt_pusher(ROOM)])
    else:
        letters = owed.dead_letters()
        found = SILENCED if letters else TAKEN
        writes.batch(deletes=[(letter.pk, letter.sk) for letter in letters])
        push.enable(url)
    return found, "".join(reasons)


@pytest.mark.usefixtures("stack", "still")
def test_what_becomes_of_a_command_that_a_bad_server_gets(told, server, caplog, monkeypatch):
    caplog.set_level("INFO", logger="chalicelib.media.push")
    monkeypatch.setattr(push, "WITHIN_S", 0.5)

    def unresolved(host, *rest, **options):
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return resolve(host, *rest, **options)

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    found = [(name, *outcome(caplog, place, told, server)) for name, place, _, _ in BAD_SERVERS]
    assert found == [(name, what, reason) for name, _, what, reason in BAD_SERVERS]


@pytest.mark.usefixtures("stack")
def test_a_server_without_a_trusted_certificate_is_told_nothing(told, tmp_path, monkeypatch):
    certificates = receiver.certificates(tmp_path)
    with receiver.receiving(certificates) as running:
        told(running.url)
        first, second = made(ROOM, OTHER_ROOM)
        serve()
        assert (running.requests, queued()) == ([], [first.id])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        outgoing._tls.cache_clear()
        serve(OTHER_ROOM)
        assert sent(running) == [second.id]


HERE = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "::127.0.0.1")
INSIDE = (
    *("0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "169.254.169.254", "169.254.170.2"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.0.1", "192.168.255.255", "198.18.0.1"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:a00:1::"),
)
NUMBERS = (
    *("127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0"),
    *(
        "127.0.0.1.",
        "127.0.0.01",
        "127.255.255.254",
        "0x7f.0x0.0x0.0x1",
        "3232235521",
        "2852039166",
        "0xa9fea9fe",
    ),
)
NAMES = {
    "localhost": ["127.0.0.1"],
    "LOCALHOST": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "both.example": ["8.8.8.8", "127.0.0.1"],
    "six.example": ["2606:4700::1111", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nowhere.example": [],
}
ODD = (
    *(
        "http://127.0.0.1:{}/",
        "http://8.8.8.8:{}/",
        "ftp://127.0.0.1:{}/",
        "file:///etc/passwd",
        "gopher://h/",
    ),
    *("https://8.8.8.8@127.0.0.1:{}/", "https://127.0.0.1:{}@8.8.8.8/", "https://8.8.8.8\\@127.0.0.1:{}/"),
    *("https://127.0.0.1:{} /", "https://127.0.0.1:{}\r\nHost: a", "//127.0.0.1:{}/", "127.0.0.1:{}"),
    *("https://①②⑦.⓪.⓪.①:{}/", "https://%31%32%37.0.0.1:{}/", "https://[::1%25lo]:{}/", "https://[::1/"),
    *("https://127。0。0。1:{}/", "https:/127.0.0.1:{}/", "https://127.0.0.1:0/", "https://127.0.0.1:99999/"),
)


def every_way_in(port):
    yield from (f"https://{host if ':' not in host else f'[{host}]'}:{port}/" for host in (*HERE, *INSIDE))
    yield from (f"https://{host}:{port}/" for host in (*NUMBERS, *NAMES))
    yield from (url.format(port) for url in ODD)


def resolved(host, port, *_, **__):
    """As the system's resolver takes numbers, and these names."""
    try:
        found = NAMES[host] if host in NAMES else [socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))]
    except OSError:
        found = [host] if ":" in host else []
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return [
        (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
        for each in found
    ]


def test_no_url_leads_to_a_machine_that_is_not_public(told, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    hits: list[int] = []

    def trap(sock, stop):
        hits.append(1)

    with raw(trap) as port:
        urls = list(every_way_in(port))
        assert len(urls) >= 80
        let_through = []
        for url in urls:
            try:
                told(url, private="false")
                endpoint = webhooks.get().of(SERVICE)
            except settings.BadSetting:
                continue
            assert endpoint is not None
            outcome = push._send(endpoint, "id", "{}")
            if outcome.failure not in (Failure.BAD_URL, Failure.NOT_PUBLIC, Failure.NO_ADDRESS):
                let_through.append((url, outcome))
        assert (hits, let_through, network.attempts) == ([], [], [])
        # The trap works.
        told(f"https://127.0.0.1:{port}/")
        endpoint = webhooks.get().of(SERVICE)
        assert endpoint is not None
        assert not push._send(endpoint, "id", "{}").accepted
        assert hits


@pytest.mark.parametrize(("usual", "ours"), [("30", 30.0), ("1", 14.0), ("100", 100.0)])
def test_a_lease_outlasts_a_request(monkeypatch, usual, ours):
    monkeypatch.setenv("FOYER_WORK_LEASE_S", usual)
    settings.reset()
    assert push.lease_s() == ours


@pytest.mark.usefixtures("stack", "still")
def test_a_worker_renews_its_lease_before_it_could_run_out_in_a_request(server, told, at):
    told(server.url)
    left: list[float] = []

    def slowly(handler):
        left.append(due_in())
        at(9)
        answering(200)(handler)

    server.usual = slowly
    ordered = [order(SERVICE, ROOM).id for _ in range(5)]
    serve()
    assert sent(server) == ordered
    assert min(left) >= push.WITHIN_S + push.SPARE_S


def test_ten_seconds_and_64_kib_are_what_an_answer_may_take():
    assert (push.WITHIN_S, push.ANSWER) == (10.0, 65536)
    assert push.SCHEDULE.delays_s == SCHEDULE


def test_a_worker_is_not_kept_by_what_is_pushed(acme, told, server):
    told(server.url)
    room = acme.room()
    made_there = order(acme.service, room)
    push.serve(keys.owt_pusher(room))
    assert [each["id"] for each in ok(Worker(acme).waiting())] == [made_there.id]
    assert Worker(acme).ack(made_there.id, {"ok": True}).status == 204
