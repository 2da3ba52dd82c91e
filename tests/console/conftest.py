"""Fixtures of the console's tests: the API's stand-in, and somebody who looks at it."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser

from tests.console.stand_in import TOKEN, StandIn, standing_in
from tests.support.browser import Visitor


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """The operators' API, of made-up data."""
    with standing_in() as running:
        yield running


class Opener(Protocol):
    """Opens windows: `look("#/dead", color_scheme="dark")`."""

    def __call__(self, place: str = "#/", *, signed_in: bool = True, **options: Any) -> Visitor:
        """A window on a page of the console."""


@pytest.fixture
def look(browser: Browser, stand_in: StandIn) -> Iterator[Opener]:
    """Open windows; when the test ends, nothing may have gone wrong in them, and no other host was asked."""
    opened: list[Visitor] = []

    def look(place: str = "#/", *, signed_in: bool = True, **options: Any) -> Visitor:
        visitor = Visitor(browser, **options)
        opened.append(visitor)
        stand_in.signed_in = signed_in
        visitor.page.goto(f"{stand_in.url}/console/{place}")
        visitor.page.wait_for_selector("#token" if not signed_in else ".main .head")
        return visitor

    yield look
    for visitor in opened:
        visitor.close()
    for visitor in opened:
        assert visitor.problems == []
        assert visitor.hosts() <= {stand_in.url.removeprefix("http://")}
    assert stand_in.odd == []


def sign_in(visitor: Visitor, token: str = TOKEN) -> None:
    """Enter a token, as a person does."""
    visitor.page.get_by_label("Operator token").fill(token)
    visitor.page.keyboard.press("Enter")
