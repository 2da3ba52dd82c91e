"""Fixtures of Loop: callers in this process, on moto."""

from collections.abc import Iterator

import pytest

from tests.conftest import Stack
from tests.loop.api import Caller, HawkCaller, register
from tests.support.storage import Storage, listening


@pytest.fixture
def nobody(table: Stack) -> Caller:
    """Somebody without credentials."""
    return Caller()


@pytest.fixture
def owner(table: Stack) -> HawkCaller:
    """Somebody who registered."""
    return register()


@pytest.fixture
def other(table: Stack) -> HawkCaller:
    """Somebody else who registered."""
    return register()


@pytest.fixture
def storage(table: Stack) -> Iterator[Storage]:
    """Hears of every storage call."""
    with listening() as counter:
        yield counter
