"""Fixtures of the conference management API: services that call it in this process."""

import pytest

from infra.credentials import Credentials
from tests.conftest import Stack
from tests.owt.api import Api, ok


@pytest.fixture
def api(table: Stack, credentials: Credentials) -> Api:
    """The super service, on moto."""
    return Api(credentials.super_service_id, credentials.super_service_key)


@pytest.fixture
def acme(api: Api) -> Api:
    """An ordinary service."""
    made = ok(api.post("/services", {"name": "acme", "key": "s3cret"}))
    return Api(made["_id"], "s3cret")
