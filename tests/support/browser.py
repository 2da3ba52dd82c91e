"""Debian's Chromium under Playwright: pages that a person would use, and what went wrong in them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support import node

ARGUMENTS: Final = (
    # A browser of its own looks for news at its maker's hosts.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--no-first-run", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
PATIENCE_MS: Final = 60_000
"""For what should take a moment, on a machine that does much else."""
GRAVE: Final = frozenset({"serious", "critical"})
WIDE: Final = (1280, 800)
NARROW: Final = (360, 740)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; while it is there, asyncio cannot be run in this thread.  Raises `Missing`."""
    path = node.executable("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody with a window: its page, every request that it made, and everything that went wrong in it."""

    def __init__(self, browser: Browser, *, size: tuple[int, int] = WIDE, **options: Any) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        """Uncaught errors, lines of error and warning on the page's console (what the CSP refuses is one)."""
        options.setdefault("locale", "en-GB")
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, **options
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.set_default_navigation_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("console", self._said)

    def _said(self, message: Any) -> None:
        # Chromium itself notes each answer of 400 and above; whether that is right is for the test to say.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"{message.type}: {message.text}")

    def hosts(self) -> set[str]:
        """What the page talked to, as `host:port`."""
        return {urlsplit(url).netloc for url in self.requests if not url.startswith(("data:", "blob:"))}

    def overflow(self) -> int:
        """How many pixels the page is wider than the window: 0, or somebody has to scroll sideways."""
        wider: int = self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        )
        return wider

    def findings(self, impacts: frozenset[str] = GRAVE) -> list[str]:
        """What axe finds on the page as it stands, of these impacts: rule, place and reason."""
        if not self.page.evaluate("typeof axe === 'object'"):
            # Evaluated, not added as a script: the page's CSP allows none.
            self.page.evaluate((node.modules() / "node_modules" / "axe-core" / "axe.min.js").read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {json.dumps(place['target'])}: {place['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in impacts
            for place in each["nodes"]
        ]

    def close(self) -> None:
        """Close the window."""
        self.context.close()
