"""Fixtures of the operators' API."""

import pytest

import app
from tests.admin import api
from tests.conftest import Stack


@pytest.fixture
def admin(table: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A table on moto, and one operator, `ops`."""
    api.given(monkeypatch, ops=api.TOKEN)
    app.warm()
    return table
