"""What every test of the gateway needs."""

import pytest

from chalicelib import settings
from tests.gateway.support import SECRET


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret that the tests' signer knows."""
    monkeypatch.setenv("FOYER_GATEWAY_SECRET", SECRET)
    monkeypatch.setenv("FOYER_STAGE", "local")
    settings.reset()
