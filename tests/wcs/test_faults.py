"""Storage that fails: the server is told by a 500, and nothing is lost or half done."""

import pytest

from chalicelib.wcs import store
from tests.conftest import Stack
from tests.support.faults import ALL, Fault, Injector, Kind
from tests.wcs.server import SESSION, Server, User, error, event, kept, ok, spell


@pytest.fixture
def server(stack: Stack) -> Server:
    """A server, on ministack."""
    return Server()


@pytest.fixture
def user(stack: Stack) -> User:
    """A user, on ministack."""
    return User()


@pytest.fixture
def injector(stack, monkeypatch):
    """Spoils storage calls."""
    made = Injector(monkeypatch)
    yield made
    made.stop()


def meet(injector, fault, request):
    """A request during which this happens."""
    with injector.injecting(fault):
        answer = request()
    assert injector.met
    return answer


@pytest.mark.parametrize(("kind", "lasting"), ALL)
@pytest.mark.parametrize("at", [0, 1])
def test_an_event_is_kept_or_its_server_is_told(server, user, injector, at, kind, lasting):
    answer = meet(injector, Fault(at, kind, lasting), lambda: server.say())
    if answer.status == 200:
        assert answer.body.encode() == spell(event())
        assert user.every() == [kept()]
    else:
        assert error(answer) == 500
        assert lasting
    server.tell()
    assert user.every() == user.find(name="b4e7") == user.find(mediaSessionId=SESSION) == [kept()]


@pytest.mark.parametrize("kind", [Kind.FAILS, Kind.LOST])
def test_whatever_is_stored_can_be_found(server, user, injector, kind):
    for at in (0, 1):
        store.forget()
        given = {"mediaSessionId": f"{kind}{at}", "name": f"name of {kind}{at}"}
        answer = meet(injector, Fault(at, kind, True), lambda given=given: server.say(**given))
        assert answer.status == 500
        stored = user.find(mediaSessionId=given["mediaSessionId"])
        assert user.find(name=given["name"]) == stored
        assert [each for each in user.every() if each["name"] == given["name"]] == stored
        assert bool(stored) == (kind is Kind.LOST and at == 1)


@pytest.mark.parametrize(("kind", "lasting"), ALL)
def test_a_final_status_whose_answer_is_lost_stays_and_is_sent_again_in_vain(
    server, user, injector, kind, lasting
):
    server.tell()
    answer = meet(injector, Fault(0, kind, lasting), lambda: server.say(status="FAILED", info="why"))
    assert answer.status in (200, 500)
    server.tell(status="FAILED", info="why")
    server.tell()
    assert user.one() == kept(status="FAILED", info="why")


@pytest.mark.parametrize("at", [0, 1])
def test_the_end_is_asked_for_or_the_user_is_told(server, user, injector, at):
    server.tell()
    wanted = {"mediaSessionId": SESSION}
    assert error(meet(injector, Fault(at, Kind.FAILS, True), lambda: user.post("terminate", wanted))) == 500
    ok(server.say("StreamKeepAliveEvent"))
    ok(user.post("terminate", wanted))
    assert error(server.say("StreamKeepAliveEvent")) == 403


def test_a_keep_alive_that_cannot_be_looked_up_is_a_500(server, injector):
    server.tell()
    assert (
        error(meet(injector, Fault(0, Kind.FAILS, True), lambda: server.say("StreamKeepAliveEvent"))) == 500
    )


@pytest.mark.parametrize("path", ["find_all", "find"])
def test_streams_that_cannot_be_read_are_a_500(server, user, injector, path):
    server.tell()
    answer = meet(injector, Fault(0, Kind.FAILS, True), lambda: user.post(path, {"name": "b4e7"}))
    assert error(answer) == 500
    assert "b4e7" not in answer.body


def test_hooks_that_keep_nothing_do_not_need_storage(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for hook in ("connect", "publishStream", "StreamEvent"):
        ok(server.say(hook))
