"""docs/errors.md is what its script makes of the code, and says what the contracts say."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any, Final

import pytest

from chalicelib.errors import AppError
from infra.gateway import http, rest
from tools import errors

ROOT: Final = Path(__file__).resolve().parent.parent
FACADES: Final = ("admin", "jitsi", "loop", "owt", "sora", "wcs")
PARTS: Final = {part.title: part for part in errors.PARTS}
GOLIVE: Final = "The waiting queue: `golive`"
FRAMES: Final = "The waiting queue: `ERROR` frames"


def contract(name: str, heading: str) -> str:
    """One section of a contract."""
    text = (ROOT / "docs" / "contracts" / f"{name}.md").read_text()
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def answers(title: str) -> list[errors.Row]:
    """What the page has of one edge."""
    return errors.rows(PARTS[title])


def test_the_page_is_what_the_code_says_now():
    assert errors.PAGE.read_text() == errors.page(), "`make errors` makes it anew"


@pytest.mark.parametrize("facade", FACADES)
def test_every_fact_of_a_system_has_its_row(facade: str):
    module = importlib.import_module(f"chalicelib.{facade}.errors")
    ours = {
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, AppError) and kind.__module__ == module.__name__
    }
    listed = {kind for part in errors.PARTS for row in errors.rows(part) for kind in row.kinds}
    assert ours
    assert ours <= listed | errors.INNER


def test_the_numbers_of_the_management_api_are_those_of_its_contract():
    said = {
        (row.said[0], number)
        for row in answers("Conference management and the media plane")
        for number in re.findall(r'"code":(\d+)', row.said[1])
    }
    documented = {
        (status, number)
        for status, numbers in re.findall(r"^\| (\d{3}) \| ([\d, ]+) \|", contract("owt", "Errors"), re.M)
        for number in numbers.split(", ")
    }
    assert said == documented


def test_the_numbers_of_rooms_by_invitation_are_those_of_their_contract():
    said = {
        (row.said[0], number)
        for row in answers("Rooms by invitation")
        for number in re.findall(r'"errno":(\d+)', row.said[1])
    }
    assert said == set(re.findall(r"^\| (\d{3}) \| (\d+) \|", contract("loop", "Errors"), re.M))


def test_the_words_of_the_metadata_api_are_those_of_its_contract():
    name = re.compile(r'"(?:error_)?type":"(\w+)"')
    said = {(row.said[0], *name.findall(row.said[1])[:1]) for row in answers("Metadata of connections")}
    rows = re.findall(r"^\| (\d{3}) \| (`.*?`) \|", contract("sora", "Errors"), re.M)
    assert said == {(status, *name.findall(body)[:1]) for status, body in rows}


def test_the_codes_of_the_operators_api_are_those_of_its_contract():
    said = {
        (row.said[0], code)
        for row in answers("The operators' API")
        for code in re.findall(r'"code":"(\w+)"', row.said[1])
    }
    documented = set(
        re.findall(r"^\| (\d{3}) \| `(\w+)` \|", contract("admin", "1. Requests and answers"), re.M)
    )
    # These two are what facades might say one day; the contract says so of them.
    assert said == documented - {("403", "forbidden"), ("409", "conflict")}


@pytest.mark.parametrize(
    ("title", "name", "heading"),
    [
        (GOLIVE, "jitsi", "`POST /golive`"),
        ("Hooks and streams of a WCS", "wcs", "Hooks"),
    ],
)
def test_the_statuses_are_those_of_the_contract(title: str, name: str, heading: str):
    cells = re.findall(r"^\|(.*)\|$", contract(name, heading), re.M)
    documented = {
        status for row in cells for status in re.findall(r"\b[45]\d\d\b", " ".join(row.split(" | ")[:2]))
    }
    assert {row.said[0] for row in answers(title)} == documented


def test_the_heads_and_close_codes_of_error_frames_are_those_of_the_contract():
    text = contract("jitsi", "STOMP").partition("### ERROR")[2]
    codes = {"Access denied": "1008", "Protocol error": "1002", "Service unavailable": "1011"}
    assert {row.said for row in answers(FRAMES)} == {(f"`{head}`", code) for head, code in codes.items()}
    assert all(head in text and code in text for head, code in codes.items())


def test_what_a_gateway_refuses_by_itself_is_listed():
    found = {
        call.args[0].value
        for module in (http, rest)
        for call in ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
        if isinstance(call, ast.Call) and _name(call.func) in {"problem", "_refuse"}
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert found == set(errors.FRONT)


def _name(node: Any) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


@pytest.mark.parametrize(
    ("title", "code", "sentence"),
    [
        (GOLIVE, "413", "the body is larger than 8 KiB"),
        (FRAMES, "`Protocol error`", "Already connected"),
        (FRAMES, "`Protocol error`", "CONNECT after DISCONNECT"),
        (FRAMES, "`Protocol error`", "… before CONNECT"),
        (FRAMES, "`Access denied`", "too many connections with this token"),
        (FRAMES, "`Access denied`", "The token is not accepted"),
        (FRAMES, "`Service unavailable`", "Try again later"),
        ("Conference management and the media plane", "500", "no media worker has confirmed this in time"),
        ("Conference management and the media plane", "400", "a layout has at most 256 regions"),
        ("Rooms by invitation", "413", "the body is longer than 100 KiB"),
    ],
)
def test_sentences_are_found_however_they_are_made(title: str, code: str, sentence: str):
    assert [row.said[0] for row in answers(title) if sentence in row.sentences] == [code]


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        (GOLIVE, "not an RSA key"),
        (GOLIVE, "exp has passed"),
        (FRAMES, "exp has passed"),
        ("Rooms by invitation", "the room is another one's"),
        ("Hooks and streams of a WCS", "another signature"),
    ],
)
def test_what_is_for_the_log_alone_is_no_sentence(title: str, sentence: str):
    assert not any(sentence in row.sentences for row in answers(title))
