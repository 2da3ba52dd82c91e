"""The playground's pictures in docs/images, of what `make run` serves: `python -m tests.pages.pictures`."""

import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import expect

from infra import endpoints
from infra.credentials import HOME
from tests.support.browser import Visitor, chromium

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
SIZE: Final = (1280, 860)
PATIENCE_MS: Final = 60_000
VISITORS: Final = ("Add 10", "Add 10", "Add 10", "Add 1")


def take(visitor: Visitor, address: str, path: Path) -> None:
    """One picture of a room in which visitors wait."""
    page = visitor.page
    page.goto(f"{address}/playground/")
    page.get_by_label("Room").fill("town-hall")
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("button", name="Not live any more").click()
    expect(page.get_by_text("not live: visitors wait")).to_be_visible(timeout=PATIENCE_MS)
    for name in VISITORS:
        page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".number")).to_have_text("31", timeout=PATIENCE_MS)
    page.mouse.move(5, 400)
    page.screenshot(path=path)


def main() -> int:
    """Take both, 1 where nothing runs."""
    found = endpoints.read(HOME)
    if not found:
        print("foyer: nothing runs here; `make run` does", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser:
        for theme in ("light", "dark"):
            visitor = Visitor(browser, size=SIZE, color_scheme=theme)
            take(visitor, found["http"], FOLDER / f"playground-{theme}.png")
            visitor.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
