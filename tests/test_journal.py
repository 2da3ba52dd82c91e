"""The log: one line of JSON for a request, a frame and a failure."""

import json
import logging
import re

import pytest

from chalicelib import journal


@pytest.fixture
def lines(capsys):
    """Reads the lines that were written."""
    journal.begin()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_request_is_one_line_without_what_is_empty(lines):
    journal.request(method="GET", route="/a", status=200, request_id="", ms=1.23456)
    (found,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "INFO",
        "logger": "journal.requests",
        "method": "GET",
        "route": "/a",
        "status": 200,
        "ms": 1.23,
    }


def test_a_frame_has_a_logger_of_its_own(lines):
    journal.frame(socket="s", command="SEND", outcome="ok", request_id="r", ms=0.5)
    assert [each["logger"] for each in lines()] == ["journal.frames"]


def test_below_its_level_nothing_is_written(lines):
    logging.getLogger("journal").setLevel(logging.WARNING)
    try:
        journal.request(method="GET", route="/a", status=200, request_id="r", ms=1.0)
        assert lines() == []
    finally:
        journal.begin()


def test_a_failure_tells_its_type_and_place_and_no_text(lines):
    try:
        raise ValueError("a secret")
    except ValueError as error:
        journal.failure(error)
    (found,) = lines()
    assert (found["level"], found["error"], found["message"]) == ("ERROR", "ValueError", "a request failed")
    assert "secret" not in json.dumps(found)
    assert found["where"][0].startswith("test_journal.py:")


def test_a_broken_standard_error_stops_no_request(lines, monkeypatch):
    class Broken:
        def write(self, text):
            raise OSError("no space left")

    monkeypatch.setattr("sys.stderr", Broken())
    journal.request(method="GET", route="/a", status=200, request_id="r", ms=1.0)
