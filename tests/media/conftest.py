"""Fixtures of the media plane: services, and workers of theirs."""

import pytest

from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt.api import Api, ok


@pytest.fixture
def boss(stack: Stack, credentials: Credentials) -> Api:
    """The super service, on ministack, which is faster than moto."""
    return Api(credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def acme(boss: Api) -> Api:
    """An ordinary service."""
    made = ok(boss.post("/services", {"name": "acme", "key": "s3cret"}))
    return Api(made["_id"], "s3cret")


@pytest.fixture
def other(boss: Api) -> Api:
    """Another one."""
    made = ok(boss.post("/services", {"name": "other", "key": "another"}))
    return Api(made["_id"], "another")


@pytest.fixture
def beta(boss: Api) -> Api:
    """Another one."""
    return Api(ok(boss.post("/services", {"name": "beta", "key": "s3cret"}))["_id"], "s3cret")
