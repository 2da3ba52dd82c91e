"""Storage that fails or whose answers are lost: the caller is told the truth, and nothing is done twice."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.sora import store
from chalicelib.store import table
from tests.sora.api import (
    DELETE,
    DELETE_ITEM,
    GET,
    LIST,
    PUT,
    PUT_ITEM,
    about,
    come,
    done,
    event,
    pushed,
    rpc,
)
from tests.support.faults import ALL, Fault, Injector, Kind

BEFORE = {"a": 1, "b": 2}
CHANGES: tuple[tuple[str, dict[str, Any], Any, Any], ...] = (
    (PUT, {"metadata": {"c": 3}}, {"c": 3}, {"c": 3}),
    (PUT_ITEM, {"key": "c", "value": 3}, BEFORE | {"c": 3}, BEFORE | {"c": 3}),
    (DELETE_ITEM, {"key": "a"}, {"b": 2}, {"b": 2}),
    (DELETE, {}, {}, BEFORE),
)


@pytest.fixture
def injector(stack, monkeypatch) -> Iterator[Injector]:
    come()
    done(rpc(PUT, about(metadata=BEFORE)))
    ours = Injector(monkeypatch)
    yield ours
    ours.stop()


@pytest.mark.parametrize("push", [False, True])
@pytest.mark.parametrize(("operation", "more", "after", "answer"), CHANGES)
def test_a_change_is_done_once_or_refused_whatever_storage_does(
    operation, more, after, answer, push, injector, stack
):
    for at in range(3 if push else 2):
        for kind, lasting in ALL:
            fault = Fault(at, kind, lasting)
            done(rpc(PUT, about(metadata=BEFORE)))
            mark = len(pushed(stack))
            with injector.injecting(fault):
                answered = rpc(operation, about(push=push, **more))
            if answered.status == 200:
                assert answered.json() == answer, fault
                assert done(rpc(GET, about())) == after, fault
                assert len(pushed(stack)) == mark + push, fault
            else:
                assert (answered.status, answered.json()) == (500, {"error_type": "HandlerException"}), fault
                assert lasting, fault
                # Where the answer alone was lost it was done, and the same request may be made again.
                assert done(rpc(GET, about())) in (BEFORE, after), fault


def test_what_cannot_be_read_is_a_500(injector):
    for operation, body in ((GET, about()), (LIST, {"channel_id": "sora"})):
        with injector.injecting(Fault(0, Kind.FAILS, lasting=True)):
            answered = rpc(operation, body)
        assert (answered.status, answered.json()) == (500, {"error_type": "HandlerException"})


def test_an_event_that_could_not_be_kept_is_a_500(injector):
    with injector.injecting(Fault(0, Kind.FAILS, lasting=True)):
        assert event("connection.created", "another").status == 500
    assert len(done(rpc(LIST, channel_id="sora"))) == 1


class Repeats:
    """Loses the answer of the first write, and plays something before the SDK makes it once more."""

    def __init__(self, play: Callable[[], None]) -> None:
        self.play = play
        self.seen = 0
        self.own: bytes | None = None

    def meet(self, request: Any, event_name: str, **_: Any) -> None:
        operation, invocation = event_name.rpartition(".")[2], request.headers["amz-sdk-invocation-id"]
        if self.own is None and operation in {"UpdateItem", "TransactWriteItems"}:
            self.own = invocation
        if invocation != self.own:
            return
        self.seen += 1
        if self.seen == 1:
            assert table.client()._endpoint.http_session.send(request).content is not None
            raise ReadTimeoutError(endpoint_url=request.url)
        if self.seen == 2:
            self.play()


@pytest.mark.parametrize("push", [False, True])
@pytest.mark.parametrize(("operation", "more", "after", "answer"), CHANGES)
def test_a_change_whose_answer_was_lost_does_not_undo_what_came_after_it(
    operation, more, after, answer, push, stack, monkeypatch
):
    come()
    done(rpc(PUT, about(metadata=BEFORE)))
    # What comes meanwhile is another process's, which waits for no turn in this one.
    monkeypatch.setattr(store, "_turn", lambda key: nullcontext())

    def meanwhile() -> None:
        for number in range(3):
            done(rpc(PUT_ITEM, about(key="c", value=number)))

    repeats = Repeats(meanwhile)
    table.client().meta.events.register("before-send", repeats.meet)
    answered = rpc(operation, about(push=push, **more))
    table.client().meta.events.unregister("before-send", repeats.meet)
    assert repeats.seen == 2
    assert done(answered) == answer
    assert done(rpc(GET, about())) == after | {"c": 2}
    assert len(pushed(stack)) == push


def test_the_order_of_pushes_survives_a_lost_answer(stack):
    come()
    for number in range(3):
        repeats = Repeats(lambda: None)
        table.client().meta.events.register("before-send", repeats.meet)
        done(rpc(PUT_ITEM, about(key="n", value=number, push=True)))
        table.client().meta.events.unregister("before-send", repeats.meet)
    assert [json.loads(text)["data"]["value"] for text in pushed(stack)] == [0, 1, 2]
