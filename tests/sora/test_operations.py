"""The six operations: what they answer, what they keep, and what they push (contract 4 and 5)."""

import itertools
import json
from typing import Any, Final

import pytest

from chalicelib.store import keys
from tests.sora.api import (
    CHANNEL,
    CONNECTION,
    DELETE,
    DELETE_ITEM,
    GET,
    LIST,
    NO_CONNECTION,
    OPERATIONS,
    OTHER,
    PUT,
    PUT_ITEM,
    RICHEST,
    about,
    come,
    done,
    given,
    go,
    pushed,
    refusal,
    rpc,
)
from tests.support.counts import full

VALUES: Final[tuple[Any, ...]] = (
    None,
    False,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "日本語",
    [],
    {},
    [None, {"a": [1]}],
    10**40,
)
STRANGE = (
    "a#b",
    "a/b",
    "a%2Fb",
    "a/b ",
    "😀",
    "\0",
    "é",
    "e\u0301",
    "x" * 255,
    "é" * 127,
    "c",
    "#",
    " ",
    '"',
    "\\",
    "constructor",
)


@pytest.fixture(autouse=True)
def _connection(table):
    come()


def put(metadata, **also):
    return done(rpc(PUT, about(metadata=metadata, **also)))


def get(connection_id=CONNECTION, channel_id=CHANNEL):
    return done(rpc(GET, about(connection_id, channel_id)))


def test_a_new_connection_has_empty_metadata():
    answer = rpc(GET, about())
    assert (answer.status, answer.body) == (200, "{}")


def test_the_list_shows_each_connection_with_its_metadata():
    come(OTHER, client_id="alice", bundle_id="b")
    put({"abc": 10})
    answer = rpc(LIST, channel_id=CHANNEL)
    found = sorted(done(answer), key=lambda each: each["connection_id"])
    assert found == [
        {
            "client_id": CONNECTION,
            "bundle_id": CONNECTION,
            "connection_id": CONNECTION,
            "metadata": {"abc": 10},
        },
        {"client_id": "alice", "bundle_id": "b", "connection_id": OTHER, "metadata": {}},
    ]
    assert " " not in answer.body


def test_a_channel_that_nobody_is_in_has_an_empty_list():
    assert rpc(LIST, channel_id="nobody").body == "[]"


def test_a_put_replaces_the_whole():
    assert put({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert put({"c": 3}) == {"c": 3}
    assert get() == {"c": 3}


def test_a_delete_answers_what_was_there_and_leaves_the_connection():
    put({"abc": "efg"})
    assert done(rpc(DELETE, about())) == {"abc": "efg"}
    assert get() == {}
    assert done(rpc(DELETE, about())) == {}
    assert [each["metadata"] for each in done(rpc(LIST, channel_id=CHANNEL))] == [{}]


def test_an_item_is_put_in_its_place_or_at_the_end():
    put({"a": 1, "b": 2})
    assert rpc(PUT_ITEM, about(key="a", value=3)).body == '{"a":3,"b":2}'
    assert rpc(PUT_ITEM, about(key="", value=None)).body == '{"a":3,"b":2,"":null}'


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_any_json_is_a_value(value):
    assert done(rpc(PUT_ITEM, about(key="k", value=value))) == {"k": value}
    assert get() == {"k": value}


def test_a_deleted_item_need_not_have_been_there():
    put({"a": 1, "b": 2})
    assert done(rpc(DELETE_ITEM, about(key="a"))) == {"b": 2}
    assert done(rpc(DELETE_ITEM, about(key="a"))) == {"b": 2}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each != LIST])
def test_a_connection_that_is_not_there_is_an_error_and_is_not_made(operation):
    asked = RICHEST | {"connection_id": OTHER, "push": True} if operation != GET else about(OTHER)
    assert refusal(rpc(operation, asked)) == NO_CONNECTION
    assert refusal(rpc(operation, {**asked, "connection_id": CONNECTION, "channel_id": "x"})) == NO_CONNECTION
    assert len(done(rpc(LIST, channel_id=CHANNEL))) == 1


@pytest.mark.parametrize("identity", ["", "x" * 256, "é" * 128, "y" * 100_000])
def test_an_id_that_cannot_exist_finds_nothing(identity, table):
    come(identity)
    come(CONNECTION, identity)
    assert refusal(rpc(GET, about(identity))) == NO_CONNECTION
    assert refusal(rpc(PUT, about(channel_id=identity, metadata={}, push=True))) == NO_CONNECTION
    assert rpc(LIST, channel_id=identity).body == "[]"
    go(identity)
    assert len(table.rows()) == 1


def test_ids_are_never_mixed_up():
    pairs = list(itertools.product(STRANGE, STRANGE))[:: full(7, 1)]
    for number, (channel, connection) in enumerate(pairs):
        come(connection, channel)
        assert done(rpc(PUT, about(connection, channel, metadata={"n": number}))) == {"n": number}
    for number, (channel, connection) in enumerate(pairs):
        assert get(connection, channel) == {"n": number}
    for channel in {channel for channel, _ in pairs}:
        listed = {each["connection_id"] for each in done(rpc(LIST, channel_id=channel))}
        assert listed == {connection for ours, connection in pairs if ours == channel}


LONG = "1" * 10_000
FAITHFUL = (
    '{"z":1,"a":2,"m":{"z":1,"a":2}}',
    '{"":"","a b":"\\u0001\\t\\"\\\\"}',
    '{"n":123456789012345678901234567890123456789012345,"m":-' + LONG + "}",
    '{"f":0.1,"g":1.10,"h":1E400,"i":-0.0,"j":3.141592653589793238462643383279}',
    '{"deep":' + "[" * 40 + '{"x":null}' + "]" * 40 + "}",
    '{"e":[[],{},null,false,true,""]}',
    '{"日本":"😀\u2028é"}',
)


@pytest.mark.parametrize("text", FAITHFUL, ids=lambda text: text[:20])
def test_what_was_put_comes_back_as_it_was_written(text, table):
    body = f'{{"channel_id":"{CHANNEL}","connection_id":"{CONNECTION}","metadata":{text},"push":true}}'
    assert rpc(PUT, body.encode()).body == text
    assert rpc(GET, about()).body == text
    assert text in rpc(LIST, channel_id=CHANNEL).body
    assert text in pushed(table)[0]
    item = f'{{"channel_id":"{CHANNEL}","connection_id":"{CONNECTION}","key":"k","value":{text}}}'
    assert rpc(PUT_ITEM, item.encode()).body.endswith(f'"k":{text}}}')
    assert rpc(DELETE_ITEM, about(key="k")).body == text


def test_escapes_and_blanks_do_not_count():
    blank = (
        ' { "channel_id" : "sora", "connection_id":"c",\n "metadata" : { "\\u00e9" : "\\ud83d\\ude00\\/" } } '
    )
    body = blank.replace('"c"', f'"{CONNECTION}"')
    assert rpc(PUT, body.encode()).body == '{"é":"😀/"}'


def test_metadata_grow_to_their_limit_and_not_past_it():
    overhead = len('{"k":""}')
    fits = {"k": "é" * ((65536 - overhead) // 2)}
    assert put(fits) == fits
    answer = rpc(PUT_ITEM, about(key="x", value=1))
    assert answer.status == 400
    assert answer.json() == {"error_type": "MetadataTooLarge", "error_reason": {"limit": 65536}}
    assert rpc(PUT, about(metadata={"k": "a" * 65536})).status == 400
    assert get() == fits
    assert refusal(rpc(PUT, about(OTHER, metadata={"k": "a" * 65536}))) == NO_CONNECTION


def test_the_limit_is_a_setting(monkeypatch):
    given(monkeypatch, METADATA_LIMIT="9")
    put({"a": 123})
    assert refusal(rpc(PUT, about(metadata={"a": 1234}))) == (400, "MetadataTooLarge")


def test_a_list_that_no_function_can_give_is_refused_whole(table):
    text = "a" * 60_000
    for number in range(104):
        come(f"c{number}", "large")
        put_there = rpc(PUT, about(f"c{number}", "large", metadata={"k": text}))
        assert put_there.status == 200
    assert done(rpc(LIST, channel_id="large"))[0]["metadata"] == {"k": text}
    come("one more", "large")
    rpc(PUT, about("one more", "large", metadata={"k": text}))
    assert refusal(rpc(LIST, channel_id="large")) == (400, "ResponseTooLarge")


PUSHES: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    (PUT, {"metadata": {"b": 2}}, {"action": "PutMetadata", "metadata": {"b": 2}}),
    (DELETE, {}, {"action": "DeleteMetadata", "metadata": {"a": 1}}),
    (PUT_ITEM, {"key": "b", "value": None}, {"action": "PutMetadataItem", "key": "b", "value": None}),
    (DELETE_ITEM, {"key": "a"}, {"action": "DeleteMetadataItem", "key": "a"}),
    (DELETE_ITEM, {"key": "none"}, {"action": "DeleteMetadataItem", "key": "none"}),
)


@pytest.mark.parametrize(("operation", "more", "data"), PUSHES)
def test_a_push_says_what_was_done(operation, more, data, table):
    put({"a": 1})
    done(rpc(operation, about(push=True, **more)))
    (text,) = pushed(table)
    assert json.loads(text) == {
        "type": "push",
        "data": {**data, "connection_id": CONNECTION, "type": "signaling_notify_metadata_ext"},
    }


@pytest.mark.parametrize("also", [{}, {"push": False}])
def test_nobody_is_told_unless_it_is_asked_for(also, table):
    for operation, more, _ in PUSHES:
        done(rpc(operation, about(**more, **also)))
    assert pushed(table) == []
    assert table.messages() == []


def test_a_push_is_kicked_by_its_key(table):
    put({"a": 1}, push=True)
    (message,) = table.messages()
    kick = json.loads(message["Body"])
    assert (kick["kind"], kick["pk"]) == ("sora.push", keys.sora_pushes(CHANNEL))


def test_pushes_stand_in_the_order_of_the_changes_whatever_the_clocks_say(table, monkeypatch):
    now = 1_800_000_000.0
    times = iter([now, now - 5, now - 5, now + 3600, now - 60])
    monkeypatch.setattr(
        "chalicelib.sora.store.ids.rising", lambda _: f"{int(next(times) * 65536):012x}" + "0" * 12
    )
    for number in range(5):
        put({"n": number}, push=True)
    assert [json.loads(text)["data"]["metadata"]["n"] for text in pushed(table)] == list(range(5))


def test_a_push_that_no_gateway_would_take_is_not_owed(table):
    put({"a": 1})
    assert done(rpc(DELETE_ITEM, about(key="k" * 200_000, push=True))) == {"a": 1}
    assert pushed(table) == []


def test_the_push_of_the_largest_metadata_fits_a_message_unescaped(table):
    metadata = {"k": "日" * 21_000}
    put(metadata, push=True)
    (text,) = pushed(table)
    assert len(text.encode()) < 128 * 1024
    assert "日" in text
