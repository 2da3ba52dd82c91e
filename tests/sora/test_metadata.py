"""Metadata as text: nothing that JSON tells apart is lost, and nothing else is kept."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.sora import connection, metadata
from chalicelib.wire.untrusted import Malformed

texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=6)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_a_text_is_shortened_to_the_one_spelling(value, escaped, indent):
    assert metadata.compact(json.dumps(value, ensure_ascii=escaped, indent=indent)) == compact(value)


@given(objects, texts, values)
def test_items_come_and_go_as_those_of_a_dictionary(before, key, value):
    assert metadata.with_item(compact(before), key, compact(value)) == compact(before | {key: value})
    after = {name: each for name, each in before.items() if name != key}
    assert metadata.without_item(compact(before), key) == compact(after)


@pytest.mark.parametrize("number", ["1" * 20_000, "-0", "1.0", "1E5", "1e-7", "0.10", "1" + "0" * 400 + ".5"])
def test_numbers_stay_as_they_are_written(number):
    text = f'{{"a":[{number}]}}'
    assert metadata.compact(f' {{ "a" : [ {number} ] }} ') == text
    assert metadata.with_item(text, "b", number) == f'{{"a":[{number}],"b":{number}}}'


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"\udfff":1}', r'["a\ud83dx\ude00"]'])
def test_half_a_surrogate_pair_is_refused(text):
    with pytest.raises(Malformed):
        metadata.compact(text)


def test_the_size_is_that_of_unescaped_utf_8():
    assert metadata.size(metadata.compact(r'{"\u00e9": "\n"}')) == len('{"é":"\\n"}'.encode())


@pytest.mark.parametrize(
    ("raw", "spelled"),
    [
        ("03eee2b945f546fc8476006ff0ca08c0", "0FQE5EA5YN3FS13P01QZ1JG8R0"),
        ("d8ee428af75b4bab9bf76d34e6cd403b", "V3Q452QQBD5TQ6ZQDMTEDKA07C"),
    ],
)
def test_ids_are_spelled_as_the_documented_ones(raw, spelled):
    assert uuid.UUID(raw).version == 4
    assert connection.spell_id(bytes.fromhex(raw)) == spelled
