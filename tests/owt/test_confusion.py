"""Requests whose values are of other types than documented: each is served, refused, or not found.

Each begins as one that its route takes (tests/owt/furnished.py), and then some of its values are replaced,
left out or doubled.  Whatever comes of it, it is no server error but the one that says what a room cannot do.
"""

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.owt.api import NOTHING, REFUSED, Api, ok, refusal
from tests.owt.furnished import CASES, Case, Furnished, furnish, layout
from tests.support.counts import full
from tests.support.events import Answer

REQUESTS: Final = full(400, 2000)
SEED: Final = 20_250_601
RENEWED: Final = 40
"""After so many requests what is in the room is made anew: some of it has been removed."""

OTHER_TYPES: Final[tuple[Any, ...]] = (None, "odd", [], {}, 7, True)
DEEP: Final = "[" * 70 + "]" * 70
ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 5e-324, 2**31, 2**63, 2**64, -(2**70), 10**300),
    *(
        "",
        " ",
        "0",
        "1",
        "true",
        "null",
        "1/0",
        "0/0",
        "-1/2",
        "1e999",
        "NaN",
        "x1/0",
        "x0.2",
        "\x00",
        "\u2028",
    ),
    *("ä" * 300, "x" * 5000, "../..", "{room}", "__proto__", "common", "admin", "active", "#", "p#x"),
    *([], [[]], [None], [1, "a", {}], {}, {"": ""}, {"a": {"b": {"c": []}}}, {"audio": True}, {"from": 1}),
    *({"codec": "opus"}, {"codec": None}, {"width": "1", "height": []}, {"__class__": "x"}),
)
ODD_BODIES: Final = (
    *(b"", b" ", b"{", b"[", b'"', b"\xff\xfe", b"\x00", b"null", b"NaN", b"1e999", b"-", b"tru", b"{}{}"),
    *(b'{"a":1,"a":2}', b'"\\ud800"', b"[1,]", DEEP.encode(), b"9" * 5000, b'{"name":"\\u0000"}'),
    b"\xef\xbb\xbf{}",
)
ODD_NAMES: Final = (
    "0",
    "-",
    "%00",
    "%2F",
    "%F0%9F%98%80",
    "x" * 2000,
    "a%20b",
    "..",
    "p%23x",
    "null",
    "common",
)
ODD_QUERIES: Final = (
    "",
    "?page=x&per_page=-1",
    "?per_page=1e9",
    "?per_page=%00",
    "?page=&per_page=",
    "?a=b&a=c",
)
KNOWN_CODES: Final = {1001, 1002, 1003, 1004, 1005, 1101, 1102, 1301}


class Confuser:
    """Makes requests wrong, by chance that can be repeated."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def body(self, good: Any) -> Any:
        """A body with one to three of its values replaced, left out, doubled or renamed."""
        made = copy.deepcopy(good)
        for _ in range(self.chance.randint(1, 3)):
            made = self._mutated(made)
        return made

    def _mutated(self, whole: Any) -> Any:
        places = list(_places(whole))
        if not places or self.chance.random() < 0.05:
            return self.value()
        inside, at = self.chance.choice(places)
        match self.chance.randrange(8):
            case 0:
                del inside[at]
            case 1 if isinstance(inside, dict):
                inside[f"{at}x"] = inside.pop(at)
            case 2 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[at]))
            case 3:
                inside[at] = [inside[at]]
            case 4:
                inside[at] = {"value": inside[at]}
            case 5:
                inside[at] = str(inside[at])
            case _:
                inside[at] = self.value()
        return whole

    def value(self) -> Any:
        """A value of any type."""
        return copy.deepcopy(self.chance.choice(ODD_VALUES))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    found: list[Any] = []
    if isinstance(value, dict):
        found = list(value)
    elif isinstance(value, list):
        found = list(range(len(value)))
    for at in found:
        yield value, at
        yield from _places(value[at])


def send(confuser: Confuser, case: Case, there: Furnished, good: Any) -> tuple[str, Answer]:
    """One confused request of a case; what was sent, and its answer."""
    chance, names = confuser.chance, dict(there.names)
    if chance.random() < 0.1:
        names[chance.choice(sorted(names))] = chance.choice(ODD_NAMES)
    path = case.path.format(**names) + (chance.choice(ODD_QUERIES) if chance.random() < 0.3 else "")
    api = there.api.at(chance.choice(["v1", "v1.1"]))
    if good is NOTHING or chance.random() < 0.08:
        raw = chance.choice(ODD_BODIES)
        return f"{case.method} {path} {raw[:80]!r}", api.call(case.method, path, raw=raw)
    body = confuser.body(good)
    return f"{case.method} {path} {json.dumps(body)[:400]}", api.call(case.method, path, body)


def renewed(api: Api) -> Furnished:
    """A room in which something is mixed too."""
    made = furnish(api)
    put_in = [{"op": "add", "path": "/info/inViews", "value": "common"}]
    ok(api.patch(f"/rooms/{made.room}/streams/{made.names['stream']}", put_in))
    return made


LAYOUT: Final = Case("PATCH", "/rooms/{room}/streams/{room}-common", layout)
WITH_BODIES: Final = [case for case in CASES if case.method in ("POST", "PUT", "PATCH")]
OTHERS: Final = [case for case in CASES if case not in WITH_BODIES]


@pytest.mark.parametrize("part", range(4))
def test_no_confused_request_is_a_server_error(api, part):
    confuser = Confuser(SEED + part)
    outcomes: Counter[str] = Counter()
    there = renewed(api)
    for number in range(1, REQUESTS // 4 + 1):
        if number % RENEWED == 0:
            there = renewed(api)
        # Most of what can be confused is in bodies.
        choice = [LAYOUT, *WITH_BODIES] if number % 8 else OTHERS
        case = confuser.chance.choice(choice)
        sent, answer = send(confuser, case, there, case.body(there))
        outcomes[outcome(sent, answer)] += 1
    assert outcomes["bad"] > REQUESTS / 4 * 0.3, outcomes
    assert outcomes["fine"] > REQUESTS / 4 * 0.02, outcomes


def outcome(sent: str, answer: Answer) -> str:
    """What became of a request.  Fails where that is none of what may become of it."""
    if answer.status == 200:
        return "fine"
    spelled = (answer.status, answer.json()["error"]["code"])
    if spelled == REFUSED:
        return "refused"
    assert answer.status in (400, 401, 403, 404), (sent, answer)
    assert spelled[1] in KNOWN_CODES, (sent, answer)
    if answer.header("x-request-id") is not None:
        assert refusal(answer) == spelled
    return "bad" if answer.status == 400 else "not found"


@pytest.mark.parametrize("case", [LAYOUT, *WITH_BODIES], ids=str)
def test_a_value_of_another_type_in_each_place_is_no_server_error(api, case):
    there = renewed(api)
    good = case.body(there)
    places = list(_places(good))
    for number, (_, _) in enumerate(places):
        for value in OTHER_TYPES:
            body = copy.deepcopy(good)
            inside, at = list(_places(body))[number]
            if isinstance(value, type(inside[at])) and not isinstance(value, bool):
                continue
            inside[at] = value
            outcome(json.dumps(body), case.send(api, there.names, body))
