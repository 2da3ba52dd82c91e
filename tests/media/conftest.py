"""Fixtures of the media plane: services, and workers of theirs."""

import pytest

from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt.api import Api, ok


@pytest.fixture
def boss(table: Stack, credentials: Credentials) -> Api:
    """The super service, on moto."""
    return Api(credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def acme(boss: Api) -> Api:
    """An ordinary service."""
    return Api(ok(boss.post("/services", {"name": "acme", "key": "s3cret"}))["_id"], "s3cret")


@pytest.fixture
def beta(boss: Api) -> Api:
    """Another one."""
    return Api(ok(boss.post("/services", {"name": "beta", "key": "s3cret"}))["_id"], "s3cret")
