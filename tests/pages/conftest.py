"""A gateway of the local stage with its pages, and a browser to open them in."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from infra.children import Gateway
from infra.credentials import Credentials
from tests.conftest import GatewayFactory
from tests.support.browser import PATIENCE_MS, Visitor, chromium

# A machine that is busy with other tests takes its time.
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def site(standing: GatewayFactory, credentials: Credentials) -> Gateway:
    """What the pages are opened at: each signed call counts once, and the count comes every second."""
    keys = str(credentials.server_key_path.parent.parent)
    return standing(JITSI_STATE_INTERVAL_S="1", OWT_MAUTH="strict", GATEWAY_CREDENTIALS=keys)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, site: Gateway) -> Iterator[Visitor]:
    """Somebody whose page has no errors, and talks to nobody but the gateway."""
    somebody = Visitor(browser)
    yield somebody
    somebody.close()
    assert somebody.problems == []
    assert somebody.hosts() <= {site.http.partition("://")[2]}
