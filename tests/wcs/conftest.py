"""Fixtures of hooks: a server and a user, on moto."""

import pytest

from tests.conftest import Stack
from tests.wcs.server import Server, User


@pytest.fixture
def server(table: Stack) -> Server:
    """A server, on the stage that is open."""
    return Server()


@pytest.fixture
def user(table: Stack) -> User:
    """Who may ask without a key, as everybody on that stage."""
    return User()
