"""Makes the pictures of docs/images, from made-up data: `python -m tests.console.pictures`."""

from pathlib import Path
from typing import Final

from tests.console.stand_in import StandIn, standing_in
from tests.support.browser import NARROW, Visitor, chromium

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
SIZE: Final = (1280, 860)
CONFERENCE: Final = "#/conference?name=townhall-2026%40conference.meet.example"
PICTURES: Final = (
    # name, place, what to wait for, theme, size
    ("console-light", "#/", ".tiles", "light", SIZE),
    ("console-dark", "#/", ".tiles", "dark", SIZE),
    ("console-conference", CONFERENCE, "#waiting", "dark", (1280, 640)),
    ("console-narrow", "#/dead", "tbody", "light", NARROW),
)


def fill(visitor: Visitor, stand_in: StandIn) -> None:
    """Let five minutes pass in which visitors come."""
    row = stand_in.conferences["townhall-2026@conference.meet.example"]
    full = list(row["counts"])
    for step in range(21):
        row["counts"] = [int(count * (0.3 + 0.7 * (step / 20) ** 0.6)) for count in full]
        visitor.page.clock.fast_forward(15_000)
        visitor.page.wait_for_timeout(60)


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with standing_in() as stand_in, chromium() as browser:
        stand_in.signed_in = True
        for name, place, seen, theme, size in PICTURES:
            visitor = Visitor(browser, size=size, color_scheme=theme)
            visitor.page.clock.install()
            visitor.page.goto(f"{stand_in.url}/console/{place}")
            visitor.page.wait_for_selector(seen)
            if place == CONFERENCE:
                fill(visitor, stand_in)
            visitor.page.wait_for_timeout(500)
            visitor.page.screenshot(path=FOLDER / f"{name}.png")
            visitor.close()


if __name__ == "__main__":
    main()
