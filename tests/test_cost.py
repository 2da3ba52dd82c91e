"""docs/cost.md is what its script makes of what is counted now, and has every route."""

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bench.evening import RECORD
from bench.routes import Counted
from tests.support.counts import FULL
from tests.test_docs import COVERAGE, ROOT
from tools import cost

RECORDED: dict[str, Any] = json.loads(RECORD.read_text())
ALIKE = (("/v1.1/", "/v1/"), ("/v0/", "/"))
"""Beginnings under which the same handlers answer."""


def test_the_page_is_what_is_counted_now(stack, credentials, monkeypatch):
    made = cost.count(stack, credentials, monkeypatch)
    assert cost.PAGE.read_text() == cost.page(made, RECORDED, cost.prices()), "`make cost` makes it anew"


def test_every_answered_route_has_its_price():
    answered = set(re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", COVERAGE, re.MULTILINE))
    for start, instead in ALIKE:
        answered = {(method, re.sub(f"^{re.escape(start)}", instead, path)) for method, path in answered}
    priced = set(re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", cost.PAGE.read_text(), re.MULTILINE))
    assert priced == answered


def test_prices_and_amounts_have_their_date_and_a_place_to_look_them_up():
    prices = cost.prices()
    assert date.fromisoformat(prices.as_of) <= date.fromisoformat(RECORDED["as_of"])
    assert all(price["page"] and price["unit"] for price in prices.listed.values())
    assert set(RECORDED["amounts"]) < set(prices.listed)
    for as_of in (prices.as_of, RECORDED["as_of"]):
        assert as_of in cost.PAGE.read_text()


def test_a_call_costs_what_its_units_and_requests_cost():
    prices = cost.Prices(
        "2026-01-01",
        "r",
        {
            name: {"usd": usd, "per": 1_000_000}
            for name, usd in {
                "rest_requests": 3.0,
                "lambda_requests": 0.5,
                "lambda_gb_seconds": 0.0,
                "dynamodb_writes": 2.0,
                "dynamodb_reads": 0.25,
                "sqs_requests": 1.0,
            }.items()
        },
    )
    one = Counted("", "", Counter({"GetItem": 1, "TransactWriteItems": 1, "SendMessage": 1}), 4, 2.0)
    assert prices.storage(one) == 4 * 2.0 + 2 * 0.25 + 3 * 1.0
    assert prices.whole(one) == prices.storage(one) + 3.0 + 2 * 0.5


def test_the_evening_is_that_of_the_budgets():
    visits, visitors = RECORDED["visits"], RECORDED["visitors"]
    assert (visitors, RECORDED["wait_minutes"]) == (100_000, 30)
    own = {name: sum(visit[name] for visit in visits.values()) for name in visits["arrive"]}
    assert own["messages"] + 1 <= 10  # and the one that releases
    assert own["writes"] + 1 <= 6  # and the claim
    for name, each in (("websocket_messages", own["messages"] + 1), ("dynamodb_writes", own["writes"] + 1)):
        assert RECORDED["amounts"][name] == pytest.approx(visitors * each, rel=0.01)


def test_the_evening_is_what_is_counted_now(tmp_path: Path):
    kept = tmp_path / "evening.json"
    command = [sys.executable, "-m", "bench.evening", "--sample", "200", "--record", str(kept)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    again = json.loads(kept.read_text())
    for label, visit in RECORDED["visits"].items():
        assert again["visits"][label] == pytest.approx(visit, abs=0.2)
    for name in ("websocket_messages", "lambda_requests", "dynamodb_writes"):
        assert again["amounts"][name] == pytest.approx(RECORDED["amounts"][name], rel=0.02)


if not FULL:  # it takes minutes
    del test_the_evening_is_what_is_counted_now
