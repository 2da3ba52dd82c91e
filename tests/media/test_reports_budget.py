"""What joining and reports cost in storage calls, exactly; counted below botocore."""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.owt.store import reported
from tests.media.api import BOTH, added, join, redeem, removed, tally, token, updated
from tests.media.test_reports import called, ended, hung_up, left, ready, record, shown
from tests.owt.api import Api, ok
from tests.support.storage import Storage, item_size

LARGEST_NOTE = 128


@pytest.fixture
def storage(boss: Api) -> Iterator[Storage]:
    """The counter."""
    counter = Storage()
    counter.listen()
    yield counter
    counter.deafen()


LIST = {"GetItem": 1, "BatchGetItem": 1}
"""The room, and which of the reports are known."""
CHANGE = {"BatchGetItem": 1, "TransactWriteItems": 1}
"""What it is about, and what becomes of it."""
NOTHING = {"BatchGetItem": 1, "PutItem": 1}
"""What it is about, and that it was ignored."""
ENDING = {"UpdateItem": 1, "Query": 1, "DeleteItem": 1}
"""What hung on it is looked for under a lease."""


def spent(*costs: dict[str, int]) -> dict[str, int]:
    return {name: sum(cost.get(name, 0) for cost in costs) for cost in costs for name in cost}


def test_joining_is_two_reads_a_transaction_and_a_look_at_the_room(boss: Api, storage: Storage):
    room = boss.room()
    for _ in range(3):
        text = token(boss, room)
        with storage.counting() as found:
            ok(redeem(boss, text))
        # The token, then the room; of the answer, the streams by a query and the participants by two calls.
        assert found == {"GetItem": 2, "BatchGetItem": 1, "TransactWriteItems": 1, "Query": 2}


def test_what_each_report_costs(boss: Api, storage: Storage):
    room = boss.room()
    alice, bob = join(boss, room), join(boss, room)
    tally(boss, room, added("s", alice), added("t"), called("c"), called("d"))
    name, other = record(boss, room, f"{room}-common"), record(boss, room, f"{room}-common")
    table: list[tuple[dict[str, Any], dict[str, int]]] = [
        (added("u", alice), CHANGE),
        (added("s", alice), CHANGE),
        (added("v", "nobody"), NOTHING),
        (updated("s", BOTH), CHANGE),
        (updated("nothing", BOTH), NOTHING),
        (ready(name, storage={"host": "h", "file": "f"}), CHANGE),
        (ended(name), CHANGE),
        (called("e"), CHANGE),
        (added("heard", "c", "sip"), CHANGE),
        # What is set in the view has to be read too.
        (shown("common"), spent(CHANGE, {"GetItem": 1})),
        (removed("t"), spent(CHANGE, ENDING)),
        # Whether its owner has ended, and what was fed by it.
        (removed("s"), spent(CHANGE, {"GetItem": 1}, ENDING)),
        (left(bob), spent(CHANGE, ENDING, {"Query": 1})),
        (hung_up("d"), spent(CHANGE, ENDING, {"Query": 1, "TransactWriteItems": 1})),
        ({"type": "node.gone", "node": "nothing"}, spent(NOTHING, {"Query": 1})),
    ]
    for report, cost in table:
        with storage.counting() as found:
            tally(boss, room, report)
        assert found == spent(LIST, cost), report
    with storage.counting() as found:
        tally(boss, room, *(removed(f"nothing {number}") | {"id": str(number)} for number in range(20)))
    # No forward stream has such an id: that need not be read.
    assert found == spent(LIST, {"PutItem": 20})
    with storage.counting() as found:
        tally(boss, room, *(removed(f"nothing {number}") | {"id": str(number)} for number in range(20)))
    assert found == LIST
    with storage.counting() as found:
        tally(boss, room, *(ended(other) for _ in range(2)))
    assert found == spent(LIST, CHANGE, NOTHING)


def test_a_note_of_a_report_is_small(boss: Api, storage: Storage):
    room = boss.room()
    tally(boss, room, added("s") | {"id": "x" * 256})
    call = [each for each in storage.calls if each.operation == "TransactWriteItems"][-1]
    items = [part["Put"]["Item"] for part in call.body["TransactItems"] if "Put" in part]
    (note,) = [item for item in items if item["pk"]["S"].startswith("oI")]
    assert item_size(note) <= LARGEST_NOTE
    assert int(note["expires_at"]["N"]) > reported.KNOWN_S
