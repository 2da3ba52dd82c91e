"""Lists of updates: all of one, or a refusal."""

import pytest

from chalicelib.errors import ValidationError
from chalicelib.wire import patch, untrusted
from chalicelib.wire.patch import Update


def parse(text: str) -> list[Update]:
    return patch.parse(untrusted.parse(text.encode(), limit=1_000_000))


def test_updates_are_read_in_order():
    assert parse(
        '[{"op":"replace","path":"/permission/publish","value":{"audio":true,"video":false}},'
        '{"op":"add","path":"/info/inViews","value":"common"}]'
    ) == [
        Update("replace", "/permission/publish", {"audio": True, "video": False}),
        Update("add", "/info/inViews", "common"),
    ]


def test_an_empty_list_changes_nothing_and_is_no_error():
    assert parse("[]") == []


def test_unknown_fields_of_an_entry_do_not_count():
    assert parse('[{"op":"add","path":"/a","value":1,"from":"/b","id":3}]') == [Update("add", "/a", 1)]


def test_what_op_path_and_value_may_be_is_for_the_resource_to_say():
    assert parse('[{"op":"","path":"","value":null}]') == [Update("", "", None)]


@pytest.mark.parametrize("body", ["{}", "null", '"[]"', "1", "true", '{"op":"add","path":"/a","value":1}'])
def test_what_is_no_list_is_refused(body):
    with pytest.raises(ValidationError, match="list"):
        parse(body)


@pytest.mark.parametrize("entry", ["null", "1", '"add"', "[]", '["add","/a",1]'])
def test_an_entry_that_is_no_object_is_refused(entry):
    with pytest.raises(ValidationError):
        parse(f"[{entry}]")


@pytest.mark.parametrize(
    "entry",
    [
        "{}",
        '{"path":"/a","value":1}',
        '{"op":"add","value":1}',
        '{"op":"add","path":"/a"}',
        '{"op":null,"path":"/a","value":1}',
        '{"op":1,"path":"/a","value":1}',
        '{"op":["add"],"path":"/a","value":1}',
        '{"op":"add","path":null,"value":1}',
        '{"op":"add","path":["/a"],"value":1}',
        '{"Op":"add","path":"/a","value":1}',
    ],
)
def test_an_entry_without_op_path_and_value_is_refused_whatever_stands_beside_it(entry):
    with pytest.raises(ValidationError):
        parse('[{"op":"add","path":"/a","value":1},' + entry + "]")


def test_a_list_has_an_end():
    entry = '{"op":"add","path":"/a","value":1}'
    assert len(parse(f"[{','.join([entry] * patch.MAX_UPDATES)}]")) == patch.MAX_UPDATES
    with pytest.raises(ValidationError):
        parse(f"[{','.join([entry] * (patch.MAX_UPDATES + 1))}]")
